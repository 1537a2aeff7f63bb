"""Named experiments are found from any folder, and errors give the nearest name or setting."""

from __future__ import annotations

import math
import os
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from pydantic import Field, TypeAdapter, ValidationError

from agent.config import CONFIGS, StageConfig, check_number, explain, find_config, named_configs
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
def test_the_nearest_names_are_given(wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BasinError, match="There is no config file .*`basin run brown`"):
        find_config(wrong)


def test_folders_and_impossible_names_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BasinError, match="is a folder"):
        find_config(tmp_path)
    for odd in ("", "a\0b", "x" * 5000):
        with pytest.raises(BasinError, match="There is no config file|is a folder"):
            find_config(odd)
    assert os.listdir(tmp_path) == []


class Inner(StageConfig):
    words: tuple[str, ...] = ()
    weight: float = Field(1.0, ge=0)
    kind: Literal["a", "b"] = "a"


class Outer(StageConfig):
    one: Inner = Inner()
    maybe: Inner | None = None
    many: tuple[Inner, ...] = ()
    named: dict[str, Inner] = {}
    needed: int


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"needde": 1}, "needed is missing."),
        ({"needed": 1, "onne": {}}, "no setting onne; the nearest known one is one."),
        ({"needed": 1, "one": {"wrods": []}}, "no setting one.wrods; the nearest known one is one.words."),
        ({"needed": 1, "maybe": {"wieght": 1}}, "nearest known one is maybe.weight."),
        ({"needed": 1, "many": [{}, {"wieght": 1}]}, "nearest known one is many.1.weight."),
        ({"needed": 1, "named": {"x": {"kinds": 1}}}, "nearest known one is named.x.kind."),
        ({"needed": 1, "one": {"kind": "c"}}, "one.kind: input should be 'a' or 'b' (got 'c')."),
        ({"needed": 1, "one": {"weight": float("nan")}}, "one.weight: "),
        ({"needed": 1, "one": {"weight": float("inf")}}, "one.weight: "),
        ({"needed": 1, "one": {"words": "a" * 10_000}}, "one.words: "),
        ({"needed": 1, 7: 2}, "7"),
        ([], "the whole: "),
        ({"needed": 1, "k" * 10_000: 2}, "no setting kkk"),
    ],
)
def test_the_first_error_is_explained(tree: object, message: str) -> None:
    with pytest.raises(ValidationError) as wrong:
        TypeAdapter(Outer).validate_python(tree)
    sentence = explain(wrong.value, Outer)
    assert message in sentence and sentence.endswith(".") and len(sentence) < 350


@pytest.mark.parametrize(
    ("value", "limits"),
    [
        *((value, {}) for value in (math.nan, np.float32("nan"), math.inf, -math.inf)),
        *((value, {}) for value in (10**400, True, "1", None, 1 + 0j)),
        (0, {"least": 1}),
        (2.0, {"least": 1, "most": 1.5}),
        (1.5, {"whole": True}),
    ],
)
def test_invalid_numbers_are_refused_by_name(value: object, limits: dict[str, float]) -> None:
    with pytest.raises(BasinError, match="strength was .*: give a "):
        check_number("strength", value, **limits)


@pytest.mark.parametrize("value", [0, -2.5, np.float32(1), np.int64(3), Fraction(1, 3)])
def test_numbers_of_any_library_are_taken(value: object) -> None:
    check_number("strength", value, least=-3, most=3)
