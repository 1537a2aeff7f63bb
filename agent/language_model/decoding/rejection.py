"""Rejection sampling by the concept (von Neumann 1951): exact samples of p(x) m(x) / Z.

The reference for other generators. It is slow where Z, the accepted share, is small.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from agent.types import seed_for


@dataclass(frozen=True)
class Proposal:
    """A passage that the base model wrote."""

    prompt: str
    text: str
    """The continuation, without the prompt."""
    seed: int
    membership: float
    """Of prompt and continuation, in [0, 1]."""

    @property
    def accepted(self) -> bool:
        """True with probability `membership`; decided by the passage's own seed."""
        return bool(np.random.default_rng(seed_for(self.seed, 0, "accept")).random() < self.membership)


@dataclass(frozen=True)
class Kept:
    """Accepted passages, in the order of generation."""

    passages: tuple[Proposal, ...]
    proposed: int
    """Passages read until enough were accepted, or none were left."""

    @property
    def share(self) -> float:
        """Estimate of Z."""
        return len(self.passages) / self.proposed if self.proposed else 0.0


def keep(proposals: Iterable[Proposal], wanted: int) -> Kept:
    """Read proposals until `wanted` are accepted."""
    passages: list[Proposal] = []
    proposed = 0
    for proposal in proposals:
        proposed += 1
        if proposal.accepted:
            passages.append(proposal)
            if len(passages) == wanted:
                break
    return Kept(tuple(passages), proposed)
