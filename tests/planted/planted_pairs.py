"""Pairs of activations whose map is known."""

import numpy as np

from agent.transfer.gather import Gathered
from agent.transfer.moments import Moments

WIDTHS = 12, 9


def planted(
    weights: np.ndarray, noise: float = 0.1, tokens: int = 4000, seed: int = 0, offset: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """x of a lively covariance, and y = x W + 3 + noise."""
    generator = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(len(weights), len(weights)))
    x = generator.normal(size=(tokens, len(weights))) @ mixing + offset
    y = x @ weights + 3 + noise * generator.normal(size=(tokens, weights.shape[1]))
    return x.astype(np.float32), y.astype(np.float32)


def gathered(x: np.ndarray, y: np.ndarray, parts: int = 7, seed: int = 0) -> Gathered:
    """The pairs dealt to parts in turn."""
    part = np.arange(len(x)) % parts
    generator = np.random.default_rng(seed)
    moments, shuffled = [], {}
    for number in range(parts):
        rows = np.flatnonzero(part == number)
        moments.append(Moments.of(x[rows], y[rows]))
        shuffled[number] = Moments.of(x[rows], y[generator.permutation(rows)])
    return Gathered(moments, [shuffled])


def some_weights(seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=WIDTHS)


def rotation(width: int, seed: int = 2) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(width, width)))[0]


def cosine(first: np.ndarray, second: np.ndarray) -> float:
    return float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))
