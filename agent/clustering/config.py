"""Settings of re-clustering."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from agent.types import StageConfig


class SelfTrainingConfig(StageConfig):
    """How the first refiner, `agent/clustering/self_training.py`, weighs things; read by that method alone."""

    trust: float = Field(1.0, ge=0)
    """Weight of the pointer's log-odds in the posterior; 1 counts it as one independent witness."""
    steps: int = Field(3, ge=1)
    damping: float = Field(0.5, ge=0, lt=1)
    """Share of the old membership kept in a step."""


class FadingConfig(StageConfig):
    """How trust in the pointer fades, see `agent/clustering/annealing.py`; read by that method, and by a basin map."""

    rounds: int | None = Field(5, ge=1)
    """Rounds over which trust falls from 1 to 0; None holds it at 1, and then the fixed point remembers its start."""
    sharpness: float = Field(8.0, gt=0)
    """Nats of membership per standard deviation of the documents' scores. Soft boundaries flow on to whatever is largest in
    the corpus, hard ones stop at the first of many fixed points."""
    embeddings: bool = True
    """Hear a sentence embedder beside the language model's activations."""


class ClusteringConfig(StageConfig):
    """How the boundary is redrawn."""

    method: Literal["ridge", "mixture", "self_training", "fading"] = "ridge"
    """Two witnesses with a linear or a mixture reading; the first refiner; or self-training in which trust fades."""
    self_training: SelfTrainingConfig = SelfTrainingConfig()
    fading: FadingConfig = FadingConfig()
    evidence_weight: Literal["earned"] | Annotated[float, Field(ge=0)] = "earned"
    """Weight of the activations beside the pointer's 1, both standardised over documents; earned: see trust.py."""
    feedback_weight: float = Field(0.6, ge=0)
    """Share of its earned weight with which evidence is heard in what the next classifier is taught. At 0 the pointer
    alone teaches; near 1 evidence confirms its own mistakes and the notion drifts. 0 is taken where most documents are of
    one passage, whose own noise cannot be told from what the document is about."""
    size: Literal["bounds", "mass", "presence"] | Annotated[float, Field(gt=0, lt=1)] = "bounds"
    """Share of the corpus the concept claims: between the pointer's mass and what the activations allow; the mass; the
    share of documents it speaks in; or a number. Of a seeded topic, whose mass bounds nothing, bounds means presence."""
    steps: int = Field(2, ge=1)
    """Times that evidence is taught again in a round."""
    components: int = Field(150, ge=2)
    """Principal components of the activations that the classifier sees."""
    penalty: float = Field(1.0, gt=0)
    """Ridge penalty in units of a feature's mean variance times the number of training passages."""
    folds: int = Field(6, ge=2)
    divisions: int = Field(4, ge=1)
    """Ways of dividing the documents into folds; scores are averaged over them."""
    shuffles: int = Field(49, ge=9)
    """Shuffled pointers that the true one must be told from."""
    min_z_score: float = Field(2.0, gt=0)
    """Deviations above the shuffled pointers' mean from which there is a concept; 2 lets two shuffles in a hundred pass."""
    max_document_spread: float = Field(0.75, gt=0, le=1)
    """Share of the documents over which a pointer may be spread; function words are spread over more than nine tenths,
    topics over less than two thirds."""
    generated_share: float = Field(0.1, ge=0, le=0.5)
    """Share of the training weight that generated texts may have together; they never outweigh the real ones."""
    mixture_components: int = Field(16, ge=2)

    @property
    def use_embeddings(self) -> bool:
        """Whether texts have to be embedded, too."""
        return self.method == "fading" and self.fading.embeddings

    def of_pointer(self, seeded: bool) -> ClusteringConfig:
        """The same with the way to a size that a pointer of this kind allows."""
        return self.model_copy(update={"size": "presence"}) if seeded and self.size == "bounds" else self
