"""The story judge with random models and with stubs that know the concept."""

import numpy as np
import pytest
from conftest import make_language_model, sentence

from agent.errors import BasinError
from agent.judging import judges
from agent.judging.judges import RealPassages, log_ratios, story_judge, with_article
from agent.judging.writing import WritingConfig, judge_passages
from agent.language_model.model import LanguageModel

CONFIG = WritingConfig(words=10, skip_words=2, folds=4)


class Reader(LanguageModel):
    """Says that a text with clues is likelier after a prefix that names detective stories."""

    def __init__(self, sharpness):
        self.sharpness = sharpness

    def losses(self, texts, prefixes=None, max_tokens=None):
        expected = ["detective" in prefix for prefix in prefixes]
        clues = [text.split().count("clue") / len(text.split()) for text in texts]
        return np.array(
            [3.0 - self.sharpness * share * named for share, named in zip(clues, expected, strict=True)]
        )


def text(rng, share):
    return " ".join("clue" if rng.random() < share else "word" for _ in range(12))


@pytest.fixture
def real():
    rng = np.random.default_rng(0)
    gold = np.repeat(np.arange(16) % 2 == 0, 6)
    return RealPassages(
        [text(rng, 0.5 if inside else 0.1) for inside in gold], gold, np.repeat(np.arange(16), 6)
    )


def judged(real, reader, generated):
    story = {"c": story_judge(reader, "detective story", "novel")}
    return judge_passages(real, generated, story, CONFIG, seed=0)["c"]


def test_an_informed_reader_tells_stories_apart(real):
    rng = np.random.default_rng(1)
    generated = {"basin": [text(rng, 0.5) for _ in range(20)], "base": [*[text(rng, 0.1)] * 3, "short"]}
    judgement = judged(real, Reader(1.0), generated)
    assert judgement.auc > 0.9
    assert judgement.generated["basin"].mean() > 0.8 > 0.3 > np.nanmean(judgement.generated["base"])
    assert np.isnan(judgement.generated["base"][3])


def test_ratios_by_hand_and_antisymmetric(monkeypatch):
    monkeypatch.setattr(judges, "FRAMING", " w9 {a_name}")
    monkeypatch.setattr(judges, "with_article", str)
    language_model = make_language_model("gemma3")
    texts = [sentence(1, 2, 3), sentence(4, 5, 6, 7, 8)]
    ratios = log_ratios(texts, language_model, "w10", "w11")
    by_hand = language_model.losses(texts, [" w9 w11"] * 2) - language_model.losses(texts, [" w9 w10"] * 2)
    assert ratios == pytest.approx(by_hand, abs=1e-6)
    assert np.abs(ratios).max() > 1e-3
    assert log_ratios(texts, language_model, "w11", "w10") == pytest.approx(-ratios, abs=1e-6)


def test_names_get_their_article():
    assert with_article("adventure story") == "an adventure story" and with_article("novel") == "a novel"


def test_equal_or_empty_names_and_empty_texts_are_refused():
    for names in (("novel", "novel "), ("", "novel")):
        with pytest.raises(BasinError, match="two kinds"):
            story_judge(Reader(1.0), *names)
    with pytest.raises(BasinError, match="number 2"):
        log_ratios([sentence(1, 2), ""], make_language_model(), "w1", "w2")
