from __future__ import annotations

import numpy as np
import pytest
from planted_pairs import planted, rotation

from agent.errors import BasinError
from agent.transfer.gather import aligned
from agent.transfer.layers import layer_matrix, svcca
from agent.transfer.moments import Moments


def test_layers_find_their_partners() -> None:
    generator = np.random.default_rng(0)
    layers = [generator.normal(size=(900, 10)) for _ in range(3)]
    x = np.stack(layers, axis=1)
    y = np.stack([layers[at] @ rotation(10, at) for at in (2, 0, 1)], axis=1)
    matrix = layer_matrix(x, y, np.arange(900) % 3 == 0, (3, 5, 7), (1, 2, 4))
    assert [matrix.partner(layer) for layer in (3, 5, 7)] == [2, 4, 1]
    assert matrix.svcca.argmax(1).tolist() == [1, 2, 0]
    assert matrix.unexplained.min(1) == pytest.approx(0, abs=0.01)
    assert np.sort(matrix.unexplained, axis=1)[:, 1:].min() > 0.9
    with pytest.raises(BasinError, match="Layer 4 was not compared"):
        matrix.partner(4)


def test_layers_cannot_be_compared_on_seen_text() -> None:
    x = np.zeros((10, 1, 3))
    with pytest.raises(BasinError, match="unseen text"):
        layer_matrix(x, x, np.zeros(10, bool), (1,), (1,))


def test_svcca_sees_through_a_change_of_coordinates() -> None:
    x, y = planted(rotation(12), noise=0.0)
    assert svcca(Moments.of(x, y)) == pytest.approx(1, abs=0.05)
    other = np.random.default_rng(8).normal(size=y.shape).astype(np.float32)
    assert svcca(Moments.of(x, other)) < 0.1
    assert svcca(Moments.of(x, np.zeros_like(y))) == 0


def test_tokens_meet_where_both_end() -> None:
    #   first: "the|re| |fore"   second: "there| f|or|e|" and a second token for the last letter's bytes
    first, second = aligned(np.array([3, 5, 6, 10]), np.array([5, 7, 9, 10, 10]))
    assert first.tolist() == [1, 3]
    assert second.tolist() == [0, 4]
    assert all(len(each) == 0 for each in aligned(np.array([2, 4]), np.array([3, 5])))
