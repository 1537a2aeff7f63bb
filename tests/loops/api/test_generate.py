"""Writing from a stored round, with a random model in the language model's place."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import make_language_model, sentence
from planted_run import CONFIG, planted_passages, planted_pointer, planted_record

from agent.concept import Readout
from agent.errors import BasinError
from agent.language_model.model import LanguageModel
from agent.steering.vector import SteeringVector
from agent.types import Passage, seed_for
from loops.api import generate
from loops.api.generate import _ended, write
from loops.checkpoint.store import RunStore
from loops.round import particles


@pytest.fixture
def store(tmp_path, monkeypatch) -> RunStore:
    """A run whose round 1 writes with a large vector of the random model's width."""
    model = make_language_model()
    monkeypatch.setattr(LanguageModel, "load", classmethod(lambda cls, config: model))
    generation = CONFIG.generation.model_copy(update={"new_tokens": 6, "prompt_words": 2})
    store = RunStore.create(tmp_path / "run", CONFIG.model_copy(update={"generation": generation}))
    passages = tuple(
        Passage(f"p{at}", at // 3, at % 3, sentence(at, at + 10, at + 20).strip()) for at in range(7)
    )
    store.save(planted_record(0), replace(planted_passages(), passages=passages), planted_pointer())
    record = planted_record(1)
    vector = SteeringVector({1: 5 * torch.randn(16, generator=torch.Generator().manual_seed(3))})
    readout = replace(record.concept.readout, weights=np.zeros((len(model.layers), 16)))
    concept = replace(record.concept, vector=vector, readout=readout)
    store.save(replace(record, concept=concept, **UNWRITTEN))
    return store


UNWRITTEN = {"generated": (), "activations": None}
"""Planted rounds are of a narrower model than the one that writes here."""


def _write(store: RunStore, **changes: object) -> list[tuple[str, str]]:
    defaults = {"number": None, "count": 4, "prompt": None, "seed": 0, "strength": 1.0}
    return list(write(store, **defaults | changes))


def test_the_seed_decides_and_the_vector_is_used(store):
    assert _write(store) == _write(store, number=1) != _write(store, seed=1)
    prompts = [prompt for prompt, _ in _write(store)]
    texts = [text for _, text in _write(store, strength=0.0)]
    assert texts != [text for _, text in _write(store)]
    seeds = [seed_for(0, number, "generate") for number in range(4)]
    assert texts == LanguageModel.load(None).generate(prompts, seeds, store.config.generation)


def test_settings_of_generation_may_change_and_no_others(store):
    given = _write(store, overrides=["generation.new_tokens=9", "generation.temperature=0"])
    assert given == _write(store, overrides=["generation.temperature=0", "generation.new_tokens=9"], seed=0)
    assert {len(text.split()) for _, text in given} == {9} != {len(text.split()) for _, text in _write(store)}
    with pytest.raises(BasinError, match="A stored round keeps its topics.count"):
        _write(store, overrides=["topics.count=7"])
    with pytest.raises(BasinError, match="new_token"):
        _write(store, overrides=["generation.new_token=9"])


def test_prompts_are_openings_of_real_passages_unless_given(store):
    real = {" ".join(text.split()[:2]) for text in store.load_passages().texts}
    assert {prompt for prompt, _ in _write(store, count=7)} == real
    assert [prompt for prompt, _ in _write(store, prompt="w5 w6", count=3)] == ["w5 w6"] * 3
    assert len({text for _, text in _write(store, prompt="w5 w6", count=3)}) > 1
    assert _write(store, prompt="w\u00ad5 \ud83d")[0][0] == "w5 \ufffd"
    with pytest.raises(BasinError, match="The prompt is 5, which is no text"):
        _write(store, prompt=5)


def readable(store: RunStore, threshold: float, weights: np.ndarray | None = None) -> RunStore:
    """The run with a second round, whose readout by default accepts by a threshold alone."""
    layers = LanguageModel.load(None).layers
    weights = np.zeros((len(layers), 16)) if weights is None else weights
    readout = Readout(weights, 0.0, threshold)
    concept = replace(store.load(1).concept, round=2, readout=readout)
    store.save(replace(planted_record(2), concept=concept, **UNWRITTEN))
    return store


def test_the_topic_does_not_write(store):
    with pytest.raises(BasinError, match="--round"):
        _write(store, number=0)


def test_a_round_without_a_readout_has_nothing_to_weigh_particles_by(store):
    record = store.load(1)
    concept = replace(record.concept, round=2, readout=None)
    store.save(replace(planted_record(2), concept=concept, **UNWRITTEN))
    with pytest.raises(BasinError, match="--round"):
        _write(store, number=2, particles=4)


def test_particles_are_sampled_to_the_log_odds_of_members(store, monkeypatch):
    weights = np.random.default_rng(0).normal(size=(len(LanguageModel.load(None).layers), 16))
    readable(store, 0.0, weights)
    monkeypatch.setattr(generate, "member_log_odds", lambda *_: 50.0)  # more than the model reaches

    def mean_score(count):
        written = _write(store, count=12, prompt="w5 w6", particles=count)
        activations = LanguageModel.load(None).record([prompt + text for prompt, text in written])
        return float(np.einsum("tlw,lw->t", activations, weights).mean())

    assert mean_score(8) > mean_score(1) + 0.1


def test_log_odds_of_members_are_means_weighted_by_membership():
    single, membership = np.array([3.0, 1.0, -1.0, -3.0]), np.array([0.75, 0.75, 0.25, 0.25])
    assert 0 < particles.member_log_odds(single, membership) < 3


def test_pages_end_near_their_words_and_come_batch_by_batch(store, monkeypatch):
    text = "One two three. Four five six seven. " + "Eight nine ten " * 4
    assert _ended(text, 3) == "One two three." and _ended(text, 8) == text[:35]
    assert len(_ended(text, 12).split()) == 12 and _ended(text, None) == text
    made, generate = [], LanguageModel.generate

    def counted(self, prompts, *given, **how):
        made.append(len(prompts))
        return generate(self, prompts, *given, **how)

    monkeypatch.setattr(LanguageModel, "generate", counted)
    pages = write(store, 1, 24, words=12, prompt="w5 w6")
    assert made == [] and len(next(pages)[1].split()) == 12
    assert made[0] < 24 and len([*pages]) == 23 and sum(made) == 24
    with pytest.raises(BasinError, match=r"ends before 9999 words: lower --words to \d+\.") as told:
        write(store, 1, 3, words=9999, prompt="w5 w6")
    most = int(str(told.value).split()[-1].rstrip("."))
    assert len(_write(store, number=1, count=1, words=most, prompt="w5 w6")[0][1].split()) > most / 2
