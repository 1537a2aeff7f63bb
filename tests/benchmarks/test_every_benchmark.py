"""Every benchmark imports, so that a renamed function is noticed here."""

from __future__ import annotations

import importlib
from pathlib import Path

import benchmarks

MODULES = [
    importlib.import_module(f"benchmarks.{file.stem}")
    for file in sorted(Path(benchmarks.__file__).parent.glob("*.py"))
    if file.stem != "__init__"
]


def test_every_benchmark_says_how_it_is_run():
    helpers = {"benchmarks.results", "benchmarks.speed_rivals"}
    assert all(
        f"python -m {each.__name__}" in (each.__doc__ or "")
        for each in MODULES
        if each.__name__ not in helpers
    )
