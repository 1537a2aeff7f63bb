"""`basin doctor`, `basin verify`, `basin prune` and `basin fork`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from loops.cli.arguments import RunName, Settings, complete_config, print_line

if TYPE_CHECKING:
    from loops.diagnostics.verify import Verdict


def doctor(
    subject: Annotated[
        Path | None,
        typer.Argument(
            metavar="[CONFIG|MODEL]",
            help="A config to estimate, by default brown; or a model: a name, folder, GGUF file or architecture.",
            autocompletion=complete_config,
        ),
    ] = None,
    *,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Let a model run the Python code that it brings.")
    ] = False,
) -> None:
    """Print what is installed, this machine's speed and the cost of a run; or what a model supports."""
    from agent.config import named_configs
    from loops.monitor.progress import show_progress

    is_config = subject is None or subject.suffix in (".yaml", ".yml") or str(subject) in named_configs()
    with show_progress(Console(stderr=True)):
        if is_config:
            from loops.diagnostics.doctor import examine

            examine(subject, Console())
            return
        from loops.diagnostics.model_check import check_model, show_model

        check = check_model(str(subject), trust_remote_code)
    show_model(check, Console())
    if not check.usable:
        raise typer.Exit(1)


def verify(
    run: RunName,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Check every file of a run against its manifest and the others; exits with 1 on damage."""
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


def _show_verdict(found: Verdict, console: Console) -> None:
    from loops.checkpoint.prune import format_bytes
    from loops.monitor.tables import plain_table

    table = plain_table("round", "", "files", "size")
    for each in found.rounds:
        table.add_row(str(each.number), each.kind, str(each.files), format_bytes(each.bytes))
    console.print(f"[bold]{escape(found.run)}[/]")
    console.print(table)
    for problem in found.problems:
        print_line(f"Wrong: {problem}")
    for remark in found.remarks:
        print_line(remark)
    count = len(found.problems)
    print_line("Every file is as written." if found.whole else f"{count} problem{'s'[: count > 1]} found.")


def prune(
    run: RunName,
    *,
    keep: Annotated[
        list[str],
        typer.Option(
            "--keep",
            metavar="RULE",
            help="last:3, every:5, best, best:coherence, or a round number; repeatable, any rule keeps a round.",
        ),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be deleted, and change nothing.")
    ] = False,
) -> None:
    """Delete samples and adapters of rounds; numbers and memberships stay.

    Round 0 and the two newest rounds are never pruned.
    """
    from loops.checkpoint.find import open_run
    from loops.checkpoint.prune import format_bytes, plan, prune
    from loops.monitor.tables import plain_table

    store = open_run(run)
    with store.exclusive():
        found = plan(store, [rule for each in keep for rule in each.split(",")])
        table = plain_table("round", "now", "then", "why")
        sizes = {cut.number: cut for cut in found.cuts}
        for number in sorted({*found.kept, *sizes}):
            if cut := sizes.get(number):
                table.add_row(str(number), format_bytes(cut.bytes), format_bytes(cut.left), "pruned")
            else:
                table.add_row(str(number), "", "", f"stays: {escape(found.kept[number])}")
        Console().print(table)
        if dry_run or not found.cuts:
            freed = f"{format_bytes(found.freed)} would be freed" if found.cuts else "Nothing to prune"
            print_line(f"{freed}; nothing was changed.")
            return
        prune(store, found)
    print_line(f"{format_bytes(found.freed)} freed.")


def fork(
    run: RunName,
    *,
    round_number: Annotated[
        int | None, typer.Option("--round", min=0, help="Last round to take over; by default the newest.")
    ] = None,
    settings: Settings = None,
    name: Annotated[str | None, typer.Option(help="By default RUN-fork, numbered when it is taken.")] = None,
) -> None:
    """Start a run from a round of another, with other settings; `basin resume` continues it."""
    from loops.checkpoint.find import fresh_path, named_path, open_run
    from loops.checkpoint.fork import fork

    store = open_run(run)
    path = named_path(name) if name is not None else fresh_path(f"{store.name}-fork")
    forked, sentences = fork(store, round_number, settings or (), path)
    for sentence in (str(forked.about["origin"]["sentence"]), *sentences):
        print_line(sentence)
    print_line(f"Run {forked.name} in {forked.path}; `basin resume {forked.name}` continues.")
