"""llama.cpp, by llama-cpp-python: exported models after its own converter, and the control vector as its loader reads it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from benchmarks.interop.bench import TOKENS, Bench, Row, agreement, row
from benchmarks.speed_llama import apply_rows

PACKAGE = "llama_cpp"
"""The binding; it is published as llama-cpp-python, and carries a llama.cpp of its time."""


def rows(bench: Bench) -> Iterator[Row]:
    """The base model with a control vector, one layer off on purpose too, and the merged models."""

    def found(export: str, effect: str, value: float, base: float | None = None) -> Row:
        return row(export, "llama.cpp", PACKAGE, effect, value, base)

    base, vector = base_model(bench), bench.export("control-vector", bench.steered)
    plain, ours = _logits(base, None, bench), bench.logits(None)
    change = bench.logits(bench.steered) - ours
    steered, further = (_logits(base, vector, bench, off) - plain for off in (0, 1))
    yield found(
        "control-vector",
        "cosine of the change of logits with Basin's (value); with every direction one block further (base)",
        agreement(steered, change),
        agreement(further, change),
    )
    texts = bench.store.load_passages().texts[:200]
    same = sum(_tokens(base, text) == bench.ids(text) for text in texts) / len(texts)
    effect = "base model: cosine of logits with Basin's (value); share of 200 passages cut into the same tokens (base)"
    yield found("model", effect, agreement(plain, ours), same)
    merged = converted(bench.export("model", bench.adapted), bench.folder / "merged.gguf")
    change = bench.logits(bench.adapted) - ours
    effect = "adapter and vector in the weights: cosine of the change of logits with Basin's (value)"
    yield found("model", effect, agreement(_logits(merged, None, bench) - plain, change))
    under = _write(base, vector, bench)
    without = _write(base, None, bench)
    effect = "mean membership of what it writes under the vector (value) and without it (base)"
    yield found(
        "control-vector", effect, *(bench.membership(each, bench.steered) for each in (under, without))
    )
    effect = "adapter and vector in the weights: mean membership of what it writes (value); of the base model (base)"
    yield found(
        "model",
        effect,
        *(bench.membership(each, bench.adapted) for each in (_write(merged, None, bench), without)),
    )


def base_model(bench: Bench) -> Path:
    """The base model in float32, as one file."""
    folder = bench.folder / "base"
    bench.own.model.save_pretrained(folder)
    bench.own.tokenizer.save_pretrained(folder)
    return converted(folder, bench.folder / "base.gguf")


def converted(folder: Path, file: Path, dtype: str = "f32") -> Path:
    """The GGUF of a model folder, by the converter in the checkout of llama.cpp that `LLAMA_CPP` names."""
    if not file.exists():
        script = Path(os.environ["LLAMA_CPP"]) / "convert_hf_to_gguf.py"
        command = [sys.executable, str(script), str(folder), "--outfile", str(file), "--outtype", dtype]
        subprocess.run(command, check=True)
    return file


def _loaded(model: Path, **how: Any) -> Any:
    from llama_cpp import Llama

    return Llama(str(model), n_ctx=512, n_threads=1, verbose=False, **how)


def _tokens(model: Path, text: str) -> list[int]:
    if not hasattr(_tokens, "reader"):
        _tokens.reader = _loaded(model, vocab_only=True)  # type: ignore[attr-defined]
    return _tokens.reader.tokenize(text.encode(), add_bos=False, special=False)  # type: ignore[attr-defined]


def _logits(model: Path, vector: Path | None, bench: Bench, off: int = 0) -> np.ndarray:
    llama = _loaded(model, logits_all=False)
    if vector is not None:
        _apply(llama, vector, off)
    found = []
    for text in bench.texts:
        llama.reset()
        llama.eval(bench.ids(text))
        pointer = _library().llama_get_logits_ith(llama.ctx, -1)
        found.append(np.array(np.ctypeslib.as_array(pointer, shape=(llama.n_vocab(),))))
    return np.stack(found)


def _write(model: Path, vector: Path | None, bench: Bench) -> list[str]:
    llama = _loaded(model)
    if vector is not None:
        _apply(llama, vector)
    texts = []
    for number, prompt in enumerate(bench.prompts):
        llama.set_seed(number)
        made = llama(
            prompt, max_tokens=TOKENS, temperature=0.9, top_k=64, top_p=0.95, min_p=0.0, repeat_penalty=1.0
        )
        texts.append(prompt + made["choices"][0]["text"])
    return texts


def _apply(llama: Any, file: Path, off: int = 0) -> None:
    """What `--control-vector FILE` does: `direction.N` fills row N - 1, from N = 1 on; the binding has no call for files."""
    rows = np.zeros((_library().llama_model_n_layer(llama.model), llama.n_embd()), dtype=np.float32)
    for tensor in gguf.GGUFReader(file).tensors:
        rows[int(tensor.name.split(".")[1]) - 1 + off] = tensor.data
    apply_rows(_library(), llama.ctx, rows)
    llama._held = rows  # as long as the context


def _library() -> Any:
    import llama_cpp

    return llama_cpp.llama_cpp
