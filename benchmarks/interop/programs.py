"""llama.cpp's own program, as a user types it: `llama-completion --model … --control-vector …`; it has to be on PATH."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from benchmarks.interop.bench import TOKENS, Bench, Row, row
from benchmarks.interop.llama import base_model

PROGRAM = "llama-completion"
GREEDY = 16
"""Tokens of a text that is compared word for word."""


def rows(bench: Bench) -> Iterator[Row]:
    """What the program writes with a control vector and without, greedily and by chance.

    Raises:
        ImportError: it is not on PATH.
    """
    if shutil.which(PROGRAM) is None:
        raise ImportError(f"{PROGRAM} is not on PATH")
    base, vector = base_model(bench), bench.export("control-vector", bench.steered)
    here, plain = bench.greedy(bench.steered, GREEDY), bench.greedy(None, GREEDY)
    there = [_write(base, prompt, GREEDY, vector) for prompt in bench.prompts]
    yield _found(
        "control-vector",
        f"of {len(there)} texts of {GREEDY} greedy tokens: share that are Basin's under the vector (value), and share that "
        "are the base model's (base)",
        _same(there, here),
        _same(there, plain),
    )
    under, without = (
        [
            prompt + _write(base, prompt, TOKENS, given, seed)
            for seed, prompt in enumerate(bench.prompts, start=1)
        ]
        for given in (vector, None)
    )
    yield _found(
        "control-vector",
        "mean membership of what it writes under the vector (value) and without it (base)",
        bench.membership(under, bench.steered),
        bench.membership(without, bench.steered),
    )


def _found(export: str, effect: str, value: float, base: float) -> Row:
    return {**row(export, PROGRAM, None, effect, value, base), "version": _version()}


def _version() -> str:
    told = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True)
    match = re.search(r"commit (\w+)", told.stdout + told.stderr)
    return match[1] if match else "unknown"


def _write(model: Path, prompt: str, tokens: int, vector: Path | None, seed: int = 0) -> str:
    """What follows the prompt; greedily where the seed is 0."""
    steering = ["--control-vector", str(vector)] if vector else []
    sampling = (
        ["--temp", "0.9", "--top-k", "64", "--top-p", "0.95", "--min-p", "0"] if seed else ["--temp", "0"]
    )
    told = subprocess.run(
        [
            PROGRAM,
            "--model",
            str(model),
            "--prompt",
            prompt,
            "--predict",
            str(tokens),
            "--threads",
            "1",
            *steering,
        ]
        + [*sampling, "--seed", str(seed), "--no-conversation", "--no-display-prompt", "--simple-io"],
        capture_output=True,
        text=True,
        check=True,
    )
    return told.stdout.removesuffix("\n").removesuffix(" [end of text]").rstrip("\n")


def _same(there: list[str], here: list[str]) -> float:
    return sum(one.strip() == other.strip() for one, other in zip(there, here, strict=True)) / len(here)
