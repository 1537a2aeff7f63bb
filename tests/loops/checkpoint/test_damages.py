"""Random and forged damages to a run: none is loaded silently. benchmarks/torture.py applies all."""

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
    """Rounds 0 to 2, the last with an adapter and a steering vector; and a certificate."""
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
SAMPLE = EVERY[::3]


def test_there_are_hundreds_of_damages_with_unique_names() -> None:
    assert len(EVERY) >= 300 and len({damage.name for damage in EVERY}) == len(EVERY)


def test_a_whole_run_is_read_without_warnings(whole: tuple[Path, Reading]) -> None:
    path, reading = whole
    assert reading.warnings == () and outcome_of(path, reading) == ("unharmed", "")


def _is_harmless(damage: Damage, path: Path, copy: Path) -> bool:
    """Whether a final newline, equal files or the optional certificate changed."""
    if damage.name == "certificate.json deleted":
        return True
    files = [file.relative_to(path) for file in path.rglob("*") if file.is_file()]
    return all(
        (copy / file).is_file() and (copy / file).read_bytes().strip() == (path / file).read_bytes().strip()
        for file in files
    )


@pytest.mark.parametrize("damage", SAMPLE, ids=lambda damage: damage.name)
def test_no_damage_is_loaded_silently(damage: Damage, whole: tuple[Path, Reading], tmp_path: Path) -> None:
    path, reading = whole
    copy = tmp_path / "run"
    shutil.copytree(path, copy)
    damage.apply(copy)
    outcome, sentence = found = outcome_of(copy, reading)
    if _is_harmless(damage, path, copy):
        assert outcome != "silent"
    else:
        assert outcome in ("refused", "warned") and "\n" not in sentence and len(sentence) < 700, found


@pytest.mark.parametrize("damage", EVERY[1::20], ids=lambda damage: damage.name)
def test_a_resume_continues_from_a_whole_round(
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
