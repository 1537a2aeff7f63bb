from __future__ import annotations

import numpy as np
import pytest

from agent.transfer.effect import effect, on_members_scale

BASE = np.random.default_rng(0).normal(size=200)
NATIVE = BASE + 2 + 0.5 * np.random.default_rng(1).normal(size=200)


def test_the_native_vector_has_a_ratio_of_one() -> None:
    found = effect(NATIVE, BASE, NATIVE)
    assert found.ratio == 1
    assert found.ratio_error == pytest.approx(0)
    assert found.mean == pytest.approx(2, abs=0.1)
    assert found.helped > 0.95


def test_half_the_effect_is_half_and_none_is_nothing() -> None:
    half = effect((NATIVE + BASE) / 2, BASE, NATIVE)
    assert half.ratio == pytest.approx(0.5)
    noise = effect(BASE + np.random.default_rng(3).normal(size=200), BASE, NATIVE)
    assert abs(noise.ratio) < 3 * noise.ratio_error
    assert noise.ratio_error == pytest.approx(1 / np.sqrt(200) / 2, rel=0.25)


def test_what_cannot_be_compared_is_said_to_be_so() -> None:
    assert effect(NATIVE, BASE).ratio is None
    assert effect(NATIVE, BASE, BASE - 1).ratio is None
    unread = np.full(200, np.nan)
    assert np.isnan(effect(unread, BASE, NATIVE).mean)
    some = np.where(np.arange(200) < 100, np.nan, NATIVE)
    assert effect(some, BASE, NATIVE).ratio == 1


def test_the_scale_has_real_members_at_one() -> None:
    assert on_members_scale(np.array([2.0, 4.0, 6.0]), 4.0, 2.0).tolist() == [0, 1, 2]
    assert np.isnan(on_members_scale(np.array([2.0]), 1.0, 2.0)).all()


def test_passages_of_one_draw_are_one_piece_of_evidence():
    generator, draws = np.random.default_rng(5), 8
    of_draw = generator.normal(size=draws)
    steered = BASE + of_draw[np.arange(len(BASE)) % draws]
    alone, drawn = effect(steered, BASE, NATIVE), effect(steered, BASE, NATIVE, draws=draws)
    assert drawn.mean == alone.mean and drawn.ratio == pytest.approx(alone.ratio)
    assert drawn.error == pytest.approx(of_draw.std(ddof=1) / np.sqrt(draws), rel=0.05)
    assert drawn.error > 3 * alone.error and drawn.ratio_error > 2 * alone.ratio_error


def test_a_passage_that_was_not_read_leaves_its_draw_to_the_others():
    steered = BASE + np.arange(len(BASE)) % 2
    steered[0] = np.nan
    assert effect(steered, BASE, NATIVE, draws=2).mean == pytest.approx((steered - BASE)[1:].mean())
