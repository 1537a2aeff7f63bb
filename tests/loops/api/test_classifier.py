"""The concept as a scikit-learn classifier: the run's own memberships, and everything that scikit-learn does with one."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import save_tiny_model
from planted_export import TEXTS, exported_run
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import get_scorer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.validation import check_is_fitted

from agent.errors import BasinError
from agent.language_model.model import LanguageModel
from agent.membership.log_odds import sigmoid
from loops.api import classifier
from loops.api.classifier import ConceptClassifier
from loops.checkpoint.store import RunStore


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> RunStore:
    folder = save_tiny_model(tmp_path_factory.mktemp("model") / "tiny", depth=4)
    return exported_run(tmp_path_factory.mktemp("runs") / "planted", folder)


def test_probabilities_are_the_rounds_memberships(store):
    concept = ConceptClassifier(store.path, round=1)
    found = concept.predict_proba(TEXTS)
    model = LanguageModel.load(store.config.language_model)
    readout = store.load(1).concept.readout
    expected = sigmoid(readout.log_odds(model.record(TEXTS)))
    assert np.allclose(found[:, 1], expected, atol=1e-6) and np.allclose(found.sum(1), 1)
    assert found.shape == (4, 2) and concept.classes_.tolist() == [0, 1]
    assert concept.predict(TEXTS).tolist() == (expected >= 0.5).astype(int).tolist()


def test_a_readout_with_an_embedding_is_read_by_both_models(store, monkeypatch):
    rows = np.random.default_rng(0).normal(size=(4, 3))
    monkeypatch.setattr(classifier, "embed", lambda texts: rows[: len(texts)])
    model = LanguageModel.load(store.config.language_model)
    readout = replace(store.load(1).concept.readout, embedding=np.array([1.0, 2.0, 3.0]), embedding_bias=0.5)
    found = classifier.read_texts(readout, model, TEXTS)
    assert np.allclose(found, readout.log_odds(model.record(TEXTS), rows))
    assert not np.allclose(found, readout.log_odds(model.record(TEXTS)))


def test_round_0_is_the_topic_and_loads_no_model(store, monkeypatch):
    monkeypatch.setattr(LanguageModel, "load", None)
    found = ConceptClassifier(store.path, round=0).predict_proba(["police police", "nothing known"])
    assert found[0, 1] != found[1, 1]


def test_scikit_learn_accepts_a_fitted_classifier(store):
    concept = ConceptClassifier(store.path, round=1)
    check_is_fitted(concept)
    expected = concept.predict_proba(TEXTS)
    # A deep copy has the state that joblib sends to other processes.
    for copied in (clone(concept), copy.deepcopy(concept)):
        assert copied.get_params() == concept.get_params() and "_held" not in vars(copied)
        assert np.allclose(copied.predict_proba(TEXTS), expected)
    step = make_pipeline(FunctionTransformer(lambda texts: [text.rstrip() for text in texts]), concept)
    step.fit(TEXTS, [0, 1, 0, 1])
    assert np.allclose(step.predict_proba(TEXTS), expected)
    assert 0 <= get_scorer("roc_auc")(concept, TEXTS, [0, 1, 0, 1]) <= 1
    calibrated = CalibratedClassifierCV(FrozenEstimator(concept), cv=2).fit(TEXTS * 2, [0, 1, 0, 1] * 2)
    assert calibrated.predict_proba(TEXTS).shape == (4, 2)


@pytest.mark.parametrize("number", [1.5, "1", True])
def test_a_round_that_is_no_whole_number_is_refused(store, number):
    with pytest.raises(BasinError, match="round was"):
        ConceptClassifier(store.path, round=number).predict(["a text"])


def test_arrays_and_columns_of_texts_are_taken_and_others_refused(store):
    concept = ConceptClassifier(store.path, round=0)
    expected = concept.predict_proba(TEXTS)
    for texts in (np.array(TEXTS), np.array(TEXTS)[:, None]):
        assert np.allclose(concept.predict_proba(texts), expected)
    assert concept.predict_proba([]).shape == (0, 2)
    broken, whole = ["a \ud83d", "de\u0301tec\u00adtive"], ["a \ufffd", "d\u00e9tective"]
    assert np.array_equal(concept.predict_proba(broken), concept.predict_proba(whole))
    for given, wrong, hint in (
        (concept, "one text", "list"),
        (concept, ["a", ""], "number 2"),
        (concept, ["a", None], "number 2"),
        *((concept, value, "a list of texts, not") for value in (None, 5, b"bytes")),
        (concept, [["a", "b"]], "axes"),
        (ConceptClassifier(store.path, round=7), TEXTS, "no round 7"),
        (ConceptClassifier(Path("nowhere")), TEXTS, "no run"),
    ):
        with pytest.raises(BasinError, match=hint):
            given.predict_proba(wrong)
