"""`basin compare`: arguments to settings, nothing else. Slow imports wait for their command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape


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
    from loops.compare_table import show_comparison
    from loops.comparing import compare

    found, console = compare(runs), Console()
    if html is None:
        show_comparison(found, limit, console)
        return
    from loops.report.compare_page import write_comparison

    size = write_comparison(found, html)
    console.print(f"Page: {escape(str(html))} ({size / 1e6:.1f} MB)", highlight=False, soft_wrap=True)
