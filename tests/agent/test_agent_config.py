"""Named experiments are found from any folder; a mistyped name is told with the nearest."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.config import CONFIGS, find_config, named_configs
from agent.errors import BasinError


def test_experiments_are_listed_without_suites_and_labels() -> None:
    names = named_configs()
    assert {"brown", "library", "basin_brown"} <= set(names)
    assert not {"gold", "suite", "suite_gold", "generation"} & set(names)


def test_a_name_is_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_config("brown") == CONFIGS / "runs" / "brown.yaml"
    assert find_config(Path("brown")) == CONFIGS / "runs" / "brown.yaml"
    (tmp_path / "brown").mkdir()  # such as a folder of runs
    assert find_config("brown") == CONFIGS / "runs" / "brown.yaml"


def test_a_file_goes_before_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "brown").write_text("corpus: {source: brown}\n")
    assert find_config("brown") == Path("brown")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_config("~/brown") == tmp_path / "brown"


@pytest.mark.parametrize("wrong", ["brwon", "configs/brwon.yaml", "brown.yml", "/nowhere/brown.yaml"])
def test_the_nearest_name_is_told(wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BasinError, match="There is no config file .*`basin run brown`"):
        find_config(wrong)


def test_a_folder_and_names_that_no_file_can_have_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BasinError, match="is a folder"):
        find_config(tmp_path)
    for odd in ("", "a\0b", "x" * 5000):
        with pytest.raises(BasinError, match="There is no config file|is a folder"):
            find_config(odd)
    assert os.listdir(tmp_path) == []
