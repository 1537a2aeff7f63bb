"""Finished tasks become results; folders that were set aside do not."""

import json

import pytest
from typer import Typer
from typer.testing import CliRunner

from agent.errors import BasinError
from benchmarks import generation

GENERATORS = ("base", "topic-lora", "basin-lora")
APP = Typer()
APP.command()(generation.main)


def task_rows(concept="sea", share=0.25):
    shared = {"corpus": "the stories", "concept": concept, "samples": 24, "inside_and_readable": share}
    return [shared | {"generator": name} for name in GENERATORS]


def write_task(folder, rows=None):
    rows = rows or task_rows()
    folder.mkdir(parents=True)
    (folder / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    return folder


def run(place, *arguments):
    return CliRunner().invoke(APP, [*map(str, arguments), "--place", str(place)])


def test_rows_of_all_tasks_are_kept_and_those_of_others_stay(tmp_path, monkeypatch):
    monkeypatch.setenv("BASIN_CHECKPOINTS", str(tmp_path / "checkpoints"))
    home, file = tmp_path / "checkpoints" / "generation", tmp_path / "generation.json"
    write_task(home / "the_stories_garden", task_rows("garden"))
    assert run(tmp_path).exit_code == 0
    other = write_task(tmp_path / "one" / "the_stories_sea")
    write_task(tmp_path / "one" / "the_stories_sea-1", task_rows(share=0.0))
    done = run(tmp_path, tmp_path / "one")
    assert json.loads(file.read_bytes())["rows"] == task_rows("garden") + task_rows()
    assert "the_stories_sea-1 was set aside" in done.stderr and run(tmp_path, other).exit_code == 0


def test_mistakes_end_in_a_sentence_and_keep_nothing(tmp_path):
    write_task(tmp_path / "one" / "the_stories_sea")
    write_task(tmp_path / "two" / "the_stories_sea")
    with pytest.raises(BasinError, match="the_stories_sea is both in"):
        generation.find_tasks([tmp_path / "one", tmp_path / "two"])
    with pytest.raises(BasinError, match="no finished task in .*basin evaluate generation"):
        generation.find_tasks([tmp_path])
    for content in ("[{", "[]"):
        (tmp_path / "two" / "the_stories_sea" / "rows.json").write_text(content)
        with pytest.raises(BasinError, match="rows.json is missing or damaged"):
            generation.find_tasks([tmp_path / "two"])
    assert run(tmp_path, tmp_path / "two").exit_code == 1 and not (tmp_path / "generation.json").exists()
