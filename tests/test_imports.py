"""Parts import only from rows above their own, and nothing that refines a concept reaches gold labels."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
JUDGING = re.compile(r"agent\.judging(\..*)?")
ROWS = [row.split() for row in """
types errors wrong_settings named_configs
plain_files
rejection
sources
words passages
lda_in_steps
topics
lda_stream
topic_cache topic_fusion topic_map opinion pointing
steering_vector steering_manner
gguf_header control_vector
memory
packed_linear output_layer
memory_need
token_batches model_layout device_map model_twin sampling decoding fused_decoder static_decoding
adapter baking gguf_model generation language_model
activation_cache
evidence
concept
sizing
trust
natural_latent
tracking
anchoring
clustering
taught
self_training
starts round_map
fading fixed_points certificate plane
refining
coherence
updating
stitching
handover overlap matching
judging
""".strip().splitlines()]  # fmt: skip


DOOR = ("loops", "loops.api.run")
"""`from loops import Run`: a name that the package imports when a user asks for it, and nothing inside does (a test below)."""


def _sources() -> dict[str, str]:
    files = [file for folder in ("agent", "loops") for file in (ROOT / folder).rglob("*.py")]
    return {
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file.read_text()
        for file in files
    }


def _imports(name: str, source: str, modules: Mapping[str, str]) -> set[str]:
    """Modules of the project that a module imports anywhere, lazily too, or names in a string."""
    found: set[str] = set()
    package = (
        name.split(".") if any(each.startswith(f"{name}.") for each in modules) else name.split(".")[:-1]
    )
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            found |= {origin, *(f"{origin}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= {node.value}  # importlib.import_module("agent.judging")
    return {module for module in found if module in modules and (name, module) != DOOR} - {name}


def _row(module: str) -> int | None:
    part = module.split(".")[1]
    return next((number for number, row in enumerate(ROWS) if part in row), None)


def _breaches(modules: Mapping[str, str]) -> list[str]:
    """`importer -> imported` where a part of the agent imports from a row below it, or from the loops."""
    parts = [name for name in modules if name.startswith("agent.")]
    return [
        f"{name} -> {other}"
        for name in parts
        for other in _imports(name, modules[name], modules) - {"agent"}
        if other.startswith("loops") or (_row(other) or 0) > (_row(name) or 0)
    ]


def _reachable(start: str, modules: Mapping[str, str]) -> set[str]:
    reached, waiting = set(), [start]
    while waiting:
        name = waiting.pop()
        if name in modules and name not in reached:
            reached.add(name)
            waiting += [name.rpartition(".")[0], *_imports(name, modules[name], modules)]
    return reached


def test_every_part_has_a_row() -> None:
    assert [name for name in _sources() if name.startswith("agent.") and _row(name) is None] == []


def test_parts_import_only_from_rows_above() -> None:
    assert _breaches(_sources()) == []


@pytest.mark.parametrize(
    "start",
    [
        *(
            "loops.refine",
            "loops.round.context",
            "loops.checkpoint.store",
            "loops.monitor.progress",
            "loops.config",
        ),
        *(
            "loops.basin_map.map",
            "loops.basin_map.full_flow",
            "loops.round.certify",
            "loops.transfer.chain",
            "loops.transfer.stitch",
            "loops.transfer.general_text",
            "loops.transfer.match",
        ),
    ],
)
def test_what_refines_cannot_reach_the_gold_labels(start: str) -> None:
    modules = _sources()
    reached = _reachable(start, modules)
    assert start in reached
    assert [name for name in reached if JUDGING.fullmatch(name)] == []


def _through_the_door(modules: Mapping[str, str]) -> list[str]:
    """Modules inside that import `Run`, from either place."""
    inside = {**modules, "loops.Run": ""}
    return [name for name in modules if _imports(name, inside[name], inside) & {"loops.api.run", "loops.Run"}]


def test_nothing_inside_goes_through_the_door_for_users() -> None:
    assert _through_the_door(_sources()) == []
    assert "loops.evaluation.measure" in _imports("loops.api.run", _sources()["loops.api.run"], _sources())


@pytest.mark.parametrize(
    "smuggled", ["from loops import Run", "from loops.api.run import Run", "from .api import Run"]
)
def test_who_goes_through_the_door_is_found(smuggled: str) -> None:
    modules = {
        "loops": "def late():\n    from loops.api.run import Run",
        "loops.api.run": "",
        "loops.refine": smuggled,
    }
    assert _through_the_door(modules) == ["loops.refine"]


@pytest.mark.parametrize(
    "smuggled",
    [
        "def late():\n    from agent.judging import gold",
        "import agent.judging.gold as labels",
        "from agent import judging",
        "from .judging.gold import GoldLabels",
        "import importlib\nimportlib.import_module('agent.judging.gold')",
    ],
)
def test_smuggled_labels_are_found(smuggled: str) -> None:
    modules = {
        "agent": "",
        "agent.judging": "",
        "agent.judging.gold": "",
        "agent.basin.tracking": smuggled,
        "loops.refine": "from agent.basin.tracking import movement",
    }
    assert any(JUDGING.fullmatch(name) for name in _reachable("loops.refine", modules))
    assert [
        breach for breach in _breaches(modules) if breach.startswith("agent.basin.tracking -> agent.judging")
    ]
    assert not _breaches({**modules, "agent.basin.tracking": "from agent.errors import BasinError"})
