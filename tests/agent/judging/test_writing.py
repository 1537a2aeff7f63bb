"""Judges of writing on synthetic text: crime words and sea words, and an embedder that counts them."""

import numpy as np
import pytest

from agent.errors import BasinError
from agent.judging.judges import Decisions, RealPassages, trained_judges
from agent.judging.writing import (
    Judgement,
    WritingConfig,
    calibrated,
    cluster_scores,
    cut,
    inside,
    judge_passages,
    measure_inside,
)

CRIME = ["knife", "clue", "alibi", "inspector", "corpse", "motive"]
SEA = ["sail", "anchor", "harbour", "tide", "captain", "deck"]
PLAIN = ["the", "a", "of", "and", "then", "was", "he", "she", "with", "for"]
CONFIG = WritingConfig(words=20, skip_words=4, folds=4)
GOLD = np.array([True, True, True, False, False])
REAL = RealPassages(["a", "b", "c", "d", "e"], GOLD, np.arange(5))


def embed(texts):
    """Counts of the crime words, the sea words, and the length."""
    words = [text.split() for text in texts]
    return np.array(
        [[sum(w in CRIME for w in each), sum(w in SEA for w in each), len(each)] for each in words], float
    )


def text(rng, subject, share, length=30):
    return " ".join(str(rng.choice(subject if rng.random() < share else PLAIN)) for _ in range(length))


def labelled(share):
    rng = np.random.default_rng(0)
    gold = np.repeat(np.arange(16) % 2 == 0, 5)
    texts = [text(rng, CRIME if inside else SEA, share) for inside in gold]
    return RealPassages(texts, gold, np.repeat(np.arange(16), 5))


@pytest.fixture
def real():
    return labelled(0.2)


def judged(real, generated, config=CONFIG, embedder=embed):
    return judge_passages(real, generated, trained_judges(embedder), config, seed=0)


def test_writing_like_members_scores_about_one_and_like_the_others_about_zero(real):
    rng = np.random.default_rng(1)
    kinds = {"basin": CRIME, "base": SEA}
    generated = {name: [text(rng, words, 0.2) for _ in range(60)] for name, words in kinds.items()}
    found = judged(real, generated)
    for judgement in found.values():
        assert judgement.auc > 0.9 and judgement.real.shape == (80,)
        assert judgement.generated["basin"].mean() > 0.75 > 0.25 > judgement.generated["base"].mean()
        for name, score in (("basin", 1), ("base", 0)):
            assert cluster_scores([judgement], name).mean() == pytest.approx(score, abs=0.25)
    every = np.arange(60) % 2 == 0
    ours, base = (measure_inside([*found.values()], name, real, every) for name in kinds)
    assert ours["inside"] > 0.8 > 0.2 > base["inside"]
    assert 0.3 < ours["inside_and_readable"] <= 0.5
    assert ours["inside"] == pytest.approx(ours["inside_of_real_members"], abs=0.15)
    assert base["inside"] == pytest.approx(base["inside_of_real_others"], abs=0.15)


def test_every_text_is_judged_at_the_same_length_and_short_ones_keep_their_place(real):
    seen = []

    def spy(texts):
        seen.extend(texts)
        return embed(texts)

    rng = np.random.default_rng(3)
    generated = {"basin": [text(rng, CRIME, 0.2, length) for length in (8, 20, 25, 60)]}
    generated |= {"none": ["knife clue"], "empty": []}
    short = RealPassages(["knife", *real.texts[1:]], real.gold, real.document_of)
    for judgement in judged(short, generated, embedder=spy).values():
        assert np.isnan(judgement.generated["basin"]).tolist() == [True, False, False, False]
        assert np.isnan(judgement.generated["none"]).all() and not len(judgement.generated["empty"])
        assert np.isnan(judgement.real).nonzero()[0].tolist() == [0]
    assert {len(each.split()) for each in seen} == {20}
    assert " ".join(real.texts[1].split()[4:24]) in seen
    seen.clear()
    judged(real, {"basin": [text(rng, CRIME, 0.2, 12)] * 10}, WritingConfig(skip_words=4), spy)
    assert {len(each.split()) for each in seen} == {12}  # the length follows what was generated


def test_cutting_by_hand():
    assert cut("a b\n c  d", 2) == "a b"
    assert cut("a b\n c  d", 2, skip=1) == "b c"
    assert cut("a b", 3) is None


