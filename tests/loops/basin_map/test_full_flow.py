"""The whole way on a tiny model: a corpus surveyed, mapped, and one start let flow with generation."""

from __future__ import annotations

import json

import numpy as np
import pytest
from planted_loop import CRIME, DOCUMENTS, PASSAGES, SETTINGS, THEMES, corpus, machine  # noqa: F401 (fixtures)

from agent.errors import BasinError
from loops.basin_map import setup
from loops.basin_map.full_flow import FULL, full_flows, with_start
from loops.basin_map.map import map_basin
from loops.basin_map.setup import prepare
from loops.checkpoint.store import RunStore
from loops.config import MapConfig

OF_CRIME = CRIME[::PASSAGES]


@pytest.fixture
def config(corpus):
    changes = {
        "corpus": {"source": str(corpus)},
        "clustering": {
            **SETTINGS["clustering"],
            "method": "fading",
            "size": 0.33,
            "fading": {"rounds": 2, "embeddings": False},
            "generated_share": 0.0,  # what a random model writes would move the boundary of so few texts
        },
        "certificate": {"kicks": 1, "restarts": 1},
    }
    starts = {"draws": 1, "noise": [0.3], "mixtures": [0.5], "documents": [3], "authors": 0, "poorer": 1}
    return MapConfig.model_validate({"run": {**SETTINGS, **changes}, "rounds": 4, "starts": starts})


def test_a_survey_lays_out_the_starts_of_the_design(config):
    setup = prepare(config)
    kinds = [start.kind for start in setup.starts]
    assert {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)} == {
        "topic": 1,
        "noise": 1,
        "mixture": 2,
        "other topic": 2,
        "documents": 1,
        "word": len(THEMES["crime"]),
        "words without topic": 1,
    }  # a poorer model has too few words here
    assert setup.inputs.round_map.size == 0.33 and len(setup.inputs.round_map.ridges) == 1
    assert set(setup.vocabulary) >= set(THEMES["crime"]) and setup.contains_word.shape[0] == DOCUMENTS


def test_a_model_that_cannot_be_fitted_leaves_its_start_out(config, monkeypatch, messages):
    def failing(*arguments):  # the pointer's own model is fitted elsewhere
        raise BasinError("Too few words.")

    monkeypatch.setattr(setup, "fit_cached", failing)
    said: list[str] = messages
    assert "poorer topic" not in [start.kind for start in prepare(config).starts]
    assert "Poorer topic 0 is left out: Too few words." in said


def test_a_start_flows_in_full_to_where_the_map_says(config, tmp_path):
    found = map_basin(config, tmp_path / "map")
    final = found.flows[0].path[-1]
    assert final[OF_CRIME].mean() > 0.6 > 0.3 > final[~OF_CRIME].mean()
    rows = full_flows(found, ["topic"], tmp_path / "map")
    assert rows[0]["rounds"] == 4 and rows[0]["overlap_with_cheap"] > 0.97
    assert json.loads((tmp_path / "map" / FULL).read_bytes()) == rows
    (run,) = (each for each in (tmp_path / "map" / "full").iterdir() if not each.name.startswith("."))
    store = RunStore.open(run)
    assert store.rounds() == [0, 1, 2, 3, 4] and store.load_certificate()["round"] == 4
    before = {file: file.stat().st_mtime_ns for file in run.glob("round_*/*")}
    assert full_flows(found, ["topic"], tmp_path / "map")[0]["rounds"] == 4
    assert before == {file: file.stat().st_mtime_ns for file in run.glob("round_*/*")}


def test_a_spoiled_start_says_nothing_of_what_is_written(config, tmp_path, monkeypatch):
    found = map_basin(config, tmp_path / "map")
    seen = []

    def watched(context, start, scratch):
        seen.append(with_start(context, start, scratch))
        return seen[-1]

    monkeypatch.setattr("loops.basin_map.full_flow.with_start", watched)
    full_flows(found, ["noise 30% 0"], tmp_path / "map")
    (context,) = seen
    weights = context.pointer.weights(["crimea crimeb", "oceana", ""])
    assert len(set(weights)) == 1 and 0 < weights[0] < 1
    start = next(each for each in found.setup.starts if each.name == "noise 30% 0")
    assert np.corrcoef(context.prior.pointer, start.scores)[0, 1] == pytest.approx(1)


def test_an_unknown_start_is_one_sentence(config, tmp_path):
    found = map_basin(config, tmp_path / "map")
    with pytest.raises(BasinError, match="no start 'nowhere'"):
        full_flows(found, ["nowhere"], tmp_path / "map")
