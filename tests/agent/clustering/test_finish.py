"""The linear readout of fitted classifiers, and the training weights of generated texts."""

from __future__ import annotations

import numpy as np
import pytest
from planted_activations import DOCUMENT_OF, GOLD, activations_of

from agent.clustering.config import ClusteringConfig
from agent.clustering.finish import linear_reading
from agent.clustering.texts import View, cross_fitted, training_weights


def test_the_readout_is_the_average_model_with_the_mean_and_spread_of_the_held_out_scores() -> None:
    activations, fresh = activations_of(GOLD, seed=2), activations_of(GOLD, seed=21)
    view = View.of(activations, 16)
    ridge = cross_fitted(view.features, DOCUMENT_OF, ClusteringConfig(folds=5, divisions=2), 3)
    targets = GOLD.astype(float)
    held_out = 3 * ridge.evidence(targets) - 1
    shape = activations.shape[1:]
    weights, bias = linear_reading(ridge, targets, held_out, projection=view.projection, shape=shape)
    read = np.einsum("tlw,lw->t", activations, weights) + bias
    assert (read.mean(), read.std()) == pytest.approx((held_out.mean(), held_out.std()))
    average, shift = ridge.average(targets)
    expected, on_fresh = (view.projection.apply(each) @ average + shift for each in (activations, fresh))
    scale = held_out.std() / expected.std()
    read = np.einsum("tlw,lw->t", fresh, weights) + bias
    assert read == pytest.approx(scale * (on_fresh - expected.mean()) + held_out.mean())


@pytest.mark.parametrize("count", [1, 10, 100, 10_000])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_generated_texts_never_outweigh(count, share):
    weights = training_weights(240, count, share)
    assert np.array_equal(weights[:240], np.ones(240))
    assert weights[240:].sum() <= share * weights.sum() * (1 + 1e-12)
    assert weights.max() == 1
