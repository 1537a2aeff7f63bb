"""A fit that was killed goes on to the same numbers, in batch and online."""

from __future__ import annotations

import numpy as np
import pytest
from gensim.corpora import Dictionary
from gensim.models import LdaModel

from agent.pointer import lda_in_steps
from agent.pointer.lda_in_steps import LdaInSteps


@pytest.fixture(params=[{"chunksize": 50, "update_every": 0}, {"chunksize": 7, "update_every": 1}])
def fit(request):
    """Fits the same bags with a class, as `agent.pointer.lda` asks for it."""
    generator = np.random.default_rng(0)
    texts = [[f"word{number}" for number in generator.integers(0, 30, 40)] for _ in range(30)]
    dictionary = Dictionary(texts)
    bags = [dictionary.doc2bow(text) for text in texts]
    eta = generator.random((3, len(dictionary))) + 0.1

    def make(kind, **options):
        settings = {"num_topics": 3, "passes": 6, "iterations": 20, "eval_every": None, "dtype": np.float64}
        model = kind(
            bags, id2word=dictionary, eta=eta, random_state=3, **settings, **request.param, **options
        )
        return model.state.get_lambda()

    return make


@pytest.mark.parametrize("dies_at", [2, 6])
def test_a_killed_fit_goes_on_to_the_same_numbers(fit, tmp_path, monkeypatch, dies_at):
    monkeypatch.setattr(lda_in_steps, "SECONDS_BETWEEN_SAVES", 0)
    read, calls, dead = LdaModel.inference, [], []

    def dying(self, *given, **options):
        calls.append(1)
        if dead and len(calls) == dead[0]:
            raise KeyboardInterrupt
        return read(self, *given, **options)

    monkeypatch.setattr(LdaModel, "inference", dying)
    whole, of_one_fit = fit(LdaModel), len(calls)
    calls.clear()
    dead.append(dies_at)
    with pytest.raises(KeyboardInterrupt):
        fit(LdaInSteps, file=tmp_path / "folder" / "state")
    dead.clear()
    calls.clear()
    assert np.array_equal(fit(LdaInSteps, file=tmp_path / "folder" / "state"), whole)
    assert len(calls) == of_one_fit - (dies_at - 1), "steps that were kept were not computed again"


@pytest.mark.parametrize("content", [b"", b"\xff" * 99])
def test_a_damaged_state_is_fitted_anew(fit, tmp_path, content):
    file = tmp_path / "state"
    file.write_bytes(content)
    assert np.array_equal(fit(LdaInSteps, file=file), fit(LdaModel))


def test_a_disk_that_refuses_is_no_reason_to_stop(fit, tmp_path, monkeypatch):
    monkeypatch.setattr(lda_in_steps, "SECONDS_BETWEEN_SAVES", 0)
    (tmp_path / "file").touch()
    assert np.array_equal(fit(LdaInSteps, file=tmp_path / "file" / "state"), fit(LdaModel))
