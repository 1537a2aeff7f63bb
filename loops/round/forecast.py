"""Estimates of a run's time and memory on this machine, from measured speeds and the configuration.

Times are right within a factor of two by the model's own speeds, of four by matrix products.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch.utils.benchmark import Timer

from agent.corpora.passages import enough_per_document
from agent.corpora.words import first_words
from agent.language_model.architecture import choose_device, choose_dtype
from agent.language_model.memory import PROCESS
from agent.language_model.model import LanguageModel
from agent.types import PassageSet
from loops.config import RunConfig

TOKENS_PER_WORD = 1.35
BACKWARD = 3  # a step forward and backward costs about three forward passes
CALIBRATION_PASSES = 8  # evaluations of the divergence until the strength meets the budget
JUDGE = 2  # the independent model of coherence is about twice as large as the one that writes
LONG_READING = 600  # seconds of reading a corpus, above which `forecast` names a way to read less
STARTING_SECONDS = 30  # imports, loading both models, the corpus
TOPIC_SECONDS_PER_WORD = 2e-6  # of one pass, per topic


@dataclass(frozen=True)
class Speeds:
    """Speeds of a model on this machine."""

    record: float  # tokens per second of real text, up to the last recorded layer
    generate: float  # tokens per second, in batches of the configured size
    depth_recorded: float  # share of the model's depth that recording computes


def matrix_speed(config: RunConfig, seconds: float = 0.5) -> float:
    """GFLOP/s of matrix products as large as a small model's, on the configured device and dtype."""
    device = choose_device(config.language_model.device)
    dtype = choose_dtype(config.language_model.dtype, device)
    left, right = (torch.randn(shape, device=device).to(dtype) for shape in ((2048, 576), (576, 1536)))
    product = Timer("left @ right", globals=locals(), num_threads=torch.get_num_threads())
    taken = product.blocked_autorange(min_run_time=seconds).median
    return float(2 * left.numel() * right.shape[1] / taken / 1e9)


def forecast(config: RunConfig, passages: PassageSet, language_model: LanguageModel) -> str:
    """A sentence or two on how long all rounds may take here, with nothing cached."""
    parameters = sum(weight.numel() for block in language_model.blocks for weight in block.parameters())
    depth = language_model.layers[-1] / language_model.depth
    full = 0.65 * matrix_speed(config) * 1e9 / (2 * parameters)  # tokens/s of a forward pass
    seconds = estimate(config, len(passages.texts), Speeds(full / depth, full / 2, depth))
    sentence = (
        f"This may take about {max(1, round(sum(seconds.values()) / 60))} minutes here: reading the corpus once "
        f"{round(seconds['record'] / 60)}, and up to {config.rounds} rounds."
    )
    fewer = enough_per_document(passages, config.passages)
    if fewer is not None and seconds["record"] > LONG_READING:
        sentence += f" `passages: {{per_document: {fewer}}}` reads that many per document, evenly spaced."
    return sentence


def measured_speeds(language_model: LanguageModel, config: RunConfig, text: str) -> Speeds:
    """Speeds of a loaded model on a text as long as a passage; takes seconds."""
    texts = [text] * 8
    tokens = sum(len(ids) for ids in language_model.tokenizer(texts)["input_ids"])
    language_model.record(texts[:1])
    begin = time.perf_counter()
    language_model.record(texts)
    record = tokens / (time.perf_counter() - begin)
    short = config.generation.model_copy(update={"new_tokens": 12})
    prompts = [first_words(text, short.prompt_words)] * short.batch_size
    begin = time.perf_counter()
    language_model.generate(prompts, list(range(len(prompts))), short)
    generate = 12 * len(prompts) / (time.perf_counter() - begin)
    return Speeds(record, generate, language_model.layers[-1] / language_model.depth)


def peaks(language_model: LanguageModel, config: RunConfig) -> dict[str, float]:
    """Peak gigabytes by stage, with weights and libraries; right within a factor of 1.5."""
    need, generation, adapting = language_model.need, config.generation, config.updating.adapting
    copies = 2 if language_model.fused is not None else 1
    stages = {
        "record": need.reading(language_model.batch_tokens),
        "generate": need.writing(
            min(generation.batch_size, generation.samples),
            generation.new_tokens + 2 * generation.prompt_words,
        ),
        "adapt": need.teaching(adapting.lora.batch * adapting.lesson.window),
    }
    if not any(config.updating.schedule(number).adapt for number in range(1, config.rounds + 1)):
        del stages["adapt"]
    return {stage: (PROCESS + copies * need.weights + bytes_) / 1e9 for stage, bytes_ in stages.items()}


def estimate(config: RunConfig, passages: int, speeds: Speeds) -> dict[str, float]:
    """Seconds by stage for all rounds on a number of real passages."""
    cut = config.passages
    words = passages * (cut.tokens / TOKENS_PER_WORD if cut.tokens else cut.words)
    written = config.generation.samples * config.generation.new_tokens
    full = speeds.record * speeds.depth_recorded
    updating = config.updating
    calibrating = CALIBRATION_PASSES * updating.calibration_texts * updating.calibration_tokens
    topics = config.topics
    seconds = {
        "start": STARTING_SECONDS,
        "topics": TOPIC_SECONDS_PER_WORD * words * topics.count * topics.passes * topics.restarts,
        "record": words * TOKENS_PER_WORD / speeds.record + config.rounds * written / speeds.record,
        "generate": (config.rounds + 1) * written / speeds.generate,
        "update": config.rounds * calibrating / full,
    }
    if rounds := sum(updating.schedule(number).adapt for number in range(1, config.rounds + 1)):
        lesson = updating.adapting.lesson
        seconds["adapt"] = (lesson.corpus_tokens + rounds * lesson.tokens) * BACKWARD / full
    if config.coherence.model:
        real = config.coherence.real_passages * config.coherence.words * TOKENS_PER_WORD
        seconds["coherence"] = JUDGE * (real + (config.rounds + 1) * written) / full
    return seconds
