"""`basin verify`, `basin prune`, `basin fork`: arguments to settings, and what was found. Slow imports wait."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from agent.errors import printable
from loops.cli.arguments import RunName


def verify_command(
    run: RunName,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
) -> None:
    """Hold every file of a run against what was written, and against the others; exits with 1 if something is wrong."""
    import json

    from loops.checkpoint.find import find_run
    from loops.diagnostics.verify import verify

    found = verify(find_run(run))
    if as_json:
        print(json.dumps(found.tree(), indent=1))
    else:
        _show_verdict(found, Console())
    if not found.whole:
        raise typer.Exit(1)


def _show_verdict(found, console: Console) -> None:  # noqa: ANN001 (its type is slow to import)
    from loops.checkpoint.prune import size_told
    from loops.monitor.tables import plain_table

    table = plain_table("round", "", "files", "size")
    for each in found.rounds:
        table.add_row(str(each.number), each.kind, str(each.files), size_told(each.bytes))
    console.print(f"[bold]{escape(found.run)}[/]")
    console.print(table)
    for problem in found.problems:
        _say(console, f"[bold red]Wrong:[/] {escape(printable(problem))}")
    for remark in found.remarks:
        _say(console, escape(printable(remark)))
    count = len(found.problems)
    told = "Every file is what was written." if found.whole else f"{count} thing{'s'[: count > 1]} wrong."
    _say(console, told)


def prune_command(
    run: RunName,
    keep: Annotated[
        list[str],
        typer.Option(
            "--keep",
            metavar="RULE",
            help="last:3, every:5, best, best:coherence, or a round's number; may be repeated, a round stays if any says so.",
        ),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go and how much room that is; change nothing.")
    ] = False,
) -> None:
    """Remove what rounds wrote and wrote with; numbers and memberships stay. Round 0 and the two newest are never pruned."""
    from loops.checkpoint.find import open_run
    from loops.checkpoint.prune import plan, prune, size_told
    from loops.monitor.tables import plain_table

    store, console = open_run(run), Console()
    with store.exclusive():
        found = plan(store, [rule for each in keep for rule in each.split(",")])
        table = plain_table("round", "now", "then", "why")
        sizes = {cut.number: cut for cut in found.cuts}
        for number in sorted({*found.kept, *sizes}):
            if cut := sizes.get(number):
                table.add_row(str(number), size_told(cut.bytes), size_told(cut.left), "pruned")
            else:
                table.add_row(str(number), "", "", f"stays: {escape(found.kept[number])}")
        console.print(table)
        if dry_run or not found.cuts:
            told = f"{size_told(found.freed)} would be given back" if found.cuts else "Nothing to prune"
            _say(console, f"{told}; nothing was changed.")
            return
        prune(store, found)
    _say(console, f"{size_told(found.freed)} given back.")


def fork_command(
    run: RunName,
    round_number: Annotated[
        int | None,
        typer.Option("--round", min=0, help="The last round that is taken over; by default the newest."),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting from there on.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="By default RUN-fork, numbered when it is taken.")] = None,
) -> None:
    """Start a new run from a round of another one, with other settings; `basin resume` goes on with it."""
    from loops.checkpoint.find import fresh_path, named_path, open_run
    from loops.checkpoint.fork import fork

    store, console = open_run(run), Console()
    path = named_path(name) if name is not None else fresh_path(f"{store.name}-fork")
    forked, told = fork(store, round_number, settings or (), path)
    _say(console, escape(str(forked.about["origin"]["sentence"])))
    for sentence in told:
        _say(console, escape(sentence))
    _say(
        console,
        f"Run {escape(forked.name)} in {escape(str(forked.path))}; `basin resume {escape(forked.name)}` goes on.",
    )


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True)
