"""What every rival of the refiner is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from agent.evidence import Projection

COMPONENTS = 150


@dataclass(frozen=True)
class SeenTexts:
    """What every method is given."""

    activations: Float[np.ndarray, "passage layer width"]
    pointer_log_odds: Float[np.ndarray, "passage"]
    document_of: Int[np.ndarray, "passage"]
    claims: Float[np.ndarray, "passage"]
    """The pointer's own membership, documents pooled, of the size that the pointer has by itself."""

    @cached_property
    def projection(self) -> Projection:
        return Projection.fit(self.activations, COMPONENTS)

    @cached_property
    def features(self) -> Float[np.ndarray, "passage feature"]:
        return self.projection.apply(self.activations)

    @property
    def size(self) -> float:
        return float(self.claims.mean())


Reader = Callable[
    [Float[np.ndarray, "text layer width"], Float[np.ndarray, "text"]], Float[np.ndarray, "text"]
]
"""Activations and pointer log-odds of unseen texts to log-odds of belonging, each text alone."""
Rival = Callable[[SeenTexts, int], Reader]
