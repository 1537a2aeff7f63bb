"""Where to write names beside crowded points, so that none covers another or a point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

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
