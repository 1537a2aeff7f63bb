"""`basin inspect`, `basin report` and `basin measure`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from loops.cli.arguments import RoundNumber, RunName, print_line


def inspect(
    run: RunName,
    *,
    round_number: RoundNumber = None,
    limit: Annotated[int, typer.Option("-n", min=1, help="Passages per list.")] = 10,
    follow: Annotated[
        bool, typer.Option("--follow", help="Print what the run is doing, until it ends or Ctrl-C.")
    ] = False,
) -> None:
    """Print a run's table of rounds; with --round also members, what entered and left, and samples."""
    from loops.checkpoint.find import find_run, open_run

    if follow:
        _follow(find_run(run))
        return
    from loops.report.terminal import show_round, show_run

    store = open_run(run)
    show_run(store, Console())
    if round_number is not None:
        show_round(store, round_number, limit, Console())


def _follow(path: Path) -> None:
    from loops.monitor.follow import follow, outcome

    for line in follow(path):
        print_line(line)
    finished, sentence = outcome(path)
    print_line(sentence)
    if not finished:
        raise typer.Exit(1)  # so that a script can tell a dead run from a finished one


def report(
    run: RunName,
    *,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="By default report.html in the run's folder.")
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open the file in the browser.")] = False,
) -> None:
    """Write a run as one HTML file: map, convergence, members, samples."""
    import webbrowser

    from loops.checkpoint.find import open_run
    from loops.monitor.progress import show_progress
    from loops.report.make import make_report

    store = open_run(run)
    with show_progress(Console(stderr=True)):
        made = make_report(store, out)
    for sentence in made.sentences:
        print_line(sentence, error=True)
    print_line(f"Page: {made.path} ({made.megabytes:.1f} MB)")
    if show and not webbrowser.open(made.path.resolve().as_uri()):
        print_line("This machine has no browser; copy the file to one that has.", error=True)


def measure(
    run: RunName,
    *,
    writing: Annotated[
        bool, typer.Option("--writing", help="Also judge what the newest round generated.")
    ] = False,
) -> None:
    """Compare a run's rounds with the gold labels of its corpus; the run itself never reads them."""
    from loops.checkpoint.find import open_run
    from loops.evaluation import measure
    from loops.monitor.progress import show_progress
    from loops.report.terminal import show_judgement, show_run

    store = open_run(run)
    with show_progress(Console(stderr=True)):
        measure.measure(store)
        judged = measure.judge(store) if writing else None
    show_run(store, Console())
    if judged is not None:
        show_judgement(judged, Console())
