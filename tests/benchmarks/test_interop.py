"""Agreement of two changes of logits."""

import numpy as np
import pytest

from benchmarks.interop import agreement


def test_agreement_is_1_for_the_same_change_of_any_size_and_offset():
    change = np.random.default_rng(0).normal(size=(3, 50))
    assert agreement(2 * change + 5, change) == pytest.approx(1)
    assert agreement(-change, change) == pytest.approx(-1)
    assert abs(agreement(np.random.default_rng(1).normal(size=(3, 50)), change)) < 0.4