def test_short_texts_and_single_documents_are_refused(real):
    with pytest.raises(BasinError, match="no generated text"):
        judged(real, {"basin": []}, WritingConfig())
    with pytest.raises(BasinError, match="20 words"):
        judged(real, {"basin": ["too short"]})
    one = RealPassages(real.texts, real.document_of == 0, real.document_of)
    with pytest.raises(BasinError, match="two documents"):
        judged(one, {"basin": ["the knife " * 10]})


def decided(share, seed=0, size=6000, slope=1.0, shift=0.0):
    """Labels drawn at their true log-odds, and decisions that are those log-odds shifted and scaled."""
    rng = np.random.default_rng(seed)
    log_odds = rng.normal(size=size) * 1.5 + np.log(share / (1 - share))
    gold = rng.random(size) < 1 / (1 + np.exp(-log_odds))
    return log_odds, gold, Decisions((log_odds - shift) / slope, {}), rng.integers(5, size=size)


@pytest.mark.parametrize("slope", [0.02, 1.0, 30.0])
def test_probabilities_are_calibrated_on_every_scale(slope):
    log_odds, gold, decisions, folds = decided(0.2, slope=slope, shift=2.0)
    both = Decisions(decisions.real, {"basin": np.stack([decisions.real[:50]] * 5)})
    judgement = calibrated(both, gold, folds)
    prior = np.log(gold.mean() / (1 - gold.mean()))
    assert judgement.real == pytest.approx(1 / (1 + np.exp(prior - log_odds)), abs=0.06)
    assert judgement.generated["basin"] == pytest.approx(judgement.real[:50], abs=0.02)
    # At even odds, the mean score of members and one less that of the others agree.
    assert judgement.members == pytest.approx(1 - judgement.non_members, abs=0.05)


def test_reversed_and_random_judges_give_one_half():
    _, gold, decisions, folds = decided(0.3)
    judgement = calibrated(Decisions(-decisions.real, {"basin": -decisions.real[None, :9]}), gold, folds)
    assert judgement.auc < 0.3
    assert judgement.real == pytest.approx(0.5) and judgement.generated["basin"] == pytest.approx(0.5)
    noise = np.random.default_rng(9).normal(size=len(gold))
    assert calibrated(Decisions(noise, {}), gold, folds).real == pytest.approx(0.5, abs=0.08)


def judgement(generated, members=0.8, non_members=0.2, real=(0.9, 0.8, 0.4, 0.1, 0.3), auc=0.9):
    by_name = {"basin": np.array(generated, dtype=float)}
    return Judgement(auc, members, non_members, by_name, np.array(real, dtype=float))


def test_every_judge_is_put_on_the_scale_of_real_passages():
    pair = [judgement([0.2, 0.8, 0.5]), judgement([0.4, 0.6, 1.0], members=0.6, non_members=0.4)]
    assert cluster_scores(pair, "basin") == pytest.approx(np.array([[0, 1, 0.5], [0, 1, 3]]))


def test_a_text_is_inside_by_the_mean_of_its_judges():
    scores = np.array([[0.0, 1.0, 0.9, 0.4, np.nan], [0.0, 1.0, 0.2, 0.5, 2.0]])
    assert inside(scores).tolist() == [False, True, True, False, False]


def test_shares_by_hand():
    pair = [judgement([0.9, 0.9, 0.1, np.nan])] * 2
    found = measure_inside(pair, "basin", REAL, np.array([True, False, True, True]))
    assert (found["inside"], found["inside_and_readable"]) == (0.5, 0.25)
    assert found["inside_of_real_members"] == pytest.approx(2 / 3) and found["inside_of_real_others"] == 0
    pair = [judgement([0.9], real=(np.nan, 0.8, 0.4, 0.1, 0.9))] * 2  # one is too short to be judged
    found = measure_inside(pair, "basin", REAL, np.array([True]))
    assert (found["inside_of_real_members"], found["inside_of_real_others"]) == (0.5, 0.5)


@pytest.mark.parametrize("poor", [{"auc": 0.57}, {"members": 0.5, "non_members": 0.5}])
def test_an_uninformative_judge_gives_no_score(poor):
    pair = [judgement([0.9]), judgement([0.9], **poor)]
    assert set(measure_inside(pair, "basin", REAL, np.array([True])).values()) == {None}
    assert np.isnan(cluster_scores(pair[1:], "basin")).all()
    assert cluster_scores([judgement([0.8], auc=0.6)], "basin") == pytest.approx(np.array([[1.0]]))
