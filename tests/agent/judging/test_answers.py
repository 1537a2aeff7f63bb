"""Estimates from a user's answers: unbiased, with intervals that hold, over many askings of a planted corpus."""

import numpy as np
import pytest

from agent.judging.answers import Estimate, Estimates, estimate, question_groups, question_order


def _corpus(share: float):
    """Truth by passage, and the groups of a concept of size 0.2 with two witnesses, all of them noisy."""
    generator = np.random.default_rng(7)
    document_of = np.arange(800) // 8
    truth = (generator.random(100) < share)[document_of]
    scores = [2 * truth + generator.normal(size=100)[document_of] + generator.normal(size=800) for _ in "abc"]
    inside, *witnesses = (each >= np.quantile(each, 0.8) for each in scores)
    return truth, inside, question_groups(inside, *witnesses)


@pytest.mark.parametrize(("share", "skipped"), [(0.25, 0.0), (0.06, 0.0), (0.25, 0.2)])
def test_many_askings_are_unbiased_and_their_intervals_hold(share, skipped, monkeypatch):
    monkeypatch.setattr("agent.judging.answers.DRAWS", 300)
    truth, inside, group = _corpus(share)
    known = {"precision": truth[inside].mean(), "size": truth.mean(), "recall": inside[truth].mean()}
    found: dict[str, list] = {name: [] for name in known}
    for seed in range(150):
        answered = np.random.default_rng(seed).random(24) >= skipped
        order = question_order(group, 24, seed)[answered]
        made = estimate(group, {int(at): bool(truth[at]) for at in order})
        for name, each in found.items():
            if made is not None and getattr(made, name) is not None:
                each.append(getattr(made, name))
    held = {name: np.mean([each.low <= known[name] <= each.high for each in found[name]]) for name in known}
    assert min(held.values()) >= 0.87, held
    for name in ("precision", "size"):  # recall is a ratio, unbiased only in the limit
        values = [each.value for each in found[name]]
        assert abs(np.mean(values) - known[name]) < 4 * np.std(values) / np.sqrt(len(values)), name


def test_a_longer_order_begins_with_a_shorter_one_and_every_group_comes_early():
    _, inside, group = _corpus(0.25)
    long = question_order(group, 40, 3)
    assert long[:20].tolist() == question_order(group, 20, 3).tolist() and len(set(long)) == 40
    assert np.bincount(group[long[:8]]).tolist() == [2, 2, 2, 2]
    assert abs(inside[long].sum() - 20) <= 2
    assert sorted(question_order(group, 10_000, 3)) == list(range(800))


def test_asking_everything_gives_the_truth_and_too_little_nothing():
    truth, inside, group = _corpus(0.25)
    made = estimate(group, dict(enumerate(truth.tolist())))
    for each, value in ((made.size, truth.mean()), (made.precision, truth[inside].mean())):
        assert each.low == each.high == each.value == pytest.approx(value)
    group = np.array([0, 0, 1, 2, 3])
    assert estimate(group, {}) is None and estimate(group, {0: True, 2: True, 3: True}) is None
    made = estimate(group, {0: False, 2: False, 3: False, 4: False})
    assert made.recall is None and made.size.value == 0


@pytest.mark.parametrize(
    ("precision", "recall", "begins"),
    [
        ((0.6, 0.9), (0.4, 0.9), "It is your concept"),
        ((0.6, 0.9), (0.1, 0.4), "It is a part"),
        ((0.3, 0.7), (0.4, 0.9), "Undecided"),
        ((0.1, 0.4), (0.6, 0.9), "It is wider"),
        ((0.1, 0.4), (0.1, 0.9), "It is not"),
    ],
)
def test_verdicts(precision, recall, begins):
    each = [Estimate(0.5, *ends) for ends in (precision, recall)]
    assert Estimates(20, *each, Estimate(0.2, 0.1, 0.3)).verdict.startswith(begins)
