"""The pictures of a sweep: every name can be read, the numbers lie beside them, and little still makes a picture."""

from __future__ import annotations

import csv
from dataclasses import replace

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure
from planted_flows import DOCUMENTS, ROUNDS, planted_flows, planted_gold

from agent.judging.basin_quality import Flows, path_quality
from agent.judging.figures.basin import draw_basin_map
from agent.judging.figures.labels import spread
from agent.judging.figures.start import draw_path

NAMES = ["detective stories", "sea voyages", "all fiction", "small and odd"]


@pytest.fixture(scope="module")
def flows():
    return planted_flows(starts=120)


@pytest.fixture
def figures(monkeypatch):
    """Every figure that was drawn, to be looked into after it was saved."""
    kept, savefig = [], Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *given, **more: kept.append(self) or savefig(self, *given, **more)
    )
    return kept


def drawn(path, flows, names=NAMES, ceiling_ap=0.84):
    draw_basin_map(path, flows, *planted_gold(), names, ceiling_ap=ceiling_ap, topic_start=0)
    with path.with_suffix(".csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


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
    assert [text.get_text().partition("\n")[0] for text in still.texts] == NAMES[::-1]
    assert still.texts[-1].get_text().endswith("×0.60 a round")
    assert any("trained on" in text.get_text() for text in curve.texts)
    whole = figure.bbox
    for axes in figure.axes:
        assert_apart(texts_of(axes))
        others = [*axes.texts, *axes.get_legend().get_texts()] if axes.get_legend() else axes.texts
        for box in (text.get_window_extent() for text in others):
            assert whole.x0 <= box.x0 and box.x1 <= whole.x1 and whole.y0 <= box.y0 and box.y1 <= whole.y1
    assert "detective stories" in figure.get_suptitle()


def test_the_numbers_of_the_map_lie_beside_it(flows, tmp_path):
    rows = drawn(tmp_path / "map.png", flows)
    flow = [row for row in rows if row["start"]]
    assert len(flow) == 120 * (ROUNDS + 1) and flow[0]["kind"] == "topic" and flow[0]["drift"] == ""
    quality = path_quality(flows, *planted_gold())
    last = flow[ROUNDS]
    assert float(last["average_precision"]) == pytest.approx(quality.average_precision[0, -1], abs=1e-3)
    assert float(last["overlap_first"]) > 0.99 and last["name"] == NAMES[0]
    others = {row["kind"]: row for row in rows if not row["start"]}
    assert set(others) == {"fixed point", "threshold", "threshold low", "threshold high", "ceiling"}
    assert float(others["threshold"]["start_precision"]) == pytest.approx(0.4, abs=0.05)
    assert float(others["ceiling"]["average_precision"]) == 0.84


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
        rows = drawn(tmp_path / f"{name}.png", each, names=[], ceiling_ap=None)
        assert matplotlib.image.imread(tmp_path / f"{name}.png").shape[1] == 2100
        assert rows[-1] == {key: "ceiling" if key == "kind" else "" for key in rows[-1]}
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
    with (tmp_path / "way.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    shown = [row for row in rows if row["row"] == "document"]
    assert len(shown) == counted.sum() and [row["gold"] for row in shown] == sorted(
        (row["gold"] for row in shown), reverse=True
    )
    assert {row["row"] for row in rows} == {"document", "average_precision", "precision", "recall"}


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
