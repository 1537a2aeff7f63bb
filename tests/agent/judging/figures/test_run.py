"""The picture of a run: a picture comes out, and its view is the concept's own reading."""

import matplotlib.image
import numpy as np
import pytest

from agent.concept import Concept, Readout
from agent.judging.average_precision import MeasuredRound, MeasuredRun
from agent.judging.figures import run as picture


@pytest.fixture
def run():
    rng = np.random.default_rng(0)
    activations = rng.normal(size=(40, 2, 5)) * np.array([1, 1, 1, 1, 50.0])
    readout = Readout(rng.normal(size=(2, 5)), 0.5, trust=1.0, pointer_centre=0.0, threshold=0.0, scale=1.0)
    rounds = []
    for number in range(3):
        scores = readout.evidence(activations) + rng.normal(size=40)
        membership = 1 / (1 + np.exp(-scores))
        concept = Concept(number, membership, scores, scores, 0.5, readout=readout if number else None)
        rounds.append(MeasuredRound(concept, {"drift": 0.5 / number if number else None}, {}))
    return MeasuredRun(rounds, np.full(40, 0.2), activations, np.repeat(np.arange(10), 4))


def test_the_first_axis_is_the_readouts_evidence_and_the_second_does_not_hold_it(run):
    readout = run.rounds[-1].concept.readout
    points = picture.plane(run.activations, readout)(run.activations)
    assert points[:, 0] == pytest.approx(readout.evidence(run.activations))
    assert abs(np.corrcoef(points.T)[0, 1]) < 0.5
    assert points[:, 1].std() > 0.5


def test_new_texts_are_seen_from_where_the_real_ones_are(run):
    view = picture.plane(run.activations, run.rounds[-1].concept.readout)
    assert view(run.activations[:7]) == pytest.approx(view(run.activations)[:7])


@pytest.mark.parametrize("known", [True, False])
def test_a_picture_comes_out_with_and_without_gold_labels(run, known, tmp_path):
    rows, gold = [], None
    if known:
        names = [
            f"ap_{name}{suffix}" for name in ("topic", "concept", "ceiling") for suffix in ("", "_pooled")
        ]
        rows = [{"round": number} | dict.fromkeys(names, 0.5) for number in range(3)]
        gold = np.arange(40) < 8
    points = picture.GeneratedPoints(run.activations[:6] + 1, ["steered", "base"] * 3)
    picture.draw(tmp_path / "picture.png", run, rows, points, gold)
    image = matplotlib.image.imread(tmp_path / "picture.png")
    assert image.shape[1] > image.shape[0] > 300
    assert image[..., :3].std() > 0.05  # something is drawn


def test_gold_is_drawn_only_as_hollow_markers_that_say_so(run):
    from matplotlib.figure import Figure

    def legend(gold):
        axes = Figure().subplots()
        picture._draw_plane(axes, run, run.rounds[-1].concept, None, gold)
        return axes, [text.get_text() for text in axes.get_legend().get_texts()]

    _, without = legend(None)
    assert not any("gold" in label for label in without)
    axes, labels = legend(np.arange(40) < 8)
    assert labels[-1] == "gold label, not known to the loop (8)"
    assert len(axes.collections[-1].get_facecolors()) == 0


def test_the_edge_of_a_claim_is_drawn_only_where_one_score_parts_it():
    scores = np.array([1.0, 2.0, 3.0, 4.0])
    assert picture._boundary(scores, np.array([False, False, True, True])) == 2.5
    assert picture._boundary(scores, np.array([False, True, False, True])) is None
    assert picture._boundary(scores, np.zeros(4, dtype=bool)) is None
