"""Results of stitchings and chains become flat rows."""

import json

import pytest
from planted_run import CONFIG, save_rounds

from benchmarks import stitch, successors
from loops.checkpoint.schema import sealed
from loops.checkpoint.store import RunStore

ROW = {"run": "run", "from": "a", "to": "b", "nats": 0.1, "samples": 8, "coherence": 1.0}
ROW |= {"effect_error": 0.1, "ratio_error": 0.1}
KINDS = (("a", "base", "base", 0), ("a", "native", "native", 1), ("b", "native", "native", 1))
ROWS = [
    ROW | dict(zip(("model", "vector", "kind", "effect"), each, strict=True))
    for each in (*KINDS, ("b", "affine", "translated", 0.9))
]
ROWS[-1] |= {"behavioural_ratio": 0.9, "unexplained_variance": 0.5}


@pytest.fixture
def store(tmp_path):
    made = RunStore.create(tmp_path / "run", CONFIG)
    save_rounds(made, 1)
    folder = made.path / "stitches" / "b_round_001"
    folder.mkdir(parents=True)
    gold = {"model": "b", "vector": "affine", "kind": "translated", "ratio_mean": 0.7}
    measured = {"concept": "detective", "corpus": "shelf", "rows": [gold]}
    (folder / "stitch.json").write_bytes(sealed({"to": "b", "rows": ROWS}))
    (folder / "measured.json").write_text(json.dumps(measured))
    return made


def test_rows_join_judges_and_matches(store):
    (store.path / "matches").mkdir()
    match = {"compared": {"match": 0.85, "told": 0.8}}
    (store.path / "matches" / "b_round_001.json").write_text(json.dumps(match))
    rows = stitch.rows_of(store)
    assert [each["method"] for each in rows] == ["base", "native", "native", "affine"]
    assert rows[-1]["ratio_mean"] == 0.7 and rows[-1]["soft_jaccard_with_native"] == 0.85
    assert rows[0].get("ratio_mean") is None and rows[0]["concept"] == "detective"


def test_a_run_without_stitches_is_one_sentence(tmp_path, monkeypatch):
    save_rounds(RunStore.create(tmp_path / "bare", CONFIG), 1)
    monkeypatch.setenv("BASIN_CHECKPOINTS", str(tmp_path))
    with pytest.raises(SystemExit, match="None of these runs was stitched"):
        stitch.main(["bare"])
    with pytest.raises(SystemExit, match="There is no chain 'bare'"):
        successors.main(["bare"])


def test_a_chain_is_a_row_for_every_link(tmp_path):
    good = {"from_run": "00_a", "to_run": "01_b", "accepted": True, "refusals": [], "sentence": "s"}
    bad = {**good, "to_run": "02_c", "accepted": False, "refusals": ["no", "never"]}
    names = ("ap_received", "ap", "ap_ceiling", "ap_topic")
    numbers = {f"{name}{suffix}": 0.5 for name in names for suffix in ("", "_pooled")}
    measured = [{"run": run, "model": run[3:], **numbers} for run in ("00_a", "01_b")]
    (tmp_path / "succession.json").write_bytes(sealed({"rows": [good, bad]}))
    (tmp_path / "measured.json").write_bytes(sealed({"rows": measured}))
    rows = successors.rows_of(tmp_path)
    assert [each["method"] for each in rows] == ["00_a", "01_b", "02_c"]
    assert rows[1]["ap_before"] == rows[1]["ap"] == 0.5 and rows[2]["ap"] is None
    assert rows[2]["refused_because"] == "no; never"
