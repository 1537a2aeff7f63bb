"""Judges of writing on synthetic text: crime words and sea words, and an embedder that counts them."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from agent.errors import BasinError
from agent.judging.inside import cluster_scores, measure_inside
from agent.judging.writing import (
    RealPassages,
    WritingConfig,
    cluster_score,
    cut,
    embedding_judge,
    judge_passages,
    judge_writing,
    word_judge,
)

CRIME = ["knife", "clue", "alibi", "inspector", "corpse", "motive"]
SEA = ["sail", "anchor", "harbour", "tide", "captain", "deck"]
PLAIN = ["the", "a", "of", "and", "then", "was", "he", "she", "with", "for"]
CONFIG = WritingConfig(words=20, skip_words=4, folds=4)


def embed(texts):
    """Counts of the crime words, the sea words, and the length."""
    words = [text.split() for text in texts]
    return np.array(
        [[sum(w in CRIME for w in each), sum(w in SEA for w in each), len(each)] for each in words], float
    )


def text(rng, subject, share, length=30):
    return " ".join(str(rng.choice(subject if rng.random() < share else PLAIN)) for _ in range(length))


@pytest.fixture
def real():
    rng = np.random.default_rng(0)
    gold = np.repeat(np.arange(16) % 2 == 0, 5)
    texts = [text(rng, CRIME if inside else SEA, 0.2) for inside in gold]
    return RealPassages(texts, gold, np.repeat(np.arange(16), 5))


def judged(real, generated, config=CONFIG):
    return {
        (row["generator"], row["judge"]): row for row in judge_writing(real, generated, embed, config, seed=0)
    }


def test_writing_like_members_scores_about_one_and_like_the_others_about_zero(real):
    rng = np.random.default_rng(1)
    rows = judged(
        real,
        {
            "basin": [text(rng, CRIME, 0.2) for _ in range(60)],
            "base": [text(rng, SEA, 0.2) for _ in range(60)],
        },
    )
    for judge in ("A embeddings", "B word n-grams"):
        assert rows["basin", judge]["auc"] > 0.9
        assert rows["basin", judge]["cluster_score"] == pytest.approx(1, abs=0.25)
        assert rows["base", judge]["cluster_score"] == pytest.approx(0, abs=0.25)


def test_word_salad_in_the_right_vocabulary_is_told_as_a_caricature(real):
    rng = np.random.default_rng(1)
    rows = judged(real, {"basin": [text(rng, CRIME, 1.0) for _ in range(20)]})
    assert all(row["cluster_score"] > 1.1 for row in rows.values())


def test_judges_of_shuffled_labels_are_a_coin(real):
    rng = np.random.default_rng(2)
    of_documents = rng.permutation(np.arange(16) % 2 == 0)
    shuffled = RealPassages(real.texts, np.repeat(of_documents, 5), real.document_of)
    same = (of_documents == (np.arange(16) % 2 == 0)).mean()
    assert 0.3 < same < 0.7  # the shuffle really mixes the kinds
    rows = judged(shuffled, {"basin": [text(rng, CRIME, 0.2) for _ in range(10)]})
    assert all(row["auc"] < 0.75 for row in rows.values())


def test_every_text_is_judged_at_the_same_length(real):
    seen = []

    def spy(texts):
        seen.extend(texts)
        return embed(texts)

    rng = np.random.default_rng(3)
    generated = {"basin": [text(rng, CRIME, 0.2, length) for length in (8, 20, 25, 60)]}
    rows = judge_writing(real, generated, spy, CONFIG, seed=0)
    assert {len(each.split()) for each in seen} == {20}
    assert " ".join(real.texts[0].split()[4:24]) in seen
    assert all((row["samples"], row["too_short"], row["words"]) == (3, 1, 20) for row in rows)


def test_the_length_follows_what_was_generated(real):
    rng = np.random.default_rng(3)
    generated = {"basin": [text(rng, CRIME, 0.2, 12) for _ in range(10)]}
    rows = judge_writing(real, generated, embed, WritingConfig(skip_words=4), seed=0)
    assert {row["words"] for row in rows} == {12}


def each_judged(real, generated):
    judges = {"A": embedding_judge(embed), "B": word_judge()}
    return judge_passages(real, generated, judges, CONFIG, seed=0)


def test_passages_get_calibrated_probabilities_by_both_judges(real):
    rng = np.random.default_rng(1)
    kinds = {"basin": CRIME, "base": SEA}
    generated = {name: [text(rng, words, 0.2) for _ in range(40)] for name, words in kinds.items()}
    judgements = each_judged(real, generated)
    for judgement in judgements.values():
        assert judgement.auc > 0.9
        assert judgement.calibration_error < 0.15
        assert judgement.brier < 0.2
        assert judgement.generated["basin"].mean() > 0.75 > 0.25 > judgement.generated["base"].mean()
        assert judgement.real.shape == (80,)
    pair = tuple(judgements.values())
    reports = {name: measure_inside(pair, name, real, np.arange(40) % 2 == 0) for name in kinds}
    assert reports["basin"].share > 0.8 > 0.2 > reports["base"].share
    assert 0.3 < reports["basin"].readable_share <= 0.5
    assert reports["basin"].share == pytest.approx(reports["basin"].real_members, abs=0.15)
    assert reports["base"].share == pytest.approx(reports["base"].real_non_members, abs=0.15)
    ours, theirs = np.concatenate([cluster_scores(pair, name) for name in ("basin", "base")], axis=1)
    assert len(ours) == 80 and spearmanr(ours, theirs).statistic > 0.6
    assert ((ours >= 0.5) == (theirs >= 0.5)).mean() > 0.8


def test_passages_too_short_to_judge_keep_their_place(real):
    rng = np.random.default_rng(1)
    texts = [text(rng, CRIME, 0.2, length) for length in (30, 8, 25)]
    short = RealPassages(["knife", *real.texts[1:]], real.gold, real.document_of)
    for judgement in each_judged(short, {"basin": texts, "none": ["knife clue"], "empty": []}).values():
        assert np.isnan(judgement.generated["basin"]).tolist() == [False, True, False]
        assert np.isnan(judgement.generated["none"]).all() and not len(judgement.generated["empty"])
        assert np.isnan(judgement.real).nonzero()[0].tolist() == [0]


def test_judging_twice_gives_the_same(real):
    generated = {"basin": [text(np.random.default_rng(1), CRIME, 0.2)]}
    first, second = (each_judged(real, generated) for _ in range(2))
    for name, judgement in first.items():
        assert np.array_equal(judgement.real, second[name].real)
        assert np.array_equal(judgement.generated["basin"], second[name].generated["basin"])


def test_cutting_by_hand():
    assert cut("a b\n c  d", 2) == "a b"
    assert cut("a b\n c  d", 2, skip=1) == "b c"
    assert cut("a b", 3) is None


@pytest.mark.parametrize(("score", "expected"), [(0.3, 0), (0.7, 1), (0.5, 0.5), (0.9, 1.5)])
def test_cluster_score_by_hand(score, expected):
    assert cluster_score(score, members=0.7, non_members=0.3) == pytest.approx(expected)
    assert cluster_score(score, members=0.3, non_members=0.3) is None


def test_what_cannot_be_judged_is_refused(real):
    with pytest.raises(BasinError, match="no generated text"):
        judge_writing(real, {"basin": []}, embed, WritingConfig(), seed=0)
    with pytest.raises(BasinError, match="20 words"):
        judge_writing(real, {"basin": ["too short"]}, embed, CONFIG, seed=0)
    one = RealPassages(real.texts, real.document_of == 0, real.document_of)
    with pytest.raises(BasinError, match="two documents"):
        judge_writing(one, {"basin": ["the knife " * 10]}, embed, CONFIG, seed=0)
