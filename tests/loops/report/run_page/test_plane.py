"""The plane of the map: a planted direction, ellipses and boundaries."""

import numpy as np
import pytest

from agent.concept import Readout
from loops.report.run_page.plane import boundary, fit_plane, normal_ellipse


def planted(texts: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Activations in which one coordinate tells members, one is far larger, and one varies most once standardised alike."""
    generator = np.random.default_rng(0)
    inside = (generator.random(texts) < 0.3).astype(float)
    activations = generator.normal(size=(texts, 2, 6))
    shared = generator.normal(size=texts)
    activations[:, 0, 1:5] += 2 * shared[:, None]
    activations[:, 1, 0] += 4 * inside
    activations[:, 1, 5] *= 1000
    return activations.astype(np.float32), inside


def planted_readout() -> Readout:
    weights = np.zeros((2, 6))
    weights[1, 0] = 3.0
    return Readout(weights, 0.5, 2.0)


def test_the_first_axis_is_the_readout_and_the_second_varies_most_besides():
    activations, readout = planted()[0], planted_readout()
    first, second = fit_plane(activations, readout).place(activations).T
    assert np.allclose(first, readout.evidence(activations) - readout.threshold, atol=1e-4)
    # Not the longest coordinate.
    assert abs(np.corrcoef(second, activations[:, 0, 1:5].mean(axis=1))[0, 1]) > 0.95
    assert abs(np.corrcoef(second, activations[:, 1, 5])[0, 1]) < 0.2
    assert np.isclose(second.std(), 1, atol=1e-3) and np.isclose(second.mean(), 0, atol=1e-3)


def test_the_ellipse_is_that_of_the_weighted_texts():
    generator = np.random.default_rng(1)
    inside, outside = generator.normal([3, 1], [2, 0.5], (4000, 2)), generator.normal(-9, 1, (4000, 2))
    mean, factor = normal_ellipse(np.concatenate([inside, outside]), np.repeat([1.0, 0.0], 4000))
    assert np.allclose(mean, [3, 1], atol=0.1)
    assert np.allclose(factor @ factor.T, np.diag([4, 0.25]), atol=0.2)


@pytest.mark.parametrize("weights", [np.zeros(9), np.eye(9)[0]])
def test_too_few_texts_have_no_ellipse(weights):
    assert normal_ellipse(np.random.default_rng(0).normal(size=(9, 2)), weights) is None


def test_the_boundary_parts_members_from_others():
    generator = np.random.default_rng(2)
    points = generator.normal(size=(2000, 2)) * [5, 0.1]
    inside = (points[:, 0] + 20 * points[:, 1] > 1).astype(float)
    a, b, c = boundary(points, inside)
    assert b / a == pytest.approx(20, rel=0.1) and c / a == pytest.approx(-1, abs=0.2)


def test_equal_memberships_have_no_boundary():
    assert boundary(np.random.default_rng(0).normal(size=(9, 2)), np.full(9, 0.4)) is None
    assert boundary(np.ones((9, 2)), np.linspace(0, 1, 9)) is None
