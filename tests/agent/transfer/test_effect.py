import numpy as np
import pytest

from agent.transfer.effect import effect, on_members_scale

BASE = np.random.default_rng(0).normal(size=200)
NATIVE = BASE + 2 + 0.5 * np.random.default_rng(1).normal(size=200)


def test_ratios_are_of_the_native_effect():
    found = effect(NATIVE, BASE, NATIVE)
    assert (found.ratio, found.ratio_error) == (1, pytest.approx(0))
    assert found.mean == pytest.approx(2, abs=0.1)
    assert effect((NATIVE + BASE) / 2, BASE, NATIVE).ratio == pytest.approx(0.5)
    noise = effect(BASE + np.random.default_rng(3).normal(size=200), BASE, NATIVE)
    assert abs(noise.ratio) < 3 * noise.ratio_error
    assert noise.ratio_error == pytest.approx(1 / np.sqrt(200) / 2, rel=0.25)


def test_incomparable_effects_have_no_ratio():
    assert effect(NATIVE, BASE).ratio is None
    assert effect(NATIVE, BASE, BASE - 1).ratio is None
    assert np.isnan(effect(np.full(200, np.nan), BASE, NATIVE).mean)
    some = np.where(np.arange(200) < 100, np.nan, NATIVE)
    assert effect(some, BASE, NATIVE).ratio == 1


def test_the_scale_has_real_members_at_one():
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
    steered[0] = np.nan  # an unread passage leaves its draw to the others
    assert effect(steered, BASE, NATIVE, draws=draws).mean == pytest.approx((steered - BASE)[1:].mean())
