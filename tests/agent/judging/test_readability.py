"""The judge of readability on a language of counting, which a stub reads and shuffling breaks."""

import numpy as np
import pytest
from conftest import make_language_model, sentence

from agent.errors import BasinError
from agent.judging.decisions import RealPassages
from agent.judging.readability import ReadableConfig, judge_readable, text_features
from agent.language_model.coherence import text_statistics
from agent.language_model.model import LanguageModel

CONFIG = ReadableConfig(words=30, skip_words=2, passages=80, folds=4)


class Counter(LanguageModel):
    """Expects every number to follow the one before it, whatever kind of thing is counted."""

    def __init__(self):
        pass

    def token_losses(self, texts, prefixes=None, max_tokens=None):
        found = []
        for text in texts:
            numbers = [int("".join(filter(str.isdigit, word))) for word in text.split()]
            steps = np.diff(numbers)
            found.append(np.where(steps == 1, 0.5, 4.0) + 0.1 * np.sin(numbers[1:]))
        return found


class Deaf(Counter):
    """Hears no difference."""

    def token_losses(self, texts, prefixes=None, max_tokens=None):
        return [np.full(len(text.split()) - 1, 2.0) for text in texts]


def counting(rng, thing, words=45):
    start = int(rng.integers(900))
    numbers = range(start, start + words)
    return " ".join(f"{thing}{number}" + "." * (number % 9 == 8) for number in numbers)


def real_passages(seed=0):
    rng = np.random.default_rng(seed)
    gold = np.repeat(np.arange(16) % 2 == 0, 6)
    texts = [counting(rng, "clue" if inside else "wave") for inside in gold]
    return RealPassages(texts, gold, np.repeat(np.arange(16), 6))


def generated(seed=1):
    rng = np.random.default_rng(seed)
    good = [counting(rng, "clue") for _ in range(20)]
    return {"good": good, "salad": [" ".join(rng.permutation(text.split())) for text in good]}


def test_salad_is_told_from_text_whatever_it_is_about():
    found = judge_readable(real_passages(), generated(), Counter(), CONFIG, seed=0)
    assert found.judgement.auc > 0.9
    assert found.judgement.members > 0.8 > 0.25 > found.judgement.non_members
    assert set(found.auc_by_kind) == {"shuffled", "truncated", "replaced", "repeated"}
    assert min(found.auc_by_kind.values()) > 0.85
    assert found.concept_auc == pytest.approx(0.5, abs=0.15)
    assert found.judgement.generated["good"].mean() > 0.8
    assert found.judgement.generated["salad"].mean() < 0.2


def test_length_says_nothing_and_short_texts_keep_their_place():
    texts = generated()["good"][:3]
    longer = [*texts, *(f"{text} {text}" for text in texts), "clue1 clue2"]
    found = judge_readable(real_passages(), {"basin": longer}, Counter(), CONFIG, seed=0)
    scores = found.judgement.generated["basin"]
    assert scores[:3] == pytest.approx(scores[3:6])
    assert np.isnan(scores[6])


def test_texts_steered_too_hard_are_one_more_kind_of_spoiled():
    rng = np.random.default_rng(2)
    steered = [" ".join(f"clue{2 * number}" for number in range(start, start + 40)) for start in range(30)]
    found = judge_readable(
        real_passages(), {"basin": [counting(rng, "wave"), steered[3]]}, Counter(), CONFIG, 0, steered
    )
    assert found.auc_by_kind["steered"] > 0.95
    readable, not_readable = found.judgement.generated["basin"]
    assert readable > 0.8 > 0.2 > not_readable


def test_a_deaf_reader_of_texts_whose_statistics_are_the_same_is_a_coin():
    real = real_passages()
    # Without full stops, only loops show in the statistics.
    plain = RealPassages([text.replace(".", "") for text in real.texts], real.gold, real.document_of)
    found = judge_readable(plain, {}, Deaf(), CONFIG, seed=0)
    assert found.auc_by_kind["shuffled"] == pytest.approx(0.5, abs=0.2)


def test_judging_twice_gives_the_same():
    first, second = (judge_readable(real_passages(), generated(), Counter(), CONFIG, 3) for _ in range(2))
    assert np.array_equal(first.judgement.generated["good"], second.judgement.generated["good"])
    assert first.auc_by_kind == second.auc_by_kind


def test_features_by_hand():
    losses = [np.array([0.01, 1.0, 2.0, 5.0]), np.empty(0)]
    common = frozenset({"a"})
    found = text_features(["a b c d e", ""], losses, common, unlikely_from=4.0)
    assert found[0, :4] == pytest.approx([np.mean(losses[0]), np.std(losses[0]), 0.25, 0.25])
    assert found[0, 4:].tolist() == list(text_statistics("a b c d e", common).values())
    assert np.isinf(found[1, 0])


def test_a_random_model_reads_and_a_text_without_words_is_unreadable():
    rng = np.random.default_rng(0)
    texts = [sentence(*rng.integers(90, size=45).tolist()) for _ in range(24)]
    real = RealPassages(texts, np.repeat([True, False], 12), np.repeat(np.arange(8), 3))
    dashes = " ".join(["---"] * 30)
    written = {"basin": [dashes, texts[0]]}
    found = judge_readable(real, written, make_language_model("gemma3"), CONFIG, seed=0)
    assert np.isfinite(found.judgement.generated["basin"]).all()
    assert found.judgement.generated["basin"][0] < found.judgement.generated["basin"][1]


def test_too_little_to_learn_from_is_refused():
    real = real_passages()
    with pytest.raises(BasinError, match="lower the length"):
        judge_readable(real, {}, Counter(), ReadableConfig(words=60), seed=0)
    one = RealPassages(real.texts, real.gold, np.zeros(96, dtype=int))
    with pytest.raises(BasinError, match="of 1 documents"):
        judge_readable(one, {}, Counter(), CONFIG, seed=0)
