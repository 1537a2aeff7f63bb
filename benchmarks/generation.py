"""Results and pages of `basin evaluate generation`: `python -m benchmarks.generation [FOLDER ...]`.

Rows of every finished task, by default of the folder generation among the runs, go into results/generation.json;
rows of other tasks stay. With `--page-of GENERATOR`, all passages of one generator go onto a page in samples/,
and its rows into results/generation_pages.json.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from agent.errors import BasinError
from benchmarks.results import RESULTS, with_earlier, write_results
from loops.checkpoint.find import checkpoints_folder
from loops.evaluation.membership.suite import task_name

WIDTH = 110
"""Characters a line of a page."""
Row = dict[str, Any]


def find_tasks(folders: Sequence[Path]) -> dict[Path, list[Row]]:
    """Rows by folder of every finished task; a folder that was set aside is left out.

    Raises:
        BasinError: none is there, rows cannot be read, or two folders hold the same task.
    """
    found: dict[Path, list[Row]] = {}
    files = [
        file for folder in folders for file in (folder / "rows.json", *sorted(folder.glob("*/rows.json")))
    ]
    for file in (file for file in files if file.exists()):
        rows = read(file)
        name = task_name(str(rows[0]["corpus"]), str(rows[0]["concept"]))
        if file.parent.resolve().name != name:
            print(f"{file.parent} was set aside when {name} was evaluated again.", file=sys.stderr)
        elif twin := next((each for each in found if each.resolve().name == name), None):
            raise BasinError(f"{name} is both in {twin} and in {file.parent}; name one.")
        else:
            found[file.parent] = rows
    if not found:
        named = ", ".join(map(str, folders))
        raise BasinError(f"There is no finished task in {named}; `basin evaluate generation` makes some.")
    return found


def read(file: Path) -> list[Row]:
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError):
        content = None
    if not isinstance(content, list) or not content:
        raise BasinError(f"{file} is missing or damaged; `basin evaluate generation` writes it again.")
    return content


def samples_page(title: str, generator: str, samples: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown page of passages in the order in which they were written, with what judges say.

    Args:
        samples: passages of the generator, as `basin evaluate generation` keeps them.
    """
    lines = [
        f"# {title}",
        "",
        "All passages of every generator in the order of writing, unpicked. A and B are",
        "cluster scores: 0 as a real passage from outside the concept in the mean, 1 as one from inside.",
        "",
        f"## {generator}",
        "",
        f"{len(samples)} of {len(samples)} passages.",
        "",
    ]
    for number, sample in enumerate(samples, 1):
        scores = ", ".join(f"{which.upper()} {_score(sample[f'cluster_score_{which}'])}" for which in "ab")
        lines += [f"**{number}.** {scores}, coherent: {'yes' if sample['coherent'] else 'no'}", ""]
        for part in ("prompt", "text"):
            lines += [f"{part.title()}:", *_verbatim(str(sample[part]).strip())]
    return "\n".join(lines)


def _verbatim(text: str) -> list[str]:
    """A block that nothing in the text can end or format; long lines are broken between words."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    wrapped = [
        piece
        for line in text.splitlines()
        for piece in textwrap.wrap(line, WIDTH, break_long_words=False, break_on_hyphens=False) or [""]
    ]
    return ["", f"{fence}text", *wrapped, fence, ""]


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def main(
    folders: Annotated[list[Path] | None, typer.Argument(help="Folders of tasks, or a task's own.")] = None,
    page_of: Annotated[
        str | None, typer.Option(metavar="GENERATOR", help="All passages of this one.")
    ] = None,
    place: Annotated[Path, typer.Option(help="Folder of results and samples.")] = RESULTS.parent,
) -> None:
    """Collect tasks and write results, or one page of passages."""
    command = ["python", "-m", "benchmarks.generation", *sys.argv[1:]]
    try:
        tasks = find_tasks(folders or [checkpoints_folder() / "generation"])
        for folder, rows in tasks.items() if page_of else ():
            page = place / "samples" / f"{folder.resolve().name}_{page_of}.md"
            passages = read(folder / "judged" / f"{page_of}.json")
            page.parent.mkdir(parents=True, exist_ok=True)
            title = f"{rows[0]['corpus']}: {rows[0]['concept']}"
            page.write_text(samples_page(title, str(page_of), passages), encoding="utf-8")
    except BasinError as error:
        raise SystemExit(f"Error: {error}") from None
    rows = [row for rows in tasks.values() for row in rows if page_of in (None, row["generator"])]
    if not page_of:
        earlier = place / "results" / "generation.json"
        rows = with_earlier(rows, lambda row: (row["corpus"], row["concept"]), earlier)
    write_results("generation_pages" if page_of else "generation", rows, command, place / "results")


if __name__ == "__main__":
    typer.run(main)
