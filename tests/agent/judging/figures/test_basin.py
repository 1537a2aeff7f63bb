"""Figures of a sweep: every name can be read, and little data still makes a figure."""

from __future__ import annotations

from dataclasses import replace

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure
from planted_flows import DOCUMENTS, planted_flows, planted_gold

from agent.judging.basin_quality import Flows
from agent.judging.figures.basin import draw_basin_map
from agent.judging.figures.labels import spread
from agent.judging.figures.start import draw_path

NAMES = ["detective stories", "sea voyages", "all fiction", "small and odd"]


@pytest.fixture(scope="module")
def flows():
    return planted_flows(starts=120)


@pytest.fixture
def figures(monkeypatch):
    """Figures that were saved."""
    kept, savefig = [], Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *given, **more: kept.append(self) or savefig(self, *given, **more)
    )
    return kept


def drawn(path, flows, names=NAMES, ceiling_ap=0.84):
    draw_basin_map(path, flows, *planted_gold(), names=names, ceiling_ap=ceiling_ap, topic_start=0)


def texts_of(axes):
    return [text for text in axes.texts if text.get_text()]


def assert_apart(texts):
    boxes = [text.get_window_extent() for text in texts]
    for number, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:number]), texts[number].get_text()


def test_four_panels_name_the_fixed_points_and_no_name_covers_another(flows, tmp_path, figures):
    drawn(tmp_path / "map.png", flows)
    image = matplotlib.image.imread(tmp_path / "map.png")
    assert image.shape[0] > 1400 and image.shape[1] == 2100 and image[..., :3].std() > 0.05
    (figure,) = figures
    plane, curve, still, between = figure.axes
    for axes in (plane, between):
        names = {text.get_text() for text in axes.texts}
        assert {*NAMES, "the topic"} <= names
    assert [text.get_text() for text in still.texts] == NAMES
    assert any("trained on" in text.get_text() for text in curve.texts)
    whole = figure.bbox
    for axes in figure.axes:
        assert_apart(texts_of(axes))
        others = [*axes.texts, *axes.get_legend().get_texts()] if axes.get_legend() else axes.texts
        for box in (text.get_window_extent() for text in others):
            assert whole.x0 <= box.x0 and box.x1 <= whole.x1 and whole.y0 <= box.y0 and box.y1 <= whole.y1
    assert "detective stories" in figure.get_suptitle()


def kept_starts(flows, chosen):
    at = np.flatnonzero(chosen)
    lists = {"kinds": [flows.kinds[each] for each in at], "levels": [flows.levels[each] for each in at]}
    arrays = {name: getattr(flows, name)[at] for name in ("starts", "path", "fixed_point", "certified")}
    return Flows(**lists, **arrays)


def test_little_still_makes_a_picture(flows, tmp_path, figures):
    few = {
        "one start": kept_starts(flows, np.arange(120) < 1),
        "one fixed point, all good": kept_starts(flows, flows.fixed_point == 0),
        "nothing settles": replace(flows, fixed_point=np.full(120, -1)),
        "one round": replace(flows, path=flows.path[:, :1]),
        "no members": replace(flows, path=np.zeros_like(flows.path)),
        "nothing moves": replace(flows, path=np.repeat(flows.path[:, -1:], 4, axis=1)),
    }
    for name, each in few.items():
        drawn(tmp_path / f"{name}.png", each, names=[], ceiling_ap=None)
        assert matplotlib.image.imread(tmp_path / f"{name}.png").shape[1] == 2100
    words = [text.get_text() for text in figures[2].axes[3].texts]
    assert words == ["no start settled"]
    assert "Towards" in figures[0].axes[3].get_title(loc="left")
    assert "fixed point 1" in {text.get_text() for text in figures[1].axes[0].texts}


def test_gaps_between_fixed_points_are_refused(flows, tmp_path):
    with pytest.raises(ValueError, match="without gaps"):
        drawn(tmp_path / "gap.png", kept_starts(flows, flows.fixed_point != 0))


def test_a_start_in_detail_names_what_rose_and_fell_most(flows, tmp_path, figures):
    gold, counted = planted_gold()
    titles = [
        f"Book {number} of a series with a rather long title, price $5 or $6" for number in range(DOCUMENTS)
    ]
    draw_path(tmp_path / "way.png", flows, 3, gold, counted, titles=titles)
    assert matplotlib.image.imread(tmp_path / "way.png").shape[1] > 1500
    strip, below, _ = figures[0].axes
    change = np.where(counted, flows.path[3, -1] - flows.path[3, 0], 0)
    moved = {*np.argsort(-change)[:3].tolist(), *np.argsort(change)[:3].tolist()}
    words = [text.get_text() for text in strip.texts]
    assert len(words) == 6 and all(any(f"Book {each} " in word for word in words) for each in moved)
    assert sum("▲ +" in word for word in words) == sum("▼ −" in word for word in words) == 3
    assert_apart(strip.texts)
    assert_apart(below.texts)
    assert all(text.get_window_extent().x1 <= figures[0].bbox.x1 for text in [*strip.texts, *below.texts])


def test_a_start_that_stays_names_nothing(flows, tmp_path, figures):
    still = replace(flows, path=np.repeat(flows.path[:, -1:], 3, axis=1))
    draw_path(tmp_path / "still.png", still, 0, *planted_gold(), titles=[""] * DOCUMENTS)
    assert not figures[0].axes[0].texts


def test_labels_are_spread_no_more_than_needed():
    assert spread(np.array([0.9, 0.1]), 0.1).tolist() == pytest.approx([0.9, 0.1])
    assert spread(np.array([0.5, 0.5, 0.1]), 0.2).tolist() == pytest.approx([0.4, 0.6, 0.1])
    assert spread(np.array([0.0, 0.0, 0.0]), 0.1).tolist() == pytest.approx([0.0, 0.1, 0.2])
    assert spread(np.array([1.0, 1.0]), 0.1).tolist() == pytest.approx([0.9, 1.0])
    assert len(spread(np.zeros(0), 0.1)) == 0
