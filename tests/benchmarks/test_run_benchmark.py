"""The run benchmark keeps measurements, and refuses runs without them in a sentence."""

import json

import pytest

from benchmarks import results, run
from loops.checkpoint.schema import sealed
from loops.checkpoint.store import RunStore
from loops.config import parse_config
from loops.evaluation.stored_measures import SHOWN, SHOWN_LATER

MEASURED = dict.fromkeys((*SHOWN, *SHOWN_LATER), 0.5)
ROWS = [
    {"method": "basin", "concept": "crime", "corpus": "brown", "round": number, **MEASURED}
    for number in (0, 1)
]


@pytest.fixture
def kept(monkeypatch, tmp_path):
    """Results go to a folder of the test's own."""
    folder = tmp_path / "results"
    monkeypatch.setattr(run, "write_results", lambda *given: results.write_results(*given, folder=folder))
    monkeypatch.setattr(run, "RESULTS", folder)
    return folder


def measured_run(tmp_path, name, rows):
    store = RunStore.create(tmp_path / name, parse_config({"corpus": {"source": "somewhere"}}, "test"))
    (store.path / "measurements.json").write_bytes(sealed({"rounds": [], "rows": rows}))
    return str(store.path)


def test_rows_of_several_runs_go_into_one_file(tmp_path, kept):
    library = [row | {"corpus": "library"} for row in ROWS]
    run.main([measured_run(tmp_path, "first", ROWS), measured_run(tmp_path, "second", library)])
    content = json.loads((kept / "run.json").read_text())
    assert content["rows"] == ROWS + library
    assert content["header"]["command"] == "python -m benchmarks.run first second"
    again = [row | {"round": 7} for row in library[:1]]
    run.main([measured_run(tmp_path, "third", again)])
    assert json.loads((kept / "run.json").read_text())["rows"] == ROWS + again


def test_runs_without_labels_mistakes_and_failures_keep_nothing(tmp_path, kept, monkeypatch):
    monkeypatch.setenv("BASIN_CHECKPOINTS", str(tmp_path / "checkpoints"))
    config = tmp_path / "broken.yaml"
    config.write_text("no_such_setting: 1\n", encoding="utf-8")
    for arguments, sentence in (
        ([measured_run(tmp_path, "bare", [])], "no.* gold labels"),
        (["nowhere"], "no run 'nowhere'"),
        ([measured_run(tmp_path, "first", ROWS), "--set", "rounds=2"], "--set needs a configuration"),
        ([str(config)], "broken.yaml failed"),
    ):
        with pytest.raises(SystemExit, match=sentence):
            run.main(arguments)
    assert not kept.exists()
