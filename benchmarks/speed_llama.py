"""llama.cpp writing many texts at once under a control vector, by the calls that its own batched example makes."""

from __future__ import annotations

import ctypes
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agent.language_model.decoding.loop import GenerationConfig
from agent.language_model.model import LanguageModel
from agent.steering.vector import SteeringVector

FILES = {torch.float32: "f32", torch.bfloat16: "bf16"}


@ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
def _SILENT(level: int, text: bytes, data: Any) -> None:
    """It tells much, and nothing that is asked here."""


def writer(
    model: LanguageModel, prompts: Sequence[str], config: GenerationConfig, vector: SteeringVector
) -> Callable[[], int]:
    """Every prompt is a sequence of one batch: all prompts are read in one call, then a token of every text is written a call.

    The model is the same, in the same precision, and loaded beforehand, as that of all others is.
    """
    import llama_cpp

    from benchmarks.interop.llama import converted

    library: Any = llama_cpp.llama_cpp
    library.llama_log_set(_SILENT, None)
    dtype = FILES[model.output.head.weight.dtype]
    with tempfile.TemporaryDirectory() as folder:
        model.twin().save_pretrained(folder)
        model.tokenizer.save_pretrained(folder)
        file = converted(Path(folder), Path(folder) / "model.gguf", dtype)
        loaded = library.llama_model_load_from_file(
            str(file).encode(), _with(library.llama_model_default_params(), use_mmap=False)
        )
    tokens = [model.tokenizer(prompt)["input_ids"] for prompt in prompts]
    room = sum(map(len, tokens)) + len(prompts) * config.new_tokens
    threads = torch.get_num_threads()
    context = library.llama_init_from_model(
        loaded,
        _with(
            library.llama_context_default_params(),
            n_ctx=len(prompts) * 256,
            n_batch=max(room, 2048),
            n_seq_max=len(prompts),
            n_threads=threads,
            n_threads_batch=threads,
            kv_unified=False,
        ),
    )
    steer(library, loaded, context, vector)

    def work() -> int:
        library.llama_memory_clear(library.llama_get_memory(context), True)
        samplers = [_sampler(library, config, seed) for seed in range(len(prompts))]
        batch = library.llama_batch_init(sum(map(len, tokens)), 0, 1)
        last = _fill(
            batch, [(token, at) for each in tokens for at, token in enumerate(each)], _owners(tokens)
        )
        positions = [len(each) for each in tokens]
        for _ in range(config.new_tokens):
            if library.llama_decode(context, batch):
                raise RuntimeError("llama.cpp could not decode the batch")
            drawn = [
                library.llama_sampler_sample(sampler, context, at)
                for sampler, at in zip(samplers, last, strict=True)
            ]
            last = _fill(batch, list(zip(drawn, positions, strict=True)), list(range(len(prompts))))
            positions = [position + 1 for position in positions]
        library.llama_batch_free(batch)
        for sampler in samplers:
            library.llama_sampler_free(sampler)
        return len(prompts) * config.new_tokens

    return work


def steer(library: Any, loaded: Any, context: Any, vector: SteeringVector) -> None:
    """What `--control-vector` does: row `L - 2` is added to the output of block `L - 1`, for the layer after L blocks."""
    width, depth = library.llama_model_n_embd(loaded), library.llama_model_n_layer(loaded)
    rows = np.zeros((depth, width), dtype=np.float32)
    for layer, direction in vector.directions.items():
        rows[layer - 2] = direction.float().numpy()
    apply_rows(library, context, rows)


def apply_rows(library: Any, context: Any, rows: np.ndarray) -> None:
    """Let llama.cpp add row `N - 1` after block `N`; the call has had two names. Raises `RuntimeError` where it refuses."""
    depth, width = rows.shape
    apply = getattr(library, "llama_set_adapter_cvec", None) or library.llama_apply_adapter_cvec
    if apply(context, rows.ctypes.data_as(ctypes.POINTER(ctypes.c_float)), rows.size, width, 1, depth):
        raise RuntimeError("llama.cpp refused the control vector")


def _sampler(library: Any, config: GenerationConfig, seed: int) -> Any:
    chain = library.llama_sampler_chain_init(library.llama_sampler_chain_default_params())
    for part in (
        library.llama_sampler_init_top_k(config.top_k),
        library.llama_sampler_init_top_p(config.top_p, 1),
        library.llama_sampler_init_temp(config.temperature),
        library.llama_sampler_init_dist(seed),
    ):
        library.llama_sampler_chain_add(chain, part)
    return chain


def _owners(tokens: Sequence[Sequence[int]]) -> list[int]:
    return [owner for owner, each in enumerate(tokens) for _ in each]


def _fill(batch: Any, placed: Sequence[tuple[int, int]], owners: Sequence[int]) -> list[int]:
    """Put tokens into the batch; where in it the last one of every sequence is, whose logits are wanted."""
    batch.n_tokens = len(placed)
    ends = {owner: at for at, owner in enumerate(owners)}
    for at, ((token, position), owner) in enumerate(zip(placed, owners, strict=True)):
        batch.token[at], batch.pos[at] = token, position
        batch.n_seq_id[at], batch.seq_id[at][0] = 1, owner
        batch.logits[at] = ends[owner] == at
    return [ends[owner] for owner in sorted(ends)]


def _with(parameters: Any, **values: Any) -> Any:
    for name, value in values.items():
        setattr(parameters, name, value)
    return parameters
