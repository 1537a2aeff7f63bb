"""Comparisons of runs: differences, overlaps, and notes on what cannot be compared."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer.testing
from planted_run import planted_passages, planted_pointer, planted_record

from agent.errors import BasinError
from agent.types import Document, Passage, PassageSet
from loops.checkpoint.schema import sealed
from loops.checkpoint.store import RunStore
from loops.cli.main import app
from loops.config import parse_config
from loops.evaluation.stored_measures import SHOWN, SHOWN_LATER
from loops.report.compare import compare

HOSTILE = "</script><script>alert(1)</script> \x1b[31m [red]"


@pytest.fixture(autouse=True)
def checkpoints(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("BASIN_CHECKPOINTS", str(tmp_path))
    return tmp_path


def _run(
    folder: Path, name: str, memberships: list, passages: PassageSet | None = None, **settings
) -> RunStore:
    """A run whose rounds hold the given memberships."""
    config = parse_config({"corpus": {"source": "somewhere"}, **settings}, "test")
    store = RunStore.create(folder / name, config)
    for number, row in enumerate(memberships):
        record, held = planted_record(number), np.array(row, dtype=float)
        concept = replace(record.concept, membership=held, single=held, pooled=held, evidence=held)
        metrics = {"drift": 0.1 * number if number else None, "size": held.mean(), "base_coherence": 0.75}
        cost = {"record": 1.5, "peak_gb": 1.0 + number}
        texts = () if number else (passages or planted_passages(), planted_pointer())
        store.save(replace(record, concept=concept, metrics=metrics, cost=cost), *texts)
    return store


def _passages(prefix: str, count: int = 7) -> PassageSet:
    documents = (Document(f"{prefix}1", "", HOSTILE), Document(f"{prefix}2", ""))
    found = (Passage(f"{prefix}{at}", at % 2, at // 2, f"{prefix} passage {at}") for at in range(count))
    return PassageSet(documents, tuple(found), {})


FIRST = [[0.5] * 7, [1, 1, 0.9, 0, 0, 0, 0]]


def _basin(*arguments: object) -> typer.testing.Result:
    return typer.testing.CliRunner().invoke(app, ["compare", *map(str, arguments)])


SECOND = [[0.5] * 7, [1, 0, 0, 0, 0.8, 0, 0]]


def test_planted_overlap_and_differences_are_found(checkpoints):
    _run(checkpoints, "a", FIRST)
    _run(checkpoints, "b", SECOND, rounds=5)
    found = compare(["a", "b"])
    (pair,) = found.pairs
    assert pair.shared == 7 and pair.overlap == pytest.approx(1 / 3.7)
    assert [pair.only(side) for side in (0, 1)] == [[1, 2], [4]] and found.notes == []
    assert pair.memberships[:, 4].tolist() == [0.0, 0.8]
    assert found.differences == {"rounds": ["8", "5"]}


def test_rounds_of_one_run_can_be_compared(checkpoints):
    _run(checkpoints, "a", [[0.5] * 7, [1, 0, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0, 0]])
    found = compare(["a:0", "a:1", "a"])
    assert [side.record.round for side in found.sides] == [0, 1, 2] and found.differences == {}
    assert [pair.overlap for pair in found.pairs] == [pytest.approx(0.5 / 4), pytest.approx(0.5 / 4), 0.0]
    assert found.sides[1].curve("drift") == [None, pytest.approx(0.1)]
    assert found.sides[2].curve("coherence") == [0.75, None, None]
    assert found.sides[2].cost == {"record": 4.5, "peak_gb": 3.0}


def test_other_passages_are_compared_by_shared_texts(checkpoints):
    """The same texts in another order, one missing: matched by text, not by place."""
    _run(checkpoints, "a", FIRST)
    whole = planted_passages()
    turned = PassageSet(whole.documents, tuple(reversed(whole.passages[1:])), {})
    _run(checkpoints, "b", [[0.5] * 6, [0, 0, 0, 0, 0.9, 1]], turned)
    found = compare(["a", "b"])
    (pair,) = found.pairs
    assert (pair.shared, pair.overlap) == (6, pytest.approx(1.0)) and not pair.only(0) + pair.only(1)
    assert "6 passages" in found.notes[0]


def test_runs_without_a_common_passage_say_so(checkpoints):
    _run(checkpoints, "a", FIRST)
    _run(checkpoints, "b", SECOND, _passages("other"))
    found, result = compare(["a", "b"]), _basin("a", "b")
    assert found.pairs[0].overlap is None and "share no passage" in found.notes[0]
    assert result.exit_code == 0 and "share no passage" in result.output


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["a"], "at least two"),
        (["a", "a:1"], "same round"),
        (["a", "a:9"], "no round 9"),
        (["a", "empty"], "no whole round"),
        (["a", "aa"], "no run 'aa'"),
    ],
)
def test_a_mistake_gives_one_sentence(checkpoints, names, sentence):
    _run(checkpoints, "a", FIRST)
    _run(checkpoints, "empty", [])
    with pytest.raises(BasinError, match=sentence):
        compare(names)


def test_gold_is_shown_only_if_stored(checkpoints):
    store = _run(checkpoints, "a", FIRST)
    _run(checkpoints, "b", SECOND)
    row = dict.fromkeys((*SHOWN, *SHOWN_LATER), 0.5) | {"concept": "crime"}
    rows = [row | {"round": each, "ap_topic": 0.25, "ap_concept": 0.5, "ap_ceiling": 0.75} for each in (0, 1)]
    (store.path / "measurements.json").write_bytes(sealed({"rounds": [0, 1], "rows": rows}))
    printed = _basin("a", "b").output
    assert "unknown to every run" in printed and "0.500" in printed


def test_hostile_titles_stay_text(checkpoints):
    for name, memberships in (("a", FIRST), ("b", SECOND)):
        _run(checkpoints, name, memberships, _passages("x"))
    result = _basin("a", "b")
    assert result.exit_code == 0 and "\x1b[31m" not in result.output and "[red]" in result.output
