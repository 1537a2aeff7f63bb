"""How much of the texts two memberships share, under a distribution over texts. Maths only.

Two readers have different features and metrics, so overlap cannot be measured in a feature space. It is measured on texts:
mu is a distribution over them, half real and half generated, and |A ∩ B| = E_mu[m_A m_B].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from agent.errors import BasinError
from agent.tracking import soft_jaccard


@dataclass(frozen=True)
class Overlap:
    """Of two memberships under mu; the masses are shares of mu."""

    shared: float
    """E_mu[m_A m_B]."""
    only_first: float
    """E_mu[m_A (1 - m_B)]."""
    only_second: float
    """E_mu[(1 - m_A) m_B]."""
    jaccard: float
    """Soft Jaccard under mu, sum mu min(m_A, m_B) / sum mu max(m_A, m_B)."""

    @property
    def size_first(self) -> float:
        return self.shared + self.only_first

    @property
    def size_second(self) -> float:
        return self.shared + self.only_second

    @property
    def first_contained(self) -> float:
        """Share of the first that the second has, too, in [0, 1]; of an empty one, 0. Graded memberships stay below 1."""
        return self.shared / self.size_first if self.size_first else 0.0

    @property
    def second_contained(self) -> float:
        """Share of the second that the first has, too; likewise."""
        return self.shared / self.size_second if self.size_second else 0.0


def mu(real: int, generated: int) -> Float[np.ndarray, "text"]:
    """Half the mass on the real texts, which come first, half on the generated ones; all on the real where there are no others.

    Raises `BasinError` where there is no text at all.
    """
    if real + generated == 0:
        raise BasinError("There are no texts that two clusters could share; give a corpus.")
    if not real or not generated:
        return np.full(real + generated, 1 / (real + generated))
    return np.concatenate([np.full(real, 0.5 / real), np.full(generated, 0.5 / generated)])


def overlap(
    first: Float[np.ndarray, "text"], second: Float[np.ndarray, "text"], weights: Float[np.ndarray, "text"]
) -> Overlap:
    """What two memberships share under `weights`, which sum to one, and what lies on each side."""
    return Overlap(
        shared=float(weights @ (first * second)),
        only_first=float(weights @ (first * (1 - second))),
        only_second=float(weights @ ((1 - first) * second)),
        jaccard=soft_jaccard(weights * first, weights * second),
    )
