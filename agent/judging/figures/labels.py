"""Text labels that cover neither each other nor the points of a figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from adjustText import adjust_text
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.text import Text
from scipy.optimize import isotonic_regression

# Okabe and Ito's palette, distinguishable with every kind of colour vision; markers differ as well.
BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"
VERMILION, PURPLE, GREY = "#D55E00", "#CC79A7", "#B8B8B8"


@dataclass(frozen=True)
class Label:
    """A name to write beside a point."""

    text: str
    at: tuple[float, float]
    colour: str


def name_points(
    axes: Axes, labels: Sequence[Label], avoid: Float[np.ndarray, "point axis"], size: float = 11
) -> None:
    """Write each name near its point, away from other names and from the points to `avoid`.

    A thin line joins a name to a point that is not next to it. Call it when the layout is final.
    """
    labels = [label for label in labels if np.isfinite(label.at).all()]
    if not labels:
        return
    style = {"fontsize": size, "fontweight": "bold", "ha": "center", "va": "center", "zorder": 8}
    outline = [withStroke(linewidth=3.5, foreground="white")]
    texts = [
        axes.text(*label.at, label.text, color=readable(label.colour), path_effects=outline, **style)
        for label in labels
    ]
    for text in texts:
        text.set_parse_math(False)
    points = np.concatenate([avoid[np.isfinite(avoid).all(axis=1)], [label.at for label in labels]])
    generator = np.random.get_state()
    np.random.seed(0)  # adjustText moves coinciding labels at random
    adjust_text(
        texts,
        *points.T,
        ax=axes,
        target_x=[label.at[0] for label in labels],
        target_y=[label.at[1] for label in labels],
        expand=(1.1, 1.4),
        iter_lim=500,
        arrowprops={"arrowstyle": "-", "color": "0.5", "linewidth": 0.8},
    )
    np.random.set_state(generator)


def move_apart(axes: Axes, texts: Sequence[Text], heights: Sequence[float]) -> list[float]:
    """Move margin texts to these heights in data units, but apart; returns shares of the axes."""
    if not texts:
        return []
    ends = axes.transAxes.inverted().transform(axes.transData.transform([(1, each) for each in heights]))
    tallest = max(text.get_window_extent().height for text in texts)
    places: list[float] = spread(ends[:, 1], 1.12 * tallest / axes.get_window_extent().height).tolist()
    for text, place in zip(texts, places, strict=True):
        text.set_y(place)
    return places


def spread(heights: Float[np.ndarray, "label"], gap: float) -> Float[np.ndarray, "label"]:
    """The nearest heights in [0, 1] in the same order that are `gap` apart."""
    if not len(heights):
        return heights
    order, steps = np.argsort(heights, kind="stable"), gap * np.arange(len(heights))
    # Heights less their steps must not fall: isotonic regression finds the nearest such sequence.
    flat = isotonic_regression(heights[order] - steps).x
    placed = np.empty(len(heights))
    placed[order] = np.clip(flat, 0, max(0.0, 1 - steps[-1])) + steps
    return placed


def readable(colour: str) -> str:
    """A darker colour for letters where lines are light grey."""
    return "0.45" if colour == GREY else colour
