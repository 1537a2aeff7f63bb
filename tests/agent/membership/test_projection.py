"""Principal components of activations, in memory and from a file."""

from __future__ import annotations

import numpy as np
import pytest
from planted_activations import GOLD, LAYERS, WIDTH, activations_of
from scipy.linalg import subspace_angles
from sklearn.decomposition import PCA

from agent.errors import BasinError
from agent.membership import projection
from agent.membership.projection import Projection


@pytest.fixture
def activations() -> np.ndarray:
    return activations_of(GOLD, seed=2)


def test_the_components_are_those_of_principal_component_analysis(activations):
    flat = activations.reshape(len(activations), -1).astype(np.float64)
    standard = (flat - flat.mean(axis=0)) / flat.std(axis=0)
    projection = Projection.fit(activations, 5)
    known = PCA(5, svd_solver="full").fit(standard)
    # The noise is isotropic, so neighbouring components mix by chance; these are far apart.
    assert np.rad2deg(subspace_angles(projection.axes.T, known.components_.T)).max() < 0.1
    assert projection.axes @ projection.axes.T == pytest.approx(np.eye(5), abs=1e-9)
    features = projection.apply(activations)
    explained = features.var(axis=0) * projection.scale**2
    assert explained == pytest.approx(known.explained_variance_ * (1 - 1 / len(flat)), rel=1e-4)
    assert np.abs(np.corrcoef(features.T) - np.eye(5)).max() < 1e-6


def test_blocks_and_files_do_not_change_the_projection(activations, tmp_path, monkeypatch):
    whole = Projection.fit(activations, 6)
    np.save(tmp_path / "activations.npy", activations)
    mapped = np.load(tmp_path / "activations.npy", mmap_mode="r")
    assert np.array_equal(Projection.fit(mapped, 6).apply(mapped), whole.apply(activations))
    monkeypatch.setattr(projection, "BLOCK", 37)
    blocked = Projection.fit(mapped, 6)
    assert blocked.axes == pytest.approx(whole.axes, abs=1e-7)
    assert blocked.apply(mapped) == pytest.approx(whole.apply(activations), abs=1e-7)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_activations_that_are_not_finite_are_refused(activations, wrong):
    activations[3, 0, 1] = wrong
    with pytest.raises(BasinError, match="not finite; .*float32"):
        Projection.fit(activations, 4)


def test_a_linear_map_on_features_is_one_on_activations(activations):
    projection = Projection.fit(activations, 10)
    weights = np.random.default_rng(4).normal(size=10)
    across, bias = projection.pull_back(weights, (LAYERS, WIDTH))
    fresh = activations_of(GOLD, seed=22)
    assert np.einsum("tlw,lw->t", fresh, across) + bias == pytest.approx(projection.apply(fresh) @ weights)
    features = projection.apply(activations)
    assert features.mean(axis=0) == pytest.approx(0, abs=1e-9)
    assert features.std() == pytest.approx(1, rel=1e-4)


def test_one_passage_cannot_be_clustered():
    with pytest.raises(BasinError, match="One passage"):
        Projection.fit(np.zeros((1, LAYERS, WIDTH)), 4)
