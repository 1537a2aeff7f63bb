"""The picture of precision against distance: who is on the frontier, and that everything can be read."""

from __future__ import annotations

import matplotlib.image
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from benchmarks import frontier
from benchmarks.frontier import KINDS, Point, draw_frontier, kind_of, points

NAMES = [
    "base",
    "topic-rejection",
    "topic-lora",
    "prompt-name",
    "random-lora",
    "basin-filter",
    "basin-lora",
    "basin-preferred-steered-best-of-4",
    "gold-lora",
]


def row(generator, distance, value, **changes):
    scores = {"inside_and_readable": value, "cluster_score_a": value, "cluster_score_b": value + 0.2}
    levels = {"inside_of_real_members": 0.8, "inside_of_real_others": 0.1}
    return {"generator": generator, "kl_per_token": distance} | scores | levels | changes


@pytest.fixture
def rows():
    return [row(name, 0.1 * at, 0.1 + 0.05 * at) for at, name in enumerate(NAMES)]


def test_ours_rivals_and_ceilings_differ_in_colour_and_marker():
    assert {name: kind_of(name).label.partition(":")[0] for name in NAMES} == {
        "base": "base model",
        "topic-rejection": "rivals",
        "topic-lora": "rivals",
        "prompt-name": "rivals",
        "random-lora": "rivals",
        "basin-filter": "ours",
        "basin-lora": "ours",
        "basin-preferred-steered-best-of-4": "ours",
        "gold-lora": "ceilings",
    }
    assert len({kind.colour for kind in KINDS}) == len({kind.marker for kind in KINDS}) == len(KINDS)
    with pytest.raises(KeyError, match="magic"):
        kind_of("magic-lora")


def test_a_point_is_the_mean_of_its_columns_and_needs_them_all():
    rows = [
        row("base", 0.0, 0.25),
        row("topic-lora", None, 0.5),
        row("basin-lora", float("nan"), 0.5),
        row("gold-lora", 0.5, 0.5, cluster_score_a=None),
    ]
    (only,) = points(rows, ["cluster_score_a", "cluster_score_b"])
    assert (only.generator, only.distance, only.value) == ("base", 0.0, pytest.approx(0.35))
    assert [point.generator for point in points(rows, ["inside_and_readable"])] == ["base", "gold-lora"]


def test_the_frontier_is_what_none_beats_so_near_and_ceilings_do_not_compete():
    every = [
        Point("base", 0.0, 0.1),
        Point("topic-lora", 0.2, 0.3),
        Point("basin-lora", 0.2, 0.4),
        Point("gold-lora", 0.1, 0.9),
        Point("prompt-name", 0.8, 0.35),
        Point("basin-steered-0.4", 0.5, 0.6),
    ]
    assert [point.generator for point in frontier.frontier(every)] == [
        "base",
        "basin-lora",
        "basin-steered-0.4",
    ]
    assert frontier.frontier([]) == []


@pytest.fixture
def figures(monkeypatch):
    """Every figure that was drawn, to be looked into after it was saved."""
    kept, savefig = [], Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *given, **more: kept.append(self) or savefig(self, *given, **more)
    )
    return kept


def test_every_generator_is_named_in_its_colour_in_both_panels_and_no_name_covers_another(
    rows, tmp_path, figures
):
    draw_frontier(tmp_path / "frontier.png", "brown: sea", [*rows, row("topic-fusion", None, 0.4)])
    image = matplotlib.image.imread(tmp_path / "frontier.png")
    assert image.shape[0] > 900 and image.shape[1] > 900 and image[..., :3].std() > 0.05
    (figure,) = figures
    assert len(figure.axes) == 2
    for axes in figure.axes:
        assert [text.get_text() for text in axes.texts] == NAMES
        assert [to_hex(text.get_color()) for text in axes.texts] == [
            to_hex(kind_of(name).colour) for name in NAMES
        ]
        boxes = [text.get_window_extent() for text in axes.texts]
        area = axes.get_window_extent()
        for number, box in enumerate(boxes):
            assert not any(box.overlaps(other) for other in boxes[:number])
            assert area.x0 <= box.x0 and box.x1 <= area.x1 and area.y0 <= box.y0 and box.y1 <= area.y1
    above, below = figure.axes
    assert "topic-fusion" in below.get_xlabel() and "inside and readable" in above.get_ylabel()
    assert above.get_title() == "brown: sea"


def test_a_picture_comes_out_of_little_and_none_of_nothing(tmp_path):
    bare = {"generator": "base", "kl_per_token": 0.0, "inside_and_readable": None}
    assert not draw_frontier(tmp_path / "bare.png", "nothing is known", [bare])
    assert not (tmp_path / "bare.png").exists()
    assert draw_frontier(tmp_path / "one.png", "one", [row("base", 0.0, np.float64(0.5))])
    assert (tmp_path / "one.png").exists()


def test_a_judge_that_cannot_tell_is_left_out_and_so_is_a_panel_that_nothing_is_in(tmp_path, figures):
    known = {"inside_and_readable": None, "cluster_score_b": None}
    rows = [
        {"generator": name, "kl_per_token": distance, "cluster_score_a": score, **known}
        for name, distance, score in (("base", 0.0, -0.5), ("basin-lora", 0.1, 0.8))
    ]
    many = [{**rows[0], "generator": f"topic-{number}", "kl_per_token": None} for number in range(40)]
    draw_frontier(tmp_path / "one_judge.png", "brown: sea", [*rows, *many])
    (axes,) = figures[0].axes
    assert axes.get_ylabel() == "cluster score of judge A"
    assert [text.get_text() for text in axes.texts] == ["base", "basin-lora"]
    label, picture = axes.xaxis.label.get_window_extent(), figures[0].bbox
    assert picture.x0 <= label.x0 and label.x1 <= picture.x1
