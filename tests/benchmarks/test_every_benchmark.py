"""Every benchmark imports, so that a renamed function is noticed here."""

import importlib
from pathlib import Path

import benchmarks

NAMES = {f"benchmarks.{file.stem}" for file in Path(benchmarks.__file__).parent.glob("*.py")}
HELPERS = {"benchmarks.__init__", "benchmarks.passages", "benchmarks.results", "benchmarks.speed_rivals"}


def test_every_benchmark_says_how_it_is_run():
    modules = map(importlib.import_module, sorted(NAMES - HELPERS))
    assert all(f"python -m {each.__name__}" in (each.__doc__ or "") for each in modules)
