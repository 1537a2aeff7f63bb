"""A rubric's grade is what the model expects to answer; a model without digits is refused."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import make_language_model, sentence

from agent.errors import BasinError
from agent.judging import rubric
from agent.judging.decisions import RealPassages
from agent.judging.rubric import BELONGS, READABLE, grades, rubric_judge

RUBRIC = " w1{passage} w2"
TEXTS = [sentence(*range(start, start + 6)) for start in range(5)]


@pytest.fixture
def language_model(monkeypatch):
    """A random model, for which five of its words are the digits."""
    monkeypatch.setattr(rubric, "_digit_tokens", lambda _: [10, 11, 12, 13, 14])
    return make_language_model(max_tokens=64)


def test_a_grade_is_the_expected_answer(language_model):
    found = grades(language_model, RUBRIC, TEXTS)
    asked = [f" w1{text} w2Answer: " for text in TEXTS]
    for text, grade in zip(asked, found, strict=True):
        (batch,) = language_model.batches([text])
        logits = language_model.model(batch.ids).logits[0, -1, 10:15].double()
        assert grade == pytest.approx(float(logits.softmax(0) @ logits.new_tensor([1, 2, 3, 4, 5])), abs=1e-4)
    assert np.ptp(found) > 0.01


def test_texts_keep_their_order_whatever_their_length(language_model):
    longer = [TEXTS[0] * 3, TEXTS[1], TEXTS[2] * 2]
    alone = [grades(language_model, RUBRIC, [text])[0] for text in longer]
    assert grades(language_model, RUBRIC, longer) == pytest.approx(np.array(alone), abs=1e-4)


def test_it_judges_like_any_other(language_model, monkeypatch):
    monkeypatch.setattr(rubric, "BELONGS", RUBRIC)
    real = RealPassages(TEXTS, np.array([True, False, True, False, True]), np.arange(5))
    decided = rubric_judge(language_model, "detective story")(real, {"basin": TEXTS[:2]}, np.zeros(5, int))
    assert decided.real.shape == (5,) and decided.generated["basin"].shape == (1, 2)
    assert decided.generated["basin"][0] == pytest.approx(decided.real[:2], abs=1e-4)


def test_the_rubrics_have_a_place_for_the_passage_and_name_the_concept_only_where_it_is_asked_for():
    assert "{passage}" in BELONGS and "{a_name}" in BELONGS
    assert "{passage}" in READABLE and "{a_name}" not in READABLE


def test_a_model_without_digits_and_a_concept_without_a_name_are_refused():
    with pytest.raises(BasinError, match="no tokens for the digits"):
        grades(make_language_model(), RUBRIC, TEXTS)
    with pytest.raises(BasinError, match="needs a name"):
        rubric_judge(make_language_model(), " ")
