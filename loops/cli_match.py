"""`basin match`: arguments to settings, and the table. Slow imports wait for their command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from loops.arguments import RunName

if TYPE_CHECKING:
    from loops.matching import Matched

SHOWN = 6
"""Candidates in the table."""
COLUMNS = (
    ("overlap", "soft_jaccard"),
    ("on\nreal", "soft_jaccard_real"),
    ("on\nwritten", "soft_jaccard_generated"),
    ("shared", "shared"),
    ("only\nconcept", "only_first"),
    ("only\nmatch", "only_second"),
)


def match_command(
    run: RunName,
    into: Annotated[
        str,
        typer.Option(
            "--in", metavar="SPACE", help="A language model, `embedder`, `lda:COUNT` or `lda:COUNT:SEED`."
        ),
    ],
    origin: Annotated[
        str,
        typer.Option("--from", metavar="WHAT", help="`concept`, `topic`, or a SPACE it is found in first."),
    ] = "concept",
    round_number: Annotated[
        int | None, typer.Option("--round", min=0, help="Which round; by default the newest.")
    ] = None,
    compare: Annotated[
        str | None,
        typer.Option("--compare", metavar="RUN", help="A run refined in that space, to hold it against."),
    ] = None,
) -> None:
    """Find a run's concept in another model without any map: the cluster that shares most of the same texts with it."""
    from loops.match_store import save_match
    from loops.matching import match
    from loops.progress import open_progress
    from loops.runs import open_run

    store = open_run(run)
    other = open_run(compare) if compare else None
    with open_progress(Console(stderr=True)) as progress:
        found = match(store, round_number, into, origin, progress.say, other)
        file = save_match(found, store)
    _show(found, Console())
    Console().print(f"\nMatch: {escape(str(file))}", highlight=False, soft_wrap=True)


def _show(found: Matched, console: Console) -> None:
    from loops.match_store import rows, two_sides
    from loops.printing import printable
    from loops.show import plain_table

    real, written = len(found.texts.passages.passages), len(found.texts.generated)
    console.print(
        f"\n{found.run}, round {found.round}, {found.origin} in {found.into}: "
        + (
            f"half the mass on {real} real passages, half on {written} written ones."
            if written
            else f"all the mass on {real} real passages, since nothing was written."
        ),
        highlight=False,
        soft_wrap=True,
    )
    shown = rows(found)[:SHOWN]
    table = plain_table("cluster", *(header for header, _ in COLUMNS))
    for row in shown:
        name = row["kind"] if row["kind"] == row["cluster"] else f"{row['kind']} {row['cluster']}"
        table.add_row(escape(printable(name)), *(_number(row[key]) for _, key in COLUMNS))
    console.print(table)
    sentences = [f"Topic {row['cluster']}: {row['words']}" for row in shown if "words" in row]
    best = found.candidates[0]
    sentences.append(
        found.nothing
        or f"For memberships dealt out anew the best is {best.chance:.3f}: this is {best.surprise:.1f} deviations more."
    )
    if compared := found.compared:
        sentences.append(
            f"With the concept that was refined there: overlap {compared['match']:.3f} of the match, "
            f"{compared['told']:.3f} of what was looked for; by documents {compared['match_by_documents']:.3f} and "
            f"{compared['told_by_documents']:.3f}."
        )
    for sentence in sentences:
        console.print(escape(sentence), highlight=False, soft_wrap=True)
    for name, beginnings in two_sides(found).items():
        console.print(f"\n[bold]{name.capitalize()}[/]" + ("" if beginnings else ": nothing"))
        for beginning in beginnings:
            console.print(f"  {escape(printable(beginning))}", highlight=False, soft_wrap=True)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
