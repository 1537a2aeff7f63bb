"""The concept: what belongs (membership), how to read it off new texts (readout), how to write it
(steering vector).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int

from agent.language_model.adapter import Adapter
from agent.steering.vector import SteeringVector

MEMBER = 0.5  # membership from which a passage counts as inside


@dataclass(frozen=True)
class Readout:
    """Linear maps from a text's activations, and from its sentence embedding, to log-odds of
    belonging: the part of a concept that scores new texts.
    """

    weights: Float[np.ndarray, "layer width"]
    bias: float
    threshold: float
    """Log-odds at which a single passage is as likely inside as outside."""
    embedding: Float[np.ndarray, "column"] | None = None
    """Weights of the sentence embedding; None where only activations are read."""
    embedding_bias: float = 0.0

    def evidence(self, activations: Float[np.ndarray, "text layer width"]) -> Float[np.ndarray, "text"]:
        """Log-odds from the activations alone, in nats."""
        weighed: np.ndarray = np.einsum("tlw,lw->t", activations.astype(np.float64), self.weights)
        return weighed + self.bias

    def log_odds(
        self,
        activations: Float[np.ndarray, "text layer width"],
        embeddings: Float[np.ndarray, "text column"] | None = None,
    ) -> Float[np.ndarray, "text"]:
        """Log-odds of single texts: mean evidence of both readers, or the activations', minus the threshold."""
        found = self.evidence(activations)
        if self.embedding is not None and embeddings is not None:
            found = (found + embeddings @ self.embedding + self.embedding_bias) / 2
        return found - self.threshold


@dataclass(frozen=True)
class Concept:
    """One round's concept. Immutable: a round makes a new one."""

    round: int
    membership: Float[np.ndarray, "passage"]
    """m_t(x) on the real passages, documents pooled, in [0, 1]."""
    single: Float[np.ndarray, "passage"]
    """Log-odds of each real passage read alone, by a classifier that was not fitted on its
    document."""
    pooled: Float[np.ndarray, "passage"]
    """Log-odds of each real passage together with its document's other passages."""
    evidence: Float[np.ndarray, "passage"] | None = field(default=None, kw_only=True)
    """What the readers say of each real passage without the pointer, held out; None in round 0."""
    size: float
    """Share of the corpus the concept claims."""
    readout: Readout | None = None
    """None in round 0, where the concept is the pointer itself."""
    vector: SteeringVector | None = None
    """Added to the residual stream at strength 1 to write from the concept."""
    nats_per_token: float = 0.0
    """KL divergence of the steered from the base model that the vector was calibrated to."""
    adapter: Adapter | None = field(default=None, kw_only=True)
    """Put into the model before it is steered; None in rounds that only steer."""

    @property
    def inside(self) -> Bool[np.ndarray, "passage"]:
        """Which of the real passages belong: those with a membership of at least 0.5."""
        return self.membership >= MEMBER

    @property
    def can_write(self) -> bool:
        """Whether there is anything to write with that the base model has not."""
        return self.vector is not None or self.adapter is not None

    def members(self) -> Int[np.ndarray, "member"]:
        """Indices of the real passages that belong, most typical first."""
        inside = np.flatnonzero(self.inside)
        return inside[np.argsort(-self.membership[inside], kind="stable")]
