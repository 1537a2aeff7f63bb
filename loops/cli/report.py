"""`basin report`: arguments to settings, and where the page is. Slow imports wait for their command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from loops.cli.arguments import RunName


def report_command(
    run: RunName,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where to write; by default report.html in the run's folder."),
    ] = None,
    tokens: Annotated[
        bool | None,
        typer.Option(
            "--tokens/--no-tokens",
            help="Read some passages word by word anew, or never; by default where the language model is at hand.",
        ),
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Write a run as one HTML file to look at: map, convergence, who changed, what it wrote, word by word."""
    from loops.checkpoint.find import open_run
    from loops.monitor.progress import show_progress
    from loops.report.make import make_report

    store = open_run(run)
    with show_progress(Console(stderr=True)):
        made = make_report(store, out, tokens)
    for sentence in made.sentences:
        Console(stderr=True).print(escape(sentence), highlight=False, soft_wrap=True)
    Console().print(
        f"Page: {escape(str(made.path))} ({made.megabytes:.1f} MB)", highlight=False, soft_wrap=True
    )
    if show and not _opened(made.path):
        Console(stderr=True).print("There is no browser to open it in here; copy the file to where one is.")


def _opened(path: Path) -> bool:
    import webbrowser

    return webbrowser.open(path.resolve().as_uri())


def compare_command(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN RUN ...", help="Names or paths of runs; `brown:3` is a round of one."),
    ],
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page instead of printing.")
    ] = None,
    limit: Annotated[int, typer.Option("-n", min=1, max=10, help="Passages per list.")] = 5,
) -> None:
    """Lay runs or rounds side by side: settings, curves, overlap, what one holds and another does not, cost."""
    from loops.report.compare import compare
    from loops.report.compare_terminal import show_comparison

    found, console = compare(runs), Console()
    if html is None:
        show_comparison(found, limit, console)
        return
    from loops.report.compare_page import write_comparison

    size = write_comparison(found, html)
    console.print(f"Page: {escape(str(html))} ({size / 1e6:.1f} MB)", highlight=False, soft_wrap=True)
