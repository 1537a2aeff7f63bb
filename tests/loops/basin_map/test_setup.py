"""The whole way on a tiny model: a corpus is read, its starts are chosen and followed."""

from __future__ import annotations

import pytest
from planted_loop import CRIME, DOCUMENTS, PASSAGES, SETTINGS, THEMES, corpus, machine  # noqa: F401 (fixtures)

from agent.errors import BasinError
from loops.basin_map import setup
from loops.basin_map.map import map_basin
from loops.basin_map.setup import prepare
from loops.config import MapConfig

OF_CRIME = CRIME[::PASSAGES]


@pytest.fixture
def config(corpus):
    changes = {
        "corpus": {"source": str(corpus)},
        "clustering": {
            **SETTINGS["clustering"],
            "size": 0.33,
            "falling": 2,
            "embeddings": False,
            "generated_share": 0.0,  # what a random model writes would move the boundary of so few texts
        },
        "certificate": {"kicks": 1, "restarts": 1},
    }
    starts = {"draws": 1, "noise": [0.3], "mixtures": [0.5], "documents": [3], "authors": 0, "poorer": 1}
    return MapConfig.model_validate({"run": {**SETTINGS, **changes}, "rounds": 4, "starts": starts})


def test_the_setup_has_every_kind_of_start(config):
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


def test_the_topic_flows_to_its_theme(config, tmp_path):
    final = map_basin(config, tmp_path / "map").flows[0].path[-1]
    assert final[OF_CRIME].mean() > 0.6 > 0.3 > final[~OF_CRIME].mean()
