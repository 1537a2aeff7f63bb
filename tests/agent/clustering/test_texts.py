"""Training weights of generated texts."""

from __future__ import annotations

import numpy as np
import pytest

from agent.clustering.texts import training_weights


@pytest.mark.parametrize("count", [1, 10, 100, 10_000])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_generated_texts_never_outweigh(count, share):
    weights = training_weights(240, count, share)
    assert np.array_equal(weights[:240], np.ones(240))
    assert weights[240:].sum() <= share * weights.sum() * (1 + 1e-12)
    assert weights.max() == 1
