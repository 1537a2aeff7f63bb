"""`python -m benchmarks.generation [FOLDER ...]`: what `basin evaluate generation` found, as results, pages and pictures.

Of every task in the folders (by default generation among the runs) it writes rows into results/generation.json (those of other
tasks stay), the first samples of every generator into samples/CORPUS_CONCEPT.md and a picture
frontier_CORPUS_CONCEPT.png. With `--rounds RUN ...` it writes what the rounds of those runs wrote into
results/generation_rounds.json, and looks at folders only if some are named. With `--page-of GENERATOR` it writes all
passages of that one into a page of its own, its rows into results/generation_pages.json, and nothing else.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.errors import BasinError
from benchmarks.frontier import draw_frontier
from benchmarks.generation_rounds import all_rounds
from benchmarks.generation_samples import SHOWN, samples_page
from benchmarks.results import RESULTS, with_earlier, write_results
from loops.checkpoint.find import checkpoints_folder, find_run
from loops.checkpoint.store import RunStore
from loops.evaluation.generation.suite import task_name

PLACE = RESULTS.parent
"""Pages go to `samples` there, pictures right there."""


@dataclass(frozen=True)
class TaskFolder:
    """One corpus and concept, written from and judged."""

    path: Path
    rows: list[dict[str, Any]]

    @property
    def title(self) -> str:
        return f"{self.rows[0]['corpus']}: {self.rows[0]['concept']}"

    @property
    def name(self) -> str:
        """In the names of files; the folder's own, unless it was set aside."""
        return task_name(str(self.rows[0]["corpus"]), str(self.rows[0]["concept"]))


def main(arguments: Sequence[str] | None = None) -> None:
    """Collect, write, and say what was written."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generation", description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER", help="of tasks, or a task's own")
    parser.add_argument("--rounds", nargs="+", default=[], metavar="RUN", help="runs whose rounds to keep")
    parser.add_argument(
        "--page-of", metavar="GENERATOR", help="all that this one wrote, on a page of its own"
    )
    chosen = parser.parse_args(arguments)
    given = list(sys.argv[1:] if arguments is None else arguments)
    command = ["python", "-m", "benchmarks.generation", *given]
    try:
        if chosen.rounds:
            rows = all_rounds([RunStore.open(find_run(name)) for name in chosen.rounds])
            _keep("generation_rounds", rows, command)
        if chosen.page_of:
            tasks = find_tasks(chosen.folders or [checkpoints_folder() / "generation"], _say)
            for task in tasks:
                page = write_page(task, [chosen.page_of], PLACE, f"_{chosen.page_of}", None)
                _say(f"{page.name} is written")
            rows = [row for task in tasks for row in task.rows if row["generator"] == chosen.page_of]
            _keep("generation_pages", rows, command)
        elif chosen.folders or not chosen.rounds:
            tasks = find_tasks(chosen.folders or [checkpoints_folder() / "generation"], _say)
            for task in tasks:
                if not keep_task(task, PLACE):
                    _say(f"{task.title}: no judge can tell it, so there is no picture.")
            rows = [row for task in tasks for row in task.rows]
            kept = with_earlier(
                rows, lambda row: (row["corpus"], row["concept"]), PLACE / "results" / "generation.json"
            )
            _keep("generation", kept, command)
    except BasinError as error:
        raise SystemExit(f"Error: {error}") from None


def find_tasks(folders: Sequence[Path], say: Callable[[str], None]) -> list[TaskFolder]:
    """Every finished task in the folders, in the order of its name; what was set aside there is left out.

    Raises:
        BasinError: none is there, rows cannot be read, or two folders hold the same task.
    """
    files = [
        file
        for folder in folders
        for file in ([folder / "rows.json"] if (folder / "rows.json").exists() else _inside(folder))
    ]
    found: dict[str, TaskFolder] = {}
    for file in files:
        task = TaskFolder(file.parent, _read(file))
        if task.path.resolve().name != task.name:
            say(f"{task.path} was set aside when {task.title} was evaluated anew: it is left out.")
        elif task.name in found:
            raise BasinError(f"{task.title} is both in {found[task.name].path} and in {task.path}; name one.")
        else:
            found[task.name] = task
    if not found:
        named = ", ".join(map(str, folders))
        raise BasinError(
            f"There is no finished task in {named}; `basin evaluate generation` writes and judges some."
        )
    return list(found.values())


def keep_task(task: TaskFolder, place: Path) -> bool:
    """Write a task's page of samples and its picture; whether there was anything to draw.

    Raises:
        BasinError: the passages of a generator are not there.
    """
    write_page(task, [str(row["generator"]) for row in task.rows], place)
    return draw_frontier(place / f"frontier_{task.name}.png", task.title, task.rows)


def write_page(
    task: TaskFolder, generators: Sequence[str], place: Path, ending: str = "", most: int | None = SHOWN
) -> Path:
    """Write what generators of a task wrote as a page of samples; raises `BasinError` where that is not there."""
    judged = {name: _read(task.path / "judged" / f"{name}.json") for name in generators}
    page = place / "samples" / f"{task.name}{ending}.md"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(samples_page(task.title, judged, most), encoding="utf-8")
    return page


def _inside(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/rows.json"))


def _read(file: Path) -> list[dict[str, Any]]:
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError):
        content = None
    if not isinstance(content, list) or not content:
        raise BasinError(f"{file} is missing or damaged; `basin evaluate generation` writes it again.")
    return content


def _keep(name: str, rows: Sequence[dict[str, Any]], command: Sequence[str]) -> None:
    if not rows:
        raise BasinError("None of these runs has a whole round, so there is nothing to keep.")
    path = write_results(name, rows, command)
    _say(f"{len(rows)} rows in {path.name}; `python -m benchmarks.render` makes the page of them")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
