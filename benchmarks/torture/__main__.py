"""`python -m benchmarks.torture [--kills 300] [--fresh 30] [--only PART]`: all of it, going on where it was stopped.

Writes results/torture.json. What is finished lies in `--folder` as lines of JSON, so a run that is stopped, or a part that is
added, repeats nothing. Half an hour to two hours, on one core.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.torture import kept, summary
from benchmarks.torture.ground import METHODS, make_ground
from benchmarks.torture.kills import Live, Undisturbed, tortured, undisturbed
from benchmarks.torture.lives import Nursery, fresh
from loops.checkpoint.find import checkpoints_folder
from loops.monitor.progress import Progress, open_progress

PARTS = ("kills", "fresh", "faults", "soak", "overhead")


def main(
    kills: Annotated[int, typer.Option(help="Kills of forked processes.")] = 300,
    afresh: Annotated[int, typer.Option("--fresh", help="Kills of processes that start afresh.")] = 30,
    folder: Annotated[Path | None, typer.Option(help="Where it works; on a real disk.")] = None,
    only: Annotated[list[str] | None, typer.Option(help=f"One of {', '.join(PARTS)}.")] = None,
    fault: Annotated[list[str] | None, typer.Option(help="Only these of the faults, by name.")] = None,
    seed: Annotated[int, typer.Option(help="Of the moments of the kills.")] = 0,
    rounds: Annotated[int, typer.Option(help="Of the soak.")] = 200,
    write: Annotated[bool, typer.Option(help="Write results/torture.json.")] = True,
) -> None:
    """Torture runs, and count what survives."""
    place = (folder or checkpoints_folder() / "torture").resolve()
    wanted = tuple(only or PARTS)
    with open_progress(Console(stderr=True)) as progress:
        make_ground(place)
        if "kills" in wanted:
            with Nursery(place / "nursery") as nursery:
                _kill(nursery.live, place, "kills", kills, seed, progress)
        if "fresh" in wanted:
            _kill(lambda *order: fresh(place / "fresh", *order), place, "fresh", afresh, seed + 1, progress)
        if "faults" in wanted:
            from benchmarks.torture import faults

            faults.inject_all(place, progress, fault)
        if "soak" in wanted:
            from benchmarks.torture import soak

            soak.run(place, rounds, progress)
        if "overhead" in wanted:
            from benchmarks.torture import overhead

            overhead.run(place, progress)
    rows = summary.rows(place)
    summary.show(rows, Console())
    if write:
        summary.write(rows)


def _kill(live: Live, folder: Path, part: str, wanted: int, seed: int, progress: Progress) -> None:
    """Runs of every method in turn, until so many kills are counted; a run that was under way is begun anew."""
    known: dict[str, Undisturbed] = {}
    number = len(kept.rows(folder, f"{part}-runs"))
    methods = list(METHODS)
    while (done := len(kept.rows(folder, part))) < wanted:
        method = methods[number % len(methods)]
        progress.say(f"{part}: {done} of {wanted} kills")
        if method not in known:
            known[method] = undisturbed(live, folder, method)
            kept.add(
                folder, "undisturbed", [{"part": part, "method": method, "digest": known[method].digest}]
            )
        dice = random.Random(f"{seed} {part} {number}")
        killed, run = tortured(live, folder, f"{part}-{number}", method, known[method], dice, part == "kills")
        kept.add(folder, f"{part}-runs", [{**run, "kills": len(killed)}])
        kept.add(folder, part, killed)
        if not run["identical"]:
            progress.say(f"{run['run']} did not come out the same: {run.get('different') or run.get('left')}")
        number += 1
    progress.say(f"{part}: {done} of {wanted} kills")


if __name__ == "__main__":
    typer.run(main)
