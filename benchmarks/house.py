"""Size, layers and prose of the project beside its plan: `python -m benchmarks.house`."""

from __future__ import annotations

import ast
import re
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import networkx
import typer

AGENT = """types errors progress processes membership hub files config corpora steering pointer language_model concept
clustering basin adapting updating transfer judging"""
LOOPS = """config records parallel checkpoint monitor round refine evaluation export report transfer diagnostics
basin_map api cli"""
LAYERS = [*(f"agent.{name}" for name in AGENT.split()), *(f"loops.{name}" for name in LOOPS.split())]
END = re.compile(r"(?<=[.!?])[\"”)*_]*\s+(?=[\"“(*_`\[]*[A-Z0-9`])")
ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Figure:
    """One measured quantity, the plan's upper bound, and the worst places."""

    name: str
    found: float
    plan: float
    places: tuple[str, ...] = ()


def measure(root: Path) -> list[Figure]:
    """All figures of a project folder."""
    files = [file for each in ("agent", "loops") for file in sorted((root / each).rglob("*.py"))]
    code = {str(file.relative_to(root)): file.read_text(encoding="utf-8") for file in files}
    return [*_code(code), *_imports(code), *_around(root), *_prose(root)]


def _code(code: Mapping[str, str]) -> Iterator[Figure]:
    sizes = {name: text.count("\n") for name, text in code.items()}
    folders = Counter(str(Path(name).parent) for name in code if not name.endswith("__init__.py"))
    functions = {
        f"{name}:{node.lineno} {node.name}": node
        for name, text in code.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    yield Figure("files", len(sizes), 210)
    yield Figure("lines", sum(sizes.values()), 29_000)
    yield Figure("median file", statistics.median(sizes.values() or [0]), 250)
    yield Figure("largest file", max(sizes.values(), default=0), 400)
    yield Figure("files in one folder", max(folders.values(), default=0), 13, _worst(folders, 13))
    yield _over("files over 400 lines", sizes, 400)
    lengths = {name: (node.end_lineno or 0) - node.lineno + 1 for name, node in functions.items()}
    yield _over("functions over 60 lines", lengths, 60)
    given = {name: node.args.posonlyargs + node.args.args for name, node in functions.items()}
    positional = {name: sum(each.arg not in ("self", "cls") for each in args) for name, args in given.items()}
    yield _over("functions with over 5 positional parameters", positional, 5)


def _imports(code: Mapping[str, str]) -> Iterator[Figure]:
    """Imports that run up against the layers, and circles between concepts; an import in a function counts."""
    modules = {name[:-3].replace("/", ".").removesuffix(".__init__"): text for name, text in code.items()}
    layer = {module: ".".join(module.split(".")[:2]) for module in modules}
    known = [module for module in modules if layer[module] in LAYERS]
    arrows: dict[tuple[str, str], str] = {}
    for module in known:
        targets = {each for node in ast.walk(ast.parse(modules[module])) for each in _targets(node)}
        arrows |= {(layer[module], layer[each]): f"{module} -> {each}" for each in targets & set(known)}
    up = sorted(arrow for (a, b), arrow in arrows.items() if LAYERS.index(a) < LAYERS.index(b))
    yield Figure("imports against the layers", len(up), 0, tuple(up))
    groups = networkx.strongly_connected_components(networkx.DiGraph(arrows.keys()))
    shown = tuple(", ".join(sorted(each)) for each in groups if len(each) > 1)
    yield Figure("import circles between folders", len(shown), 0, shown)


def _targets(node: ast.AST) -> list[str]:
    if isinstance(node, ast.ImportFrom) and node.module:
        return [node.module, *(f"{node.module}.{each.name}" for each in node.names)]
    return [each.name for each in node.names] if isinstance(node, ast.Import) else []


def _around(root: Path) -> Iterator[Figure]:
    for folder, plan in (("tests", 18_000), ("benchmarks", 4_000)):
        lines = sum(file.read_text(encoding="utf-8").count("\n") for file in (root / folder).rglob("*.py"))
        yield Figure(f"lines of {folder}", lines, plan)
    files = [file for file in (root / "benchmarks").rglob("*") if file.suffix not in (".py", ".pyc", "")]
    files += [file for file in (root / "docs").rglob("*") if file.suffix in (".png", ".svg")]
    sizes = {str(file.relative_to(root)): file.stat().st_size for file in files}
    yield Figure("bytes of results and pictures", sum(sizes.values()), 3_000_000, _worst(sizes, 100_000))
    readme = (root / "README.md").read_text(encoding="utf-8")
    yield Figure("README lines", readme.count("\n"), 200)
    yield Figure("README words", len(readme.split()), 1_600)


def _prose(root: Path) -> Iterator[Figure]:
    long, wide = Counter[str](), Counter[str]()
    for page in (root / "README.md", *sorted(root.glob("docs/*.md"))):
        text = page.read_text(encoding="utf-8")
        long |= {f"{page.name}: {each[:70]}": len(each.split()) for each in sentences(text)}
        for number, line in enumerate(_running(text), 1):
            wide[f"{page.name}:{number}"] = len(re.sub(r"\]\([^)]*\)", "]", line))
    yield _over("sentences over 25 words", long, 25)
    yield _over("prose lines over 100 characters", wide, 100)


def _running(text: str) -> list[str]:
    """Lines of running text; those of code, tables, headings and comments are emptied."""
    hidden = re.compile(r"<!--.*?-->|^ *(```|~~~).*?^ *\1", re.S | re.M)
    lines = hidden.sub(lambda found: "\n" * found[0].count("\n"), text).splitlines()
    return ["" if line.lstrip().startswith(("#", "|", "<", "![")) else line for line in lines]


def sentences(text: str) -> list[str]:
    """Sentences of running text; inline code counts as one word, a link as its text."""
    found = []
    for block in re.split(r"\n\s*\n|\n(?=\s*(?:[-*>]|\d+\.)\s)", "\n".join(_running(text))):
        flat = re.sub(r"`[^`]+`", "`code`", re.sub(r"^\s*(?:[-*>]|\d+\.)\s+", "", " ".join(block.split())))
        flat = re.sub(r"!?\[([^]]*)\]\([^)]*\)", r"\1", flat)
        found += [each for each in END.split(flat) if each]
    return found


def _over(name: str, sizes: Mapping[str, int], bound: int) -> Figure:
    return Figure(name, sum(size > bound for size in sizes.values()), 0, _worst(sizes, bound))


def _worst(sizes: Mapping[str, int], bound: int) -> tuple[str, ...]:
    return tuple(f"{place} ({size:,})" for place, size in Counter(sizes).most_common(10) if size > bound)


def main(root: Path = ROOT) -> None:
    """Print every figure beside its plan, and the worst places of those above it."""
    for each in measure(root):
        above = each.found > each.plan
        print(f"{'!' if above else ' '} {each.name:<46}{each.found:>12,}{each.plan:>12,}")
        for place in each.places if above else ():
            print(f"      {place}")


if __name__ == "__main__":
    typer.run(main)
