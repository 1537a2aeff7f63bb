from __future__ import annotations

import numpy as np
import pytest
from planted_pairs import planted, some_weights

from agent.errors import BasinError
from agent.transfer.moments import Moments, total


def _equal(first: Moments, second: Moments) -> bool:
    return all(
        np.allclose(getattr(first, name), getattr(second, name), rtol=1e-4, atol=1e-2)
        for name in ("count", "mean_x", "mean_y", "xx", "xy", "yy")
    )


def test_chunks_add_up_to_the_whole() -> None:
    x, y = planted(some_weights())
    chunks = [Moments.of(x[start : start + 700], y[start : start + 700]) for start in range(0, len(x), 700)]
    assert _equal(total(chunks), Moments.of(x, y))
    assert _equal(total(reversed(chunks)), Moments.of(x, y))


def test_a_coordinate_far_from_zero_keeps_its_variance() -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(6000, 2)) * [1.0, 1e-2] + [0.0, 1e3]
    chunks = [Moments.of(part, part) for part in np.split(x, 60)]
    assert np.sqrt(np.diag(total(chunks).xx) / len(x)) == pytest.approx([1.0, 1e-2], rel=0.05)


def test_swapping_exchanges_the_sides() -> None:
    x, y = planted(some_weights(), tokens=200)
    assert _equal(Moments.of(x, y).swapped, Moments.of(y, x))


def test_nothing_and_nonsense_are_refused_in_a_sentence() -> None:
    x, y = planted(some_weights(), tokens=10)
    with pytest.raises(BasinError, match="general text"):
        Moments.of(x[:0], y[:0])
    x[3, 1] = np.nan
    with pytest.raises(BasinError, match="not finite"):
        Moments.of(x, y)
