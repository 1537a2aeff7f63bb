"""Tables of results: `python -m benchmarks.render` writes RESULTS.md; `python -m benchmarks.render NAME` prints one.

RESULTS.md shows what no page of docs/ tabulates already. A printed table has every row and column of its file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.results import RESULTS
from loops.evaluation.tables import method_rows

OUTPUT = RESULTS.parent / "RESULTS.md"
INTRODUCTION = """# Results

Rendered from `benchmarks/results/*.json` by `python -m benchmarks.render`; edit neither. Those files
hold every row, and a header with command, commit, machine and versions. Rows named `basin` are ours,
`gold-` used gold labels, `topic-` the topic alone, `prompt-` an instruction. A dash means not
measured.
"""
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Section:
    """How a results file is shown: its columns, all where empty, and which rows."""

    sentence: str
    columns: Sequence[str] = ()
    shown: Callable[[Row], object] = lambda row: True


# fmt: off
GENERATORS = ("base", "prompt-name", "basin-preferred-steered", "gold-preferred-steered")
SECTIONS = {
    "basin": Section(
        "Starting pointers followed until they rest. A better start has a precision of 0.5 at the concept's size.",
        ("method", "size", "starts", "settled", "fixed_points", "better_starts", "same_fixed_point_share", "topic_ap",
         "fixed_point_ap", "ceiling_ap", "certified", "certificate_precision", "minutes_2_workers")),
    "fuzz": Section("Malformed inputs to every reader."),
    "generation": Section(
        "Continuations of neutral openings, judged by classifiers trained on gold labels. "
        "Inside: the mean of scores A and B is at least half-way from real others to real members.",
        ("corpus", "concept", "generator", "inside_and_readable", "coherent_share", "cluster_score_a", "cluster_score_b",
         "cluster_score_c", "kl_per_token", "vendi_ratio"),
        lambda row: row["generator"] in GENERATORS),
    "interop": Section(
        "Exports of one run in their consumers, and pointers from elsewhere; `effect` says what value and base are.",
        ("tool", "consumer", "version", "effect", "value", "base"),
        lambda row: row["part"] == "pointers" or "logits" in row["effect"]),
    "lesson": Section(
        "Adapters by the documents that taught them. Losses are in nats per token on held-out documents.",
        ("run", "generator", "model", "tokens", "from_corpus", "member_loss", "other_loss", "seconds")),
    "reading": Section(
        "Passages that a reader judged without knowing their source; docs/results.md says how. `error` is by bootstrap.",
        ("corpus", "concept", "generator", "model", "passages", "share", "reader_cluster_score", "error", "thread_share",
         "readable_share", "sheet", "reader")),
    "speed": Section(
        "Tokens per second, and how many times slower than Basin.",
        ("stage", "dtype", "batch", "passages", "tool", "tokens_per_second", "ratio_to_ours", "share_of_limit", "peak_gb"),
        lambda row: row["stage"] in ("write", "record", "teach")),
    "torture": Section("Kills by the last completed unit, faults, and damaged copies of a run."),
}
# fmt: on


def render(folder: Path = RESULTS) -> str:
    """The whole of RESULTS.md."""
    names = [*SECTIONS, "membership"]
    found = {name: folder / f"{name}.json" for name in sorted(names)}
    parts = [render_file(name, load(path)) for name, path in found.items() if path.exists()]
    return "\n".join([INTRODUCTION, *parts])


def load(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


def render_file(name: str, content: Mapping[str, Any]) -> str:
    """Heading, command and tables of one results file."""
    header, rows = content["header"], content["rows"]
    lines = [f"## {name}", "", f"`{header['command']}` at {header['commit']}; {header['machine']}.", ""]
    if name.startswith("membership"):
        return "\n".join([*lines, *membership(rows), ""])
    section = SECTIONS.get(name, Section(""))
    lines += [section.sentence, ""] if section.sentence else []
    rows = [row for row in rows if section.shown(row)]
    columns = [name for name in section.columns if any(name in row for row in rows)]
    lines += [*table(columns or dict.fromkeys(name for row in rows for name in row), rows), ""]
    return "\n".join(lines)


def membership(rows: Sequence[Row]) -> list[str]:
    """Means of every method over concepts and seeds."""
    summary = method_rows(rows)
    lines = [f"{len(rows)} rows, {len({row['seed'] for row in rows})} seeds, on held-out documents.", ""]
    return [*lines, *table(list(summary[0]), summary)]


def table(columns: Iterable[str], rows: Sequence[Row]) -> list[str]:
    """Lines of a Markdown table; columns of numbers are right-aligned."""
    columns = list(columns)
    numeric = {name for name in columns if all(_is_number(row.get(name)) for row in rows)}
    return [
        _line(name.replace("_", " ") for name in columns),
        _line("---:" if name in numeric else "---" for name in columns),
        *(_line(cell(row.get(name)) for name in columns) for row in rows),
    ]


def cell(value: Any) -> str:
    """A value as a table shows it: three digits after the point, or three significant ones above 10."""
    if value is None or isinstance(value, bool):
        return {None: "–", True: "yes", False: "no"}[value]
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 100 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value).replace("|", "\\|").replace("\n", " ")


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def main(
    name: Annotated[str | None, typer.Argument(help="A results file to print as one table.")] = None,
    check: Annotated[bool, typer.Option(help="Only check that RESULTS.md is up to date.")] = False,
) -> None:
    """Write RESULTS.md, or print one table."""
    if name:
        rows = load(RESULTS / f"{name}.json")["rows"]
        print("\n".join(table(dict.fromkeys(key for row in rows for key in row), rows)))
    elif check and render() != OUTPUT.read_text(encoding="utf-8"):
        raise SystemExit("benchmarks/RESULTS.md is out of date; run python -m benchmarks.render.")
    elif not check:
        OUTPUT.write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
