"""Generated passages of a round: written from neutral openings, judged for coherence, recorded.

Openings and sampling seeds are the same in every round. A round is then a deterministic map of the
concept, which can have a fixed point; with fresh noise, drift would level off at the noise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float

from agent import processes
from agent.clustering.texts import Texts
from agent.concept import Concept
from agent.corpora.words import opening
from agent.language_model.coherence import Coherence, CoherenceReport
from agent.language_model.load import LanguageModelConfig
from agent.language_model.model import LanguageModel, keep_loaded, loaded
from agent.membership.log_odds import log_odds
from agent.types import seed_for
from loops.parallel import Batch, generate_passages
from loops.records import Generated, RoundRecord
from loops.round.context import Costs, RunContext
from loops.round.partial import writing_key


@dataclass(frozen=True)
class Written:
    """Passages of one kind, and their coherence."""

    passages: tuple[Generated, ...]
    coherence: CoherenceReport


def generate(context: RunContext, concept: Concept, kind: str, costs: Costs) -> Written:
    """Passages written with a concept and judged for coherence; kinds as in `Generated.kind`."""
    with costs.stage("generate"):
        passages = _write(context, concept, kind)
    with costs.stage("coherence"):
        report = _judge(context, passages)
    return _judged(passages, report)


def fair_guard(coherence: Coherence, generated: Sequence[Generated]) -> Coherence:
    """Limits of coherence that the base model's passages, written in round 0, can pass."""
    base = [each for each in generated if each.kind == "base"]
    return coherence.fair_to(*_columns(base)) if base else coherence


def judged_again(context: RunContext, passages: Sequence[Generated]) -> Written:
    """Passages under the context's limits, from their stored losses."""
    return _judged(passages, context.coherence.check(*_columns(passages)))


def _columns(passages: Sequence[Generated]) -> tuple[list[str], list[str], np.ndarray]:
    losses = np.array([np.nan if each.loss is None else each.loss for each in passages])
    return [each.text for each in passages], [each.prompt for each in passages], losses


def _judged(passages: Sequence[Generated], report: CoherenceReport) -> Written:
    judged = tuple(
        replace(each, coherent=bool(coherent), loss=None if np.isnan(loss) else float(loss))
        for each, coherent, loss in zip(passages, report.coherent, report.losses, strict=True)
    )
    return Written(judged, report)


def record(context: RunContext, passages: Sequence[Generated], first: RoundRecord, costs: Costs) -> Texts:
    """Activations, embeddings and pointer log-odds of this round's passages, then of round 0's."""
    with costs.stage("record"):
        texts = read(context, passages)
        return texts.joined(_as_texts(context, first.generated, first.activations))


def read(context: RunContext, passages: Sequence[Generated]) -> Texts:
    """The same of passages that are not recorded yet; prompt and continuation are read as one."""
    model, parts = context.language_model, []
    for batch in context.partial.row_batches(
        [each.whole for each in passages], f"record {model.fingerprint}"
    ):
        rows = batch.stored
        parts.append(batch.keep(_shared(_recorded, model, batch.items)) if rows is None else rows)
    return _as_texts(context, passages, np.concatenate(parts))


def openings(texts: Sequence[str], count: int, words: int, seed: int) -> list[str]:
    """The openings of `words` words of `count` random passages, without replacement while they last.

    Passages are generated from openings alone, since an opening never names the concept.
    """
    generator = np.random.default_rng(seed)
    chosen: list[int] = []
    while len(chosen) < count:
        chosen += generator.permutation(len(texts))[: count - len(chosen)].tolist()
    return [opening(texts[index], words) for index in chosen]


def _write(context: RunContext, concept: Concept, kind: str) -> list[Generated]:
    config, seed = context.config.generation, context.config.seed
    count, stream = config.samples, "prompts"
    if kind == "degenerate":  # on openings of their own
        count, stream = context.config.updating.degenerate, "oversteered"
    prompts = openings(context.passages.texts, count, config.prompt_words, seed_for(seed, 0, stream))
    seeds = [seed_for(seed, 0, f"passage/{index}") for index in range(len(prompts))]
    if kind == "base":
        concept = replace(concept, vector=None, adapter=context.corpus_adapter)
    key = writing_key(concept, config, context.language_model.fingerprint)
    pairs = list(zip(prompts, seeds, strict=True))
    batches = list(context.partial.text_batches(pairs, config.batch_size, key))
    missing: dict[str, Batch] = {}
    for at, batch in enumerate(batches):
        if batch.stored is None:
            heads, own = zip(*batch.items, strict=True)
            missing[str(at)] = heads, own
    workers, ray = context.config.workers, context.config.ray
    written = generate_passages(context.language_model, concept, missing, config, workers=workers, ray=ray)
    for name, found in written:
        batches[int(name)].keep(found)
    texts = [text for each in batches for text in each.stored or ()]
    return [
        Generated(kind, prompt, text, own, 0.0, None, None)
        for prompt, text, own in zip(prompts, texts, seeds, strict=True)
    ]


def _judge(context: RunContext, passages: Sequence[Generated]) -> CoherenceReport:
    texts, prompts = [each.text for each in passages], [each.prompt for each in passages]
    if (judge := context.coherence.language_model) is None:
        return context.coherence.check(texts, prompts)
    pairs, parts = list(zip(context.coherence.cut(texts), prompts, strict=True)), []
    for batch in context.partial.row_batches(pairs, f"losses {judge.fingerprint}"):
        if (losses := batch.stored) is None:
            losses = batch.keep(_shared(_losses, judge, batch.items))
        parts.append(losses)
    return context.coherence.check(texts, prompts, np.concatenate(parts))


def _shared(
    read: Callable[[LanguageModel, Sequence[Any]], Float[np.ndarray, "item ..."]],
    language_model: LanguageModel,
    items: Sequence[Any],
) -> Float[np.ndarray, "item ..."]:
    """`read(language_model, items)`, a row an item; each process of a launch reads a part.

    Raises `BasinError` as `processes.share`, or where a process cannot load the model.
    """
    if processes.count() == 1:
        return read(language_model, items)
    keep_loaded(language_model)
    rows = partial(_rows, read, language_model.config)
    return np.stack(processes.spread(rows, items.__getitem__, len(items)))


def _rows(read: Callable[..., np.ndarray], model: LanguageModelConfig, items: Sequence[Any]) -> np.ndarray:
    return read(loaded(model), items)


def _recorded(model: LanguageModel, texts: Sequence[str]) -> np.ndarray:
    found: np.ndarray = model.record(texts)
    return found


def _losses(judge: LanguageModel, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
    """Losses of texts after their prompts, in nats per token."""
    found: np.ndarray = judge.losses(*map(list, zip(*pairs, strict=True)))
    return found


def _as_texts(context: RunContext, passages: Sequence[Generated], activations: np.ndarray | None) -> Texts:
    """Select round 0's incoherent passages: a fresh set each round would change the targets."""
    assert activations is not None
    texts = [each.whole for each in passages]
    degenerate = np.array([each.coherent is False and each.kind != "steered" for each in passages])
    embeddings = context.embed(texts) if context.embed else None
    pointed = log_odds(context.pointer.weights(texts))
    if context.similarity is not None and embeddings is not None:
        pointed = context.similarity.joined(pointed, embeddings)
    return Texts(activations, pointed, degenerate, embeddings)
