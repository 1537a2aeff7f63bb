"""The kinds of map by name, fitted on gathered moments, and the control maps.

Add a kind: a class in `linear_maps.py`, its name in `Method`, and a line in `fit`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from agent.transfer.gather import BACK, FORWARD, UNSEEN, Gathered
from agent.transfer.linear_maps import Affine, LinearMap, Procrustes

Method = Literal["affine", "procrustes"]
METHODS: tuple[Method, ...] = get_args(Method)


@dataclass(frozen=True)
class Fitted:
    """One map and its error on unseen text."""

    carrier: LinearMap
    unexplained: float
    """Unexplained variance; see `LinearMap.unexplained`."""


def fit(method: Method, gathered: Gathered, *, back: bool = False) -> Fitted:
    """The map from x to y, or with `back` from y to x; the two ways share no text.

    Raises `BasinError` as the method's own `fit`.
    """
    moments = [each.swapped if back else each for each in gathered.moments]
    model = Affine() if method == "affine" else Procrustes()
    found = model.fit([moments[part] for part in gathered.seen(BACK if back else FORWARD)])
    return Fitted(found, found.unexplained(moments[UNSEEN]))


def fit_shuffled(gathered: Gathered, draw: int = 0) -> Fitted:
    """An affine map fitted on the `draw`th shuffle of the pairs, tested on true pairs."""
    found = Affine().fit([gathered.shuffled[draw][part] for part in gathered.seen(FORWARD)])
    return Fitted(found, found.unexplained(gathered.moments[UNSEEN]))


def random_map(gathered: Gathered, seed: int) -> Fitted:
    """Independent normal weights, at the scale that preserves the variance of y."""
    unseen = gathered.moments[UNSEEN]
    weights = np.random.default_rng(seed).normal(size=unseen.xy.shape)
    standard = unseen.standardised
    scale = np.sqrt(np.trace(standard.yy) / np.einsum("st,su,ut->", weights, standard.xx, weights))
    found = LinearMap.between_standards(weights * scale, unseen)
    return Fitted(found, found.unexplained(unseen))
