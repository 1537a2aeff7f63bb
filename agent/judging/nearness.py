"""How near what was written lies to real passages, as two samples of sentence embeddings; no classifier.

A distance between samples means something only beside what real passages score against real passages of the
same number: `null_values` gives that.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.preprocessing import normalize

from agent.errors import BasinError

Distance = Callable[[Float[np.ndarray, "text dimension"], Float[np.ndarray, "passage dimension"]], float]

SCALING = 5.0  # MAUVE's c
MIXTURES = 101  # points of the divergence curve; the paper has 25, and more costs nothing
EXPLAINED_VARIANCE = 0.9  # kept before k-means, as in the paper's code
TEXTS_PER_BUCKET = 10  # the same


def energy_distance(
    generated: Float[np.ndarray, "text dimension"],
    real: Float[np.ndarray, "passage dimension"],
    same: Bool[np.ndarray, "text passage"] | None = None,
) -> float:
    """2 E|X - Y| - E|X - X'| - E|Y - Y'|, unbiased: no text is paired with itself (Székely and Rizzo 2013).

    Euclidean, in the embeddings' unit. 0 in the mean where both samples are of one distribution, so it may fall
    below; sizes may differ. Raises `BasinError` where a sample has fewer than two texts.

    Args:
        same: where a text of one sample is a passage of the other as well, as of two samples chosen from one pool.
    """
    _check(generated, real)
    distances = cdist(generated, real)
    between = distances.mean() if same is None or same.all() else distances[~same].mean()
    return float(2 * between - _within(generated) - _within(real))


def permutation_p_value(
    generated: Float[np.ndarray, "text dimension"],
    real: Float[np.ndarray, "passage dimension"],
    seed: int,
    repeats: int = 499,
) -> float:
    """Share of random divisions of all texts whose energy distance is no smaller than the real division's.

    The division itself is counted, so it is at least 1 / (repeats + 1). It takes texts for independent, which
    passages of one document are not: a real sample of other documents may come out small too.
    """
    _check(generated, real)
    both = np.concatenate([generated, real])
    distances, rng = cdist(both, both), np.random.default_rng(seed)
    sides = np.zeros((repeats + 1, len(both)))
    sides[0, : len(generated)] = 1
    for row in sides[1:]:
        row[rng.permutation(len(both))[: len(generated)]] = 1
    n, m = len(generated), len(real)
    sums = sides @ distances
    inside, across = (sums * sides).sum(1), (sums * (1 - sides)).sum(1)
    outside = distances.sum() - inside - 2 * across
    values = 2 * across / (n * m) - inside / (n * (n - 1)) - outside / (m * (m - 1))
    # A division that differs from the real one by rounding alone is as far apart.
    return float((values >= values[0] - 1e-12 * abs(values).max()).mean())


def mauve(
    generated: Float[np.ndarray, "text dimension"],
    real: Float[np.ndarray, "passage dimension"],
    seed: int,
    buckets: int | None = None,
) -> float:
    """MAUVE (Pillutla et al. 2102.01454) over sentence embeddings: 1 for one distribution, near 0 for disjoint ones.

    Not the published number: its features are GPT-2's, ours sentence embeddings. As in the authors' code, unit
    vectors are projected on the components that hold 90 % of the variance and quantised by k-means, with a bucket
    to every ten texts of the smaller sample. It falls with fewer texts: compare at equal sizes, beside
    `null_values`. Raises `BasinError` where a sample has fewer than two texts.
    """
    _check(generated, real)
    buckets = buckets or max(2, round(min(len(generated), len(real)) / TEXTS_PER_BUCKET))
    both = normalize(np.concatenate([generated, real]).astype(np.float64))
    if len(np.unique(both, axis=0)) == 1:
        return 1.0  # nothing to tell them apart by
    projected = PCA(EXPLAINED_VARIANCE, svd_solver="full").fit_transform(both)
    clusters = min(buckets, len(np.unique(projected, axis=0)))
    bucket = KMeans(clusters, n_init=5, random_state=seed % 2**32).fit_predict(projected)
    counts = [np.bincount(part, minlength=clusters) for part in np.split(bucket, [len(generated)])]
    return divergence_area(*(count / count.sum() for count in counts))


def divergence_area(q: Float[np.ndarray, "bucket"], p: Float[np.ndarray, "bucket"]) -> float:
    """Area under the divergence curve {(exp(-c KL(q|r)), exp(-c KL(p|r)))}, r = w p + (1 - w) q, 0 < w < 1.

    c is 5. 1 where q and p are equal; 5 B(6, 5) = 0.004 where they share no bucket.
    """
    weights = np.linspace(1e-6, 1 - 1e-6, MIXTURES)[:, None]
    mixtures = weights * p + (1 - weights) * q
    x, y = (np.exp(-SCALING * _divergence(each, mixtures)) for each in (q, p))
    # Along the weights x falls from 1 and y rises to 1; the extreme points close the curve at the axes.
    x, y = np.concatenate([[1.0], x, [0.0]]), np.concatenate([[0.0], y, [1.0]])
    return float(-np.trapezoid(y, x))


def null_values(
    distance: Distance,
    real: Float[np.ndarray, "passage dimension"],
    size: int,
    seed: int,
    document_of: Int[np.ndarray, "passage"] | None = None,
    repeats: int = 50,
) -> Float[np.ndarray, "repeat"]:
    """What `size` real passages score against the other real ones: the floor, by its mean or a quantile.

    Args:
        distance: `energy_distance`, or `mauve` with its seed filled in.
        document_of: where given, whole documents are drawn, and the rest is of other documents. The floor is
            then higher and the fairer one: what is generated is of no document of the corpus either.

    Raises:
        BasinError: a draw leaves fewer than two passages on a side.
    """
    rng = np.random.default_rng(seed)
    documents = (
        np.arange(len(real)) if document_of is None else np.unique(document_of, return_inverse=True)[1]
    )
    values = []
    for _ in range(repeats):
        rank = rng.permutation(int(documents.max(initial=0)) + 1)[documents]
        drawn = np.lexsort((rng.random(len(real)), rank))[:size]
        rest = ~np.isin(documents, documents[drawn])
        if len(drawn) < 2 or rest.sum() < 2:
            raise BasinError(
                f"A draw of {size} from {len(real)} real passages leaves too few to compare it with: "
                "lower the size or give more passages or documents."
            )
        values.append(distance(real[drawn], real[rest]))
    return np.array(values)


def _check(*samples: Float[np.ndarray, "_text dimension"]) -> None:
    if min(map(len, samples)) < 2:
        raise BasinError("A distance between samples needs two texts in each: generate or give more.")


def _within(sample: Float[np.ndarray, "text dimension"]) -> float:
    return float(cdist(sample, sample).sum()) / (len(sample) * (len(sample) - 1))


def _divergence(
    p: Float[np.ndarray, "bucket"], mixtures: Float[np.ndarray, "mixture bucket"]
) -> Float[np.ndarray, "mixture"]:
    """KL(p | r) in nats of every mixture r; empty buckets of p count nothing."""
    held = p > 0
    return (p[held] * np.log(p[held] / mixtures[:, held])).sum(1)
