"""Labels beside points: none on another, none on a point, none out of sight."""

from __future__ import annotations

import numpy as np
import pytest

from agent.judging.figures.labels import Box, place_labels

BOUNDS = Box(0.0, 0.0, 900.0, 600.0)
MARKER = 10.0


def boxes(points, sizes):
    centres = place_labels(points, sizes, MARKER, BOUNDS)
    return [Box.around(centre, size) for centre, size in zip(centres, sizes, strict=True)]


@pytest.mark.parametrize("spread", [250.0, 40.0, 3.0, 0.0])
def test_nothing_is_covered_however_crowded(spread):
    generator = np.random.default_rng(0)
    points = np.clip(generator.normal((450, 300), spread, size=(28, 2)), 5, 595)
    sizes = np.stack([generator.uniform(40, 210, 28), np.full(28, 14.0)], axis=1)
    found = boxes(points, sizes)
    markers = [Box.around(point, np.full(2, MARKER)) for point in points]
    for number, box in enumerate(found):
        assert not box.outside(BOUNDS)
        assert all(box.overlap(other) == 0 for other in [*found[:number], *markers])


def test_a_lone_label_stands_right_of_its_point():
    (box,) = boxes(np.array([[100.0, 100.0]]), np.array([[80.0, 12.0]]))
    assert box.left == pytest.approx(105) and (box.bottom + box.top) / 2 == pytest.approx(100)


def test_at_the_edge_it_stands_on_the_other_side():
    (box,) = boxes(np.array([[895.0, 300.0]]), np.array([[80.0, 12.0]]))
    assert box.right < 895 - MARKER / 2 + 1e-6 and not box.outside(BOUNDS)


def test_the_same_points_give_the_same_places():
    points = np.random.default_rng(1).uniform(200, 260, size=(12, 2))
    sizes = np.full((12, 2), (90.0, 13.0))
    first, second = (place_labels(points, sizes, MARKER, BOUNDS) for _ in range(2))
    assert np.array_equal(first, second)


def test_where_there_is_no_room_a_label_still_has_a_place():
    tiny = Box(0.0, 0.0, 60.0, 20.0)
    points, sizes = np.full((5, 2), (30.0, 10.0)), np.full((5, 2), (40.0, 12.0))
    assert np.isfinite(place_labels(points, sizes, MARKER, tiny)).all()
