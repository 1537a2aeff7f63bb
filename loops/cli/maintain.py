"""`basin doctor`, `basin verify` and `basin fork`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from loops.cli.arguments import RoundNumber, RunName, Settings, complete_config, print_line

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


def verify(run: RunName) -> None:
    """Check every file of a run against its manifest and the others; exits with 1 on damage."""
    from loops.checkpoint.find import find_run
    from loops.diagnostics.verify import verify

    found = verify(find_run(run))
    _show_verdict(found, Console())
    if not found.whole:
        raise typer.Exit(1)


def _show_verdict(found: Verdict, console: Console) -> None:
    from rich.filesize import decimal

    from loops.monitor.tables import plain_table

    table = plain_table("round", "", "files", "size")
    for each in found.rounds:
        table.add_row(str(each.number), each.kind, str(each.files), decimal(each.bytes))
    console.print(f"[bold]{escape(found.run)}[/]")
    console.print(table)
    for problem in found.problems:
        print_line(f"Wrong: {problem}")
    for remark in found.remarks:
        print_line(remark)
    count = len(found.problems)
    print_line("Every file is as written." if found.whole else f"{count} problem{'s'[: count > 1]} found.")


def fork(
    run: RunName,
    *,
    round_number: RoundNumber = None,
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
