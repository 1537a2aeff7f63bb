"""Results of `basin evaluate generation`: `python -m benchmarks.generation [FOLDER ...]`.

Rows of every finished task, by default of the folder generation among the runs, go into results/generation.json;
rows of other tasks stay.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from agent.errors import BasinError
from agent.judging.diversity import copied_share, vendi_score
from agent.judging.judges import RealPassages, trained_judges
from agent.judging.writing import WritingConfig, cluster_scores, judge_passages
from benchmarks.results import RESULTS, with_earlier, write_results
from loops.checkpoint.find import checkpoints_folder
from loops.evaluation.membership.suite import task_name

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


def measures(texts: Mapping[str, list[str]], real: RealPassages, corpus: Sequence[str], words: int) -> Row:
    """By generator: judges A and B, copying, and diversity relative to the generator `base`.

    Args:
        real: of held-out documents.
        words: of each text.
    """
    from agent.hub.embedders import load_embedder

    embedder = load_embedder()
    found = judge_passages(real, texts, trained_judges(embedder.encode), WritingConfig(words=words), 0)
    vendi = {name: vendi_score(embedder.encode(each)) for name, each in texts.items()}
    copied = iter(copied_share([each for some in texts.values() for each in some], corpus))
    return {
        name: {f"cluster_score_{which}": float(cluster_scores([found[which]], name).mean()) for which in "ab"}
        | {"copied_8gram_share": float(np.mean([next(copied) for _ in each]))}
        | {"vendi_ratio": vendi[name] / vendi["base"] if "base" in vendi else None}
        for name, each in texts.items()
    }


def main(
    folders: Annotated[list[Path] | None, typer.Argument(help="Folders of tasks, or a task's own.")] = None,
    place: Annotated[Path, typer.Option(help="Folder of results.")] = RESULTS,
) -> None:
    """Collect tasks and write results."""
    try:
        tasks = find_tasks(folders or [checkpoints_folder() / "generation"])
    except BasinError as error:
        raise SystemExit(f"Error: {error}") from None
    found = [row for rows in tasks.values() for row in rows]
    kept = with_earlier(found, lambda row: (row["corpus"], row["concept"]), place / "generation.json")
    write_results("generation", kept, ["python", "-m", "benchmarks.generation", *sys.argv[1:]], place)


if __name__ == "__main__":
    typer.run(main)
