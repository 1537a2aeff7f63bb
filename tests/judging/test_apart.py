"""Nothing that refines a concept can reach what reads gold labels, by whatever chain of imports."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def file_of(module: str) -> Path | None:
    stem = ROOT.joinpath(*module.split("."))
    return next((path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file()), None)


def imported_by(path: Path) -> set[str]:
    """Modules of this project that a file imports anywhere, also inside functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import, which this test does not follow"
            names |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    # Importing a.b.c also runs a and a.b.
    parents = {name.rsplit(".", depth)[0] for name in names for depth in range(name.count(".") + 1)}
    return {name for name in names | parents if file_of(name)}


def reachable_from(module: str) -> set[str]:
    found, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += imported_by(file_of(name))
    return found


@pytest.mark.parametrize("module", ["loops.refine", "loops.store", "loops.config"])
def test_the_loop_does_not_reach_judging(module):
    reached = reachable_from(module)
    assert "agent.types" in reached
    assert {
        name for name in reached if name.startswith("agent.judging") or name == "loops.measuring"
    } == set()


def test_judging_would_be_found_if_it_were_reached():
    assert "agent.judging.gold" in reachable_from("loops.measuring")
