"""The picture of a run: a picture comes out, and gold labels say that the loop did not know them."""

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure

from agent.concept import Concept
from agent.judging.average_precision import MeasuredRound
from agent.judging.figures import run as picture


@pytest.fixture
def rounds():
    rng = np.random.default_rng(0)
    found = []
    for number in range(3):
        scores = rng.normal(size=40)
        concept = Concept(number, 1 / (1 + np.exp(-scores)), scores, scores, 0.5)
        found.append(MeasuredRound(concept, {"drift": 0.5 / number if number else None}, {}))
    return found


@pytest.mark.parametrize("known", [True, False])
def test_a_picture_comes_out_with_and_without_gold_labels(rounds, known, tmp_path):
    rows, gold = [], None
    if known:
        names = [
            f"ap_{name}{suffix}" for name in ("topic", "concept", "ceiling") for suffix in ("", "_pooled")
        ]
        rows = [{"round": number} | dict.fromkeys(names, 0.5) for number in range(3)]
        gold = np.arange(40) < 8
    picture.draw(tmp_path / "picture.png", rounds, rows, gold)
    image = matplotlib.image.imread(tmp_path / "picture.png")
    assert image.shape[1] > image.shape[0] > 300
    assert image[..., :3].std() > 0.05  # something is drawn


def test_held_out_losses_are_a_curve_by_tokens(rounds, tmp_path):
    losses = {"member_loss_curve": "0:3.45 75000:3.28 150000:3.26", "other_loss_curve": "0:3.77 150000:3.58"}
    rounds[-1] = MeasuredRound(rounds[-1].concept, {"drift": 0.1, **losses}, {})
    assert picture._curves(rounds[-1])["other"] == [(0.0, 3.77), (150000.0, 3.58)]
    picture.draw(tmp_path / "picture.png", rounds)
    axes = Figure().subplots()
    picture._draw_lesson(axes, picture._curves(rounds[-1]))
    assert [line.get_label() for line in axes.lines] == ["held-out members", "held-out others"]


def test_gold_is_drawn_only_as_hollow_markers_that_say_so(rounds):
    def legend(gold):
        axes = Figure().subplots()
        picture._draw_exchange(axes, rounds[0].concept, rounds[-1].concept, gold)
        return axes, [text.get_text() for text in axes.get_legend().get_texts()]

    _, without = legend(None)
    assert not any("gold" in label for label in without)
    axes, labels = legend(np.arange(40) < 8)
    assert labels[-1] == "gold label, not known to the loop (8)"
    assert len(axes.collections[-1].get_facecolors()) == 0
