"""Passages written by vLLM, from weights that hold the adapter and the steering vector.

Written for the interface that vLLM 0.15 documents, and not run yet, since vLLM needs a GPU. It
samples with other random numbers than our own loop; greedy passages are the same up to rounding.
"""

from __future__ import annotations

import gc
import importlib.util
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import save

from agent import processes
from agent.errors import BasinError, first_sentence
from agent.language_model.adapter import Adapter
from agent.language_model.decoding.baked import bake, can_bake
from agent.language_model.decoding.config import GenerationConfig
from agent.language_model.decoding.loop import open_ids, text_after
from agent.language_model.decoding.sampling import barred_tokens
from agent.language_model.model import LanguageModel
from agent.steering.vector import SteeringVector

GPU_SHARE = 0.5  # of a GPU's memory for vLLM; the model that records stays beside it
BARRED = -100.0  # added to the scores of tokens that are never generated; vLLM allows no less
REMEDY = "set generation.engine to own"

_engine: tuple[bytes, Any] | None = None  # the weights that vLLM holds, by their digest, and its `LLM`


def check_engine(language_model: LanguageModel) -> None:
    """Raise `BasinError` for a run that vLLM could not write; every run's first rounds steer."""
    if importlib.util.find_spec("vllm") is None:
        raise BasinError(f"generation.engine is vllm, which is not installed: pip install vllm, or {REMEDY}.")
    if (size := processes.count()) > 1:
        raise BasinError(f"vLLM writes from one process, and this launch has {size}: {REMEDY}.")
    if not can_bake(language_model.model):
        raise BasinError(
            f"The weights of {language_model.name!r} cannot hold a steering vector, and vLLM adds none: {REMEDY}."
        )


def generate(
    language_model: LanguageModel,
    prompts: Sequence[str],
    seeds: Sequence[int],
    config: GenerationConfig,
    *,
    adapter: Adapter | None = None,
    vector: SteeringVector | None = None,
) -> list[str]:
    """Continuations as by `LanguageModel.generate`, each sampled with its own seed.

    Raises `BasinError` where vLLM fails, or a prompt has no token or leaves no room.
    """
    from vllm import SamplingParams

    model, tokenizer = language_model.model, language_model.tokenizer
    rows = [open_ids(model, tokenizer, prompt, config.new_tokens) for prompt in prompts]
    barred = barred_tokens(model, tokenizer).nonzero()[:, 0].tolist()
    settings = config.model_dump(include={"temperature", "top_k", "top_p", "repetition_penalty"})
    settings |= {"max_tokens": config.new_tokens, "ignore_eos": True, "detokenize": False}
    settings["logit_bias"] = dict.fromkeys(barred, BARRED)
    sampling = [SamplingParams(seed=seed, **settings) for seed in seeds]
    try:
        engine = _engine_of(language_model, adapter, vector)
        found = engine.generate([{"prompt_token_ids": row} for row in rows], sampling, use_tqdm=False)
    except Exception as error:  # vLLM raises anything
        raise BasinError(f"vLLM could not write ({first_sentence(error)}): {REMEDY}.") from error
    written = [list(each.outputs[0].token_ids) for each in found]
    return [text_after(tokenizer, *each) for each in zip(rows, written, strict=True)]


def _engine_of(language_model: LanguageModel, adapter: Adapter | None, vector: SteeringVector | None) -> Any:
    """vLLM with these weights; the memory of the last ones is freed before."""
    global _engine
    from vllm import LLM

    key = f"{language_model.fingerprint} {adapter.digest if adapter else ''}".encode()
    key += save(vector.tensors()) if vector else b""
    if _engine is None or _engine[0] != key:
        _engine = None
        gc.collect()
        writer = language_model.adapted(adapter)
        if vector is not None:
            writer = LanguageModel(bake(writer.model, vector), writer.tokenizer, writer.config)
        with tempfile.TemporaryDirectory(prefix="basin-vllm-") as folder:
            writer.save(Path(folder))
            _engine = key, LLM(model=folder, dtype="auto", gpu_memory_utilization=GPU_SHARE, seed=0)
    return _engine[1]
