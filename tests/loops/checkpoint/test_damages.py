"""Hundreds of damages to a run, by chance and on purpose: none of them is loaded without a word."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from planted_damage import Damage, Reading, damages, outcome_of, read_all
from planted_run import CONFIG, save_rounds

from agent.errors import BasinError
from loops.checkpoint import encode
from loops.checkpoint.store import RunStore

ROUNDS = 3


def make(path: Path) -> RunStore:
    """Rounds 0 to 2, the last with an adapter, a steering vector and a gate; and a certificate."""
    store = RunStore.create(path, CONFIG)
    save_rounds(store, ROUNDS)
    store.save_certificate({"round": ROUNDS - 1, "sentence": "Certified.", "certified": True, "drift": 0.1})
    return store


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Reading]:
    store = make(tmp_path_factory.mktemp("whole") / "run")
    return store.path, read_all(store.path)


def _every() -> list[Damage]:
    with tempfile.TemporaryDirectory() as folder:
        return damages(make(Path(folder) / "run").path)


EVERY = _every()


def test_there_are_hundreds_and_each_has_a_name_of_its_own() -> None:
    assert len(EVERY) >= 300 and len({damage.name for damage in EVERY}) == len(EVERY)


def test_a_whole_run_says_nothing(whole: tuple[Path, Reading]) -> None:
    path, reading = whole
    assert reading.warnings == () and outcome_of(path, reading) == ("unharmed", "")


def _says_the_same(damage: Damage, path: Path, copy: Path) -> bool:
    """A newline less at the end, equal files swapped, or no certificate, which a run that has not ended has not either."""
    if damage.name == "certificate.json deleted":
        return True
    files = [file.relative_to(path) for file in path.rglob("*") if file.is_file()]
    return all(
        (copy / file).is_file() and (copy / file).read_bytes().strip() == (path / file).read_bytes().strip()
        for file in files
    )


@pytest.mark.parametrize("damage", EVERY, ids=lambda damage: damage.name)
def test_no_damage_is_loaded_silently(damage: Damage, whole: tuple[Path, Reading], tmp_path: Path) -> None:
    path, reading = whole
    copy = tmp_path / "run"
    shutil.copytree(path, copy)
    damage.apply(copy)
    outcome, sentence = outcome_of(copy, reading)
    if _says_the_same(damage, path, copy):
        assert outcome != "silent"
        return
    assert outcome in ("refused", "warned") and "\n" not in sentence and len(sentence) < 700, (
        outcome,
        sentence,
    )


@pytest.mark.parametrize("damage", EVERY[::7], ids=lambda damage: damage.name)
def test_what_a_resume_goes_on_from_is_whole(
    damage: Damage, whole: tuple[Path, Reading], tmp_path: Path, messages
) -> None:
    path, reading = whole
    copy = tmp_path / "run"
    shutil.copytree(path, copy)
    damage.apply(copy)
    try:
        record = RunStore.open(copy).load_newest()
    except BasinError:
        return
    if record is not None:
        assert messages or record.round == ROUNDS - 1
        for name, content in encode.encode_round(record).items():
            assert reading.contents[f"{record.round}/{name}"] == content
