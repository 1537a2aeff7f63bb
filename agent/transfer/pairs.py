"""Paired activations of two models on the same text, and the similarity of their layers.

Tokens that end at the same character are paired.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from sklearn.decomposition import PCA

from agent.errors import BasinError
from agent.language_model.model import LanguageModel
from agent.progress import advance
from agent.transfer.linear_maps import standardised

CHUNK = 32
"""Texts that both models read at a time."""
UNREAD = 4
"""First tokens of a text that are not paired, since their activations mostly mark its beginning."""
KEPT = 0.99
"""Share of the variance that is compared; the rest counts as noise."""
MOST = 64
"""Directions compared at most: with nearly as many as tokens, any two layers correlate."""


@dataclass(frozen=True)
class Pairs:
    """Paired activations at the recorded layers of both models."""

    x: Float[np.ndarray, "token layer source"]
    y: Float[np.ndarray, "token other target"]
    text: Int[np.ndarray, "token"]
    """The number of the text that each pair is from."""


def read_pairs(first: LanguageModel, second: LanguageModel, texts: Sequence[str]) -> Pairs:
    """Both models' activations at every common token end; texts without one are left out.

    Raises `BasinError` where no text has one, and as `LanguageModel.token_states`.
    """
    xs, ys, numbers = [], [], []
    for start in range(0, len(texts), CHUNK):
        chunk = list(texts[start : start + CHUNK])
        of_first = {each.text: each for each in first.token_states(chunk)}
        for there in second.token_states(chunk):
            here = of_first[there.text]
            at_first, at_second = aligned(here.ends, there.ends)
            read = (at_first >= UNREAD) & (at_second >= UNREAD)
            xs.append(here.states[at_first[read]])
            ys.append(there.states[at_second[read]])
            numbers.append(np.full(int(read.sum()), start + there.text))
        advance("stitch", start + len(chunk), len(texts), "passages")
    if not sum(map(len, numbers)):
        raise BasinError(
            "The two tokenizers never end a token together on the general text; give other text."
        )
    return Pairs(np.concatenate(xs), np.concatenate(ys), np.concatenate(numbers))


def aligned(
    first: Int[np.ndarray, "token"], second: Int[np.ndarray, "other"]
) -> tuple[Int[np.ndarray, "pair"], Int[np.ndarray, "pair"]]:
    """Positions, in both, of every character at which a token of each ends.

    Where several tokens end at one character, the bytes of one letter, the last one counts.
    """
    both = np.intersect1d(first, second)
    return np.searchsorted(first, both, side="right") - 1, np.searchsorted(second, both, side="right") - 1


def layer_similarity(
    x: Float[np.ndarray, "token layer source"], y: Float[np.ndarray, "token other target"]
) -> Float[np.ndarray, "layer other"]:
    """Mean canonical correlation of the leading directions (SVCCA, Raghu et al. 2017).

    A layer's partner is the one with the highest. The fit of a map in one direction would favour
    early layers, which any layer predicts; correlation is symmetric.
    """
    xs, ys = ([_leading(each[:, at]) for at in range(each.shape[1])] for each in (x, y))
    correlations = [[np.linalg.svd(here.T @ there, compute_uv=False) for there in ys] for here in xs]
    return np.array([[np.clip(each, 0, 1).mean() for each in row] for row in correlations])


def _leading(activations: Float[np.ndarray, "token width"]) -> Float[np.ndarray, "token feature"]:
    """Scores on the leading directions, at unit scatter; one of zeros where nothing varies."""
    standard = standardised(activations)
    if not standard.any():
        return standard[:, :1]
    fitted = PCA(min(MOST, *standard.shape), whiten=True, svd_solver="covariance_eigh")
    scores = fitted.fit_transform(standard)
    count = int(np.searchsorted(np.cumsum(fitted.explained_variance_ratio_), KEPT)) + 1
    return np.asarray(scores[:, :count] / np.sqrt(len(scores) - 1))
