"""`basin probe`: what can be done with a model, on a terminal. Slow imports wait for their command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from agent.errors import printable
from agent.progress import timed

if TYPE_CHECKING:
    from loops.diagnostics.probing import Probe


def probe_command(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="An embedded model, a folder, a GGUF file, a hub id, or an architecture such as qwen3_moe.",
        ),
    ],
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Let a model run the Python code that comes with it.")
    ] = False,
) -> None:
    """Say in seconds whether a model can be recorded, steered, written with and adapted; its weights are not loaded."""
    from loops.monitor.progress import show_progress

    with show_progress(Console(stderr=True)), timed(f"trying {model}"):
        from loops.diagnostics.probing import probe

        found = probe(model, trust_remote_code)
    show(found, Console())
    if not found.usable:
        raise typer.Exit(1)


def show(found: Probe, console: Console) -> None:
    """A line for everything that is known."""
    from loops.monitor.tables import plain_table

    console.print(
        f"[bold]{escape(printable(found.trial.architecture))}[/], by {escape(printable(found.origin))}",
        soft_wrap=True,
    )
    table = plain_table("", "")
    table.columns[1].justify = "left"
    table.columns[1].overflow = "fold"
    for what, value in lines(found):
        table.add_row(what, escape(printable(value)))
    console.print(table)


def lines(found: Probe) -> list[tuple[str, str]]:
    """What is said, and of what."""
    trial = found.trial
    said = [("recorded", _yes(trial.recorded)), ("steered", _yes(trial.steered))]
    said.append(("written with", "yes, fused" if trial.fused and trial.generated else _yes(trial.generated)))
    said.append(("adapted", _yes(trial.adapted)))
    if trial.note:
        said.append(("note", trial.note))
    layers = ", ".join(map(str, found.layers))
    said += [
        ("blocks", f"{found.blocks}: {found.depth} of width {found.width}"),
        ("layers", f"{layers} unless configured otherwise; 1 to {found.depth - 1} can be"),
        *((f"LoRA, {modules}", ", ".join(names) or "none") for modules, names in found.targets.items()),
        (
            "parameters",
            f"{found.parameters / 1e6:,.0f} million, {2 * found.parameters / 1e9:.1f} GB in bfloat16",
        ),
        (
            "memory",
            ", ".join(f"{stage} {size:.1f} GB" for stage, size in found.gigabytes.items()) + ", in bfloat16",
        ),
    ]
    if found.quantised:
        said.append(("quantised", found.quantised))
    said.append(("exports", ", ".join(found.exports) or "none"))
    return said


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"
