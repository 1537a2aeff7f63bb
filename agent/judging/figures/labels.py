"""Where to write names beside crowded points, so that none covers another or a point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.text import Text
from scipy.optimize import isotonic_regression

from agent.judging.figures.run import GREY

DIRECTIONS = 24
STEP = 6.0
"""Pixels by which a label is tried farther and farther from its point."""
STEPS = 60


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels."""

    left: float
    bottom: float
    right: float
    top: float

    @classmethod
    def around(cls, centre: Float[np.ndarray, "axis"], size: Float[np.ndarray, "axis"]) -> Box:
        left, bottom = centre - size / 2
        right, top = centre + size / 2
        return cls(float(left), float(bottom), float(right), float(top))

    def overlap(self, other: Box) -> float:
        """Square pixels that both cover."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(0.0, width) * max(0.0, height)

    def outside(self, other: Box) -> bool:
        """Whether some of this one lies beyond `other`."""
        return (
            self.left < other.left
            or self.bottom < other.bottom
            or self.right > other.right
            or self.top > other.top
        )


def place_labels(
    points: Float[np.ndarray, "point axis"],
    sizes: Float[np.ndarray, "point axis"],
    marker: float,
    bounds: Box,
) -> Float[np.ndarray, "point axis"]:
    """Centres of labels: the nearest free place of each, in the thickest crowd first; the same points give the same places.

    Where there is no free place, the label goes where it covers least.

    Args:
        points: in pixels.
        sizes: width and height of every label, in pixels.
        marker: side of a point's marker, in pixels.
        bounds: no label leaves them while there is room inside.
    """
    markers = [Box.around(point, np.full(2, marker)) for point in points]
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    crowded = np.argsort(-(distances < 150).sum(axis=1), kind="stable")
    placed: dict[int, Box] = {}
    centres = np.zeros_like(points, dtype=float)
    for row in crowded:
        taken = [*markers, *placed.values()]
        centres[row] = _place(points[row], sizes[row], marker, taken, bounds)
        placed[int(row)] = Box.around(centres[row], sizes[row])
    return centres


def _place(
    point: Float[np.ndarray, "axis"],
    size: Float[np.ndarray, "axis"],
    marker: float,
    taken: list[Box],
    bounds: Box,
) -> Float[np.ndarray, "axis"]:
    """The free place nearest to a point; right of it first, as names are read from there."""
    best, least = point + size, np.inf
    for step in range(STEPS):
        for direction in range(DIRECTIONS):
            angle = 2 * np.pi * direction / DIRECTIONS
            heading = np.array([np.cos(angle), np.sin(angle)])
            # A label's near edge, and not its middle, is so far from the marker.
            centre = point + heading * (marker / 2 + STEP * step) + heading * size / 2
            box = Box.around(centre, size)
            if box.outside(bounds):
                continue
            covered = sum(box.overlap(other) for other in taken)
            if covered == 0:
                return centre
            if covered < least:
                best, least = centre, covered
    return best


CELL = 4
"""Side of a square that a line covers, in points."""


@dataclass(frozen=True)
class Label:
    """A name to write beside a point."""

    text: str
    at: tuple[float, float]
    colour: str


def name_points(axes: Axes, labels: Sequence[Label], lines: Float[np.ndarray, "start round axis"]) -> None:
    """Each name where it covers few lines and no other name, and not far from its point; joined to it by a thin line."""
    labels = [label for label in labels if np.isfinite(label.at).all()]
    pixel = axes.figure.dpi / 72
    bounds = np.array(axes.get_window_extent().extents)
    cells = _cells_covered(axes, lines, CELL * pixel)
    points = axes.transData.transform([label.at for label in labels]) if labels else np.zeros((0, 2))
    taken = [(point - 9 * pixel, point + 9 * pixel) for point in points]
    for label, point in zip(labels, points, strict=True):
        style = {"fontsize": 11, "fontweight": "bold", "ha": "center", "va": "center", "zorder": 8}
        style |= {"path_effects": [withStroke(linewidth=3.5, foreground="white")], "parse_math": False}
        text = axes.text(*label.at, label.text, color=readable(label.colour), **style)
        box = text.get_window_extent()
        half = np.array([box.width, box.height]) / 2 + 2 * pixel
        place = _quiet_place(point, half, taken, cells, bounds, pixel)
        taken.append((place - half, place + half))
        text.set_position(axes.transData.inverted().transform(place))
        near = np.clip(point, place - half, place + half)
        if np.linalg.norm(near - point) > 22 * pixel:
            ends = axes.transData.inverted().transform([point, near])
            axes.plot(*ends.T, color=readable(label.colour), linewidth=0.8, zorder=4)


def _cells_covered(
    axes: Axes, lines: Float[np.ndarray, "start round axis"], side: float
) -> Float[np.ndarray, "cell axis"]:
    """Middles of the squares, in pixels, that some line passes through."""
    ahead = np.linspace(0, 1, 12, endpoint=False)[:, None, None, None]
    dense = lines[None, :, :-1] * (1 - ahead) + lines[None, :, 1:] * ahead
    dense = np.concatenate([dense.reshape(-1, 2), lines[:, -1]])
    pixels = axes.transData.transform(dense[np.isfinite(dense).all(axis=1)])
    return (np.unique(np.floor(pixels / side), axis=0) + 0.5) * side


def _quiet_place(
    point: Float[np.ndarray, "axis"],
    half: Float[np.ndarray, "axis"],
    taken: Sequence[tuple[Float[np.ndarray, "axis"], Float[np.ndarray, "axis"]]],
    cells: Float[np.ndarray, "cell axis"],
    bounds: Float[np.ndarray, "side"],
    pixel: float,
) -> Float[np.ndarray, "axis"]:
    """The middle of a label of this half width and height; least covered first, then nearest."""
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    heading = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    away = (np.arange(10, 100, 6) * pixel)[:, None, None]
    places = (point + heading * (away + half)).reshape(-1, 2)
    cost = np.repeat(away.ravel() / (60 * pixel), len(angles))
    cost += 100 * ((places - half < bounds[:2]) | (places + half > bounds[2:])).any(axis=1)
    for low, high in taken:
        cost += 10 * ((places - half < high) & (places + half > low)).all(axis=1)
    for number, place in enumerate(places):
        share = (np.abs(cells - place) < half).all(axis=1).sum() * (CELL * pixel) ** 2 / (4 * half.prod())
        cost[number] += 4 * share
    return places[cost.argmin()]


def move_apart(axes: Axes, texts: Sequence[Text], heights: Sequence[float]) -> list[float]:
    """Set texts in the right margin at heights in data units, as far as the others leave room; in shares of the axes."""
    if not texts:
        return []
    data = [(1, height) for height in heights]
    ends = axes.transAxes.inverted().transform(axes.transData.transform(data))[:, 1]
    tallest = max(text.get_window_extent().height for text in texts)
    places = spread(ends, 1.12 * tallest / axes.get_window_extent().height).tolist()
    for text, place in zip(texts, places, strict=True):
        text.set_y(place)
    return places


def spread(heights: Float[np.ndarray, "label"], gap: float) -> Float[np.ndarray, "label"]:
    """Heights in [0, 1] at least so far apart, in the same order and near to where they were."""
    order = np.argsort(heights, kind="stable")
    steps = gap * np.arange(len(heights))
    # The nearest rising sequence to the heights less their steps is found by pooling those that cross.
    flat = isotonic_regression(heights[order] - steps).x if len(heights) else heights
    placed = np.empty(len(heights))
    placed[order] = np.clip(flat, 0, max(0.0, 1 - steps[-1])) + steps if len(heights) else flat
    return placed


def readable(colour: str) -> str:
    """Letters need more contrast than lines."""
    return "0.45" if colour == GREY else colour
