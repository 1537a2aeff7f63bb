"""Sweeps of starts whose attractors, threshold and contraction rate are known."""

import numpy as np

from agent.judging.basin_quality import Flows

DOCUMENTS, POSITIVE, ROUNDS = 240, 70, 20
RATE = 0.6
EDGE = 0.4


def planted_gold():
    """The first documents are positive."""
    return np.arange(DOCUMENTS) < POSITIVE


def attractors(rng):
    """The concept with some mistakes, another concept, a union of both, and something small and odd."""
    gold, place = planted_gold(), np.arange(DOCUMENTS)
    other, odd = (place >= 100) & (place < 170), (place >= 50) & (place < 110)
    found = []
    for members in (gold, other, gold | other, odd):
        mistaken = rng.random(DOCUMENTS) < 0.06
        level = np.where(members ^ mistaken, 0.93, 0.05)
        found.append(np.clip(level + 0.04 * rng.normal(size=DOCUMENTS), 0, 1))
    return np.array(found)


def planted_flows(starts=300, blur=0.03, seed=0):
    """Starts of more or less noise; those more precise than the edge, within a blur, flow to attractor 0 at a known rate."""
    rng = np.random.default_rng(seed)
    gold, ends = planted_gold(), attractors(rng)
    level = np.r_[0.1, rng.random(starts - 1)]
    noise = rng.normal(size=(starts, DOCUMENTS)) * (0.3 + 6 * level[:, None] ** 2)
    scores = 1.6 * gold - 0.8 + noise
    share = np.array([gold[np.argsort(-row)[: gold.sum()]].mean() for row in scores])
    good = share + blur * rng.normal(size=starts) > EDGE
    others = rng.choice([1, 2, 3, 4, 5, -1], p=[0.45, 0.2, 0.12, 0.06, 0.04, 0.13], size=starts)
    reached = np.where(good, 0, others)
    odd = [np.clip(ends[3] + 0.5 * rng.random(DOCUMENTS) - 0.3, 0, 1) for _ in range(2)]
    targets = np.array([*ends, *odd, np.zeros(DOCUMENTS)])[reached]
    above = scores - np.quantile(scores, 0.7, axis=1, keepdims=True)
    membership = 1 / (1 + np.exp(-2 * above / scores.std(axis=1, keepdims=True)))
    path = [membership]
    for _ in range(ROUNDS):
        step = targets + RATE * (path[-1] - targets)
        wander = np.clip(path[-1] + 0.15 * rng.normal(size=membership.shape), 0, 1)
        path.append(np.where(reached[:, None] < 0, wander, step))
    certified = np.where(reached == 0, rng.random(starts) < 0.9, rng.random(starts) < 0.1)
    return Flows(scores, np.stack(path, axis=1), reached, certified)
