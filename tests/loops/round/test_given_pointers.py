"""Pointers and first vectors of a configuration: accepted or refused before reading."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from conftest import make_language_model, sentence

from agent.errors import BasinError
from agent.steering.control_vector import write_control_vector
from agent.steering.vector import SteeringVector
from agent.updating import UpdatingConfig
from loops.config import parse_config
from loops.round.pointer import calibrated_start, refuse_given_pointer, starting_vector


def _config(**sections: object):
    return parse_config({"corpus": {"source": "somewhere"}, **sections}, "test")


def test_two_pointers_are_refused() -> None:
    with pytest.raises(BasinError, match="keywords and examples both point"):
        _config(pointer={"keywords": ["ship"], "examples": ["a ship"]})
    with pytest.raises(BasinError, match=r"topics\.words both point"):
        _config(pointer={"keywords": ["ship"]}, topics={"words": ["ship"]})
    with pytest.raises(BasinError, match="seed_words"):
        _config(pointer={"topic_model": "t.json"}, topics={"seed_words": ["ship"]})
    assert _config(pointer={"topic_model": "t.json"}, topics={"words": ["ship"]}).pointer.way == "topic_model"
    with pytest.raises(BasinError, match=r"nearest known one is pointer\.keywords"):
        _config(pointer={"keyword": ["ship"]})


def test_keywords_make_a_seeded_pointer() -> None:
    assert _config(pointer={"keywords": ["ship"]}).seeded and not _config().seeded
    assert _config(topics={"seed_words": ["ship"]}).seeded


def test_the_words_that_point_are_those_that_were_given() -> None:
    for section in ({"words": ["ship"]}, {"seed_words": ["ship"]}, {"words": ["ship"], "topic": 3}):
        assert _config(topics=section).pointing_words == ("ship",)
    assert _config(pointer={"keywords": ["ship"]}).pointing_words == ("ship",)
    assert _config(topics={"topic": 3}).pointing_words == ()
    assert _config(topics={"words": ["Schiff"], "language": "de"}).pointing_words == ()
    assert _config(topics={"words": ["ship"]}, clustering={"words": False}).pointing_words == ()


def test_tasks_on_fitted_topics_refuse_a_given_pointer() -> None:
    with pytest.raises(BasinError, match=r"A map .* pointer\.keywords"):
        refuse_given_pointer(_config(pointer={"keywords": ["ship"]}), "A map")
    refuse_given_pointer(_config(), "A map")


def test_a_control_vector_is_scaled_to_the_budget(tmp_path: Path, messages) -> None:
    model = make_language_model(depth=4)
    generator = torch.Generator().manual_seed(2)
    rows = {layer: torch.randn(16, generator=generator) for layer in (2, 3, 4)}
    write_control_vector(tmp_path / "v.gguf", SteeringVector(rows), "llama")
    config = UpdatingConfig(start_vector=str(tmp_path / "v.gguf"), budget_nats=0.05)
    texts = [sentence(1, 2, 3, number) for number in range(20)]
    vector, nats = calibrated_start(model, starting_vector(config), config, texts)
    assert nats == pytest.approx(0.05, rel=0.03)
    assert vector.layers == (2, 3) and "2 of 3 stay" in messages[0]
    assert torch.cosine_similarity(vector.directions[2], rows[2], dim=0) > 0.9999
    assert model.divergence(texts, vector) == pytest.approx(0.05, rel=0.5)


def test_another_models_vector_is_refused(tmp_path: Path) -> None:
    model = make_language_model(depth=4)
    config = UpdatingConfig(start_vector="v.gguf")
    with pytest.raises(BasinError, match="8 wide"):
        calibrated_start(model, SteeringVector({2: torch.ones(8)}), config, [])
    with pytest.raises(BasinError, match="only after the last block"):
        calibrated_start(model, SteeringVector({9: torch.ones(16)}), config, [])
    with pytest.raises(BasinError, match="check the path"):
        starting_vector(UpdatingConfig(start_vector=str(tmp_path / "none.gguf")))
    assert starting_vector(UpdatingConfig()) is None
