"""Settings of re-clustering."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from agent.config import StageConfig


class FadingConfig(StageConfig):
    """Settings of annealed self-training and of basin maps."""

    rounds: int | None = Field(5, ge=1)
    """Rounds over which trust falls from 1 to 0; None: it stays at 1."""
    sharpness: float = Field(8.0, gt=0)
    """Nats of membership per standard deviation of the documents' scores. Soft boundaries flow to
    the largest contrast of the corpus, hard ones stop at the first of many fixed points."""
    embeddings: bool = True
    """Use a sentence embedder beside the language model's activations."""


class ClusteringConfig(StageConfig):
    """How memberships are redrawn."""

    method: Literal["ridge", "mixture", "self_training", "fading"] = "ridge"
    """Two witnesses with a linear or a mixture classifier; self-training, plain or annealed."""
    fading: FadingConfig = FadingConfig()
    feedback_weight: float = Field(0.6, ge=0)
    """Share of the evidence's weight (see trust.py) in the next targets. At 0 only the pointer is learnt; near 1 evidence
    confirms its own mistakes. It is 0 where most documents have one passage, whose noise looks like
    a subject."""
    size: Literal["bounds", "mass", "presence"] | Annotated[float, Field(gt=0, lt=1)] = "bounds"
    """Share of the corpus in the concept: between the pointer's mass and a bound by the
    activations; the mass; the share of documents with the topic; or a number. For seeded topics
    bounds means presence."""
    steps: int = Field(2, ge=1)
    """Fits in a round."""
    components: int = Field(150, ge=2)
    """Principal components of the activations."""
    penalty: float = Field(1.0, gt=0)
    """Ridge penalty in units of a feature's mean variance times the number of passages."""
    folds: int = Field(6, ge=2)
    divisions: int = Field(4, ge=1)
    """Ways of dividing the documents into folds; scores are averaged over them."""
    shuffles: int = Field(49, ge=9)
    """Shuffled pointers that the true one is compared with."""
    min_z_score: float = Field(2.0, gt=0)
    """Least deviations above the mean of shuffled pointers; 2 passes two shuffles in a hundred."""
    max_document_spread: float = Field(0.75, gt=0, le=1)
    """Largest share of the documents that a pointer may cover. Function words cover more than nine
    tenths, topics less than two thirds."""
    generated_share: float = Field(0.1, ge=0, le=0.5)
    """Largest share of the training weight for all generated texts together."""
    mixture_components: int = Field(16, ge=2)

    @property
    def use_embeddings(self) -> bool:
        """Whether texts are also embedded."""
        return self.method == "fading" and self.fading.embeddings

    def of_pointer(self, seeded: bool) -> ClusteringConfig:
        """The same settings, with the way to a size that suits the pointer."""
        return self.model_copy(update={"size": "presence"}) if seeded and self.size == "bounds" else self
