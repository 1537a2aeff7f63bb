"""The layer rule: a package imports itself and the packages to its left; what refines reaches no gold labels."""

import ast
from collections.abc import Mapping
from pathlib import Path

import pytest

PACKAGES = """
agent types errors progress processes membership hub files config corpora steering pointer language_model concept
clustering basin adapting updating transfer judging
loops config records parallel checkpoint monitor round refine evaluation export report transfer diagnostics
basin_map api cli
"""
ORDER = PACKAGES.split()
KNOWN: set[str] = set()
USERS_DOOR = "loops"  # `loops/__init__.py` imports `loops.api` for users who ask for `loops.Run`


def _sources() -> dict[str, str]:
    root = Path(__file__).resolve().parents[1]
    files = [file for package in ("agent", "loops") for file in (root / package).rglob("*.py")]
    names = [".".join(file.relative_to(root).with_suffix("").parts) for file in files]
    return {name.removesuffix(".__init__"): file.read_text() for name, file in zip(names, files, strict=True)}


def _imports(source: str) -> set[str]:
    """Modules that a source imports anywhere, or names in a string."""
    nodes = list(ast.walk(ast.parse(source)))
    found = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            origin = "relative." * node.level + (node.module or "")
            found |= {origin, *(f"{origin}.{alias.name}" for alias in node.names)}
    return found | {
        node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def _rank(module: str) -> int:
    first, *rest = module.split(".")
    start = ORDER.index(first)
    return start + (ORDER[start:].index(rest[0]) if rest else 0)


def _breaches(sources: Mapping[str, str]) -> set[str]:
    """`importer -> imported` where an import goes to the right, is relative, or reaches gold labels too early."""
    known = {name for name in sources if name != USERS_DOOR}
    graph, found = {}, set()
    for name in known:
        others = _imports(sources[name]) - {name}
        graph[name] = {each for each in others if each in sources or each.startswith("relative.")}
    for name, others in graph.items():
        wrong = {each for each in others if each.startswith("relative.") or _rank(each) > _rank(name)}
        if _rank(name) < ORDER.index("evaluation") and "judging" not in name:
            reached, waiting = {name}, [name]
            while waiting:
                new = graph.get(waiting.pop(), set()) - reached
                reached |= new
                waiting += new
            wrong |= {each for each in reached if each.startswith("agent.judging")}
        found |= {f"{name} -> {other}" for other in wrong}
    return found


def test_packages_import_only_from_their_left():
    assert _breaches(_sources()) == KNOWN


@pytest.mark.parametrize(
    "planted",
    [
        "def late():\n    from agent.judging import gold",
        "import agent.judging.gold as labels",
        "from agent import judging",
        "from .judging.gold import GoldLabels",
        "import importlib\nimportlib.import_module('agent.judging.gold')",
        "import loops.refine",
    ],
)
def test_a_planted_breach_is_found(planted):
    sources = _sources() | {"agent.basin.tracking": planted}
    assert any(breach.startswith("agent.basin.tracking -> ") for breach in _breaches(sources) - KNOWN)


def test_labels_are_found_behind_other_imports():
    sources = {"agent.judging.gold": "", "loops.report.make": "import agent.judging.gold"}
    sources["loops.refine"] = "from loops.report import make"
    assert "loops.refine -> agent.judging.gold" in _breaches(sources)
