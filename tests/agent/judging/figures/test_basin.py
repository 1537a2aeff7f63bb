"""Figures of a sweep: every fixed point is named, and little data still makes a figure."""

from __future__ import annotations

from dataclasses import replace

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure
from planted_flows import planted_flows, planted_gold

from agent.judging.basin_quality import Flows
from agent.judging.figures.basin import draw_basin_map

NAMES = ["detective stories", "sea voyages", "all fiction", "small and odd, price $5 or $6"]


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


def drawn(path, flows, names=NAMES):
    draw_basin_map(path, flows, planted_gold(), names=names, ceiling_ap=0.84)


def test_three_panels_and_a_legend_that_names_the_fixed_points(flows, tmp_path, figures):
    drawn(tmp_path / "map.png", flows)
    image = matplotlib.image.imread(tmp_path / "map.png")
    assert image.shape[:2] == (840, 2040) and image[..., :3].std() > 0.05
    (figure,) = figures
    (legend,) = figure.legends
    words = [text.get_text() for text in legend.get_texts()]
    counts = [(flows.fixed_point == index).sum() for index in range(4)]
    assert words[:4] == [f"{name} ({count})" for name, count in zip(NAMES, counts, strict=True)]
    assert {"the topic", f"did not settle ({(flows.fixed_point < 0).sum()})"} <= {*words}
    _, curve, _ = figure.axes
    assert any("half succeed from 0.4" in text.get_text() for text in curve.texts)
    assert "flow to “detective stories”" in figure.get_suptitle()
    inside = figure.bbox.padded(1)
    assert all(inside.contains(box.x0, box.y0) for box in (t.get_window_extent() for t in legend.get_texts()))


def test_little_data_makes_a_picture(flows, tmp_path, figures):
    one = Flows(*(getattr(flows, name)[:1] for name in ("starts", "path", "fixed_point", "certified")))
    few = {
        "one start": one,
        "nothing settles": replace(flows, fixed_point=np.full(120, -1)),
        "one round": replace(flows, path=flows.path[:, :1]),
        "no members": replace(flows, path=np.zeros_like(flows.path)),
        "nothing moves": replace(flows, path=np.repeat(flows.path[:, -1:], 4, axis=1)),
    }
    for name, each in few.items():
        drawn(tmp_path / f"{name}.png", each, names=[])
        assert matplotlib.image.imread(tmp_path / f"{name}.png").shape[1] == 2040
    words = [[text.get_text() for text in figure.legends[0].get_texts()] for figure in figures]
    assert any("fixed point 1" in each for each in words[0]) and words[1][0] == "did not settle (120)"
