"""Settings of re-clustering."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from agent.config import StageConfig


class ClusteringConfig(StageConfig):
    """How memberships are redrawn."""

    trust: Literal["earned"] | Annotated[float, Field(ge=0, le=1)] = "earned"
    """Trust in the pointer that stays: 0 where the concept holds all the way down, else 1; or a
    number."""
    falling: int = Field(5, ge=1)
    """Rounds over which trust falls from 1 to 0, or stops on its way."""
    size: Literal["stable", "claimed"] | Annotated[float, Field(gt=0, lt=1)] = "stable"
    """Share of the corpus in the concept: where the round map is most stable, if the concept stands
    there without its pointer; the share that the pointer claims; or a number."""
    sharpness: float = Field(4.0, gt=0)
    """Nats of membership per standard deviation of the documents' scores. Soft boundaries flow to
    the largest contrast of the corpus, hard ones stop at the first of many fixed points."""
    embeddings: bool = True
    """Read the texts with a sentence embedder, too, beside the language model's activations."""
    words: bool = True
    """Add to the topic how near a text is to the given words, as that embedder reads them. Only with
    `embeddings`, English texts, and words: of `topics`, or keywords."""
    components: int = Field(50, ge=2)
    """Principal components of the activations, and of the embeddings."""
    penalty: float = Field(0.1, gt=0)
    """Ridge penalty in units of a feature's mean variance times the number of passages."""
    reading_components: int = Field(150, ge=2)
    """As `components`, for the classifier that reads single texts, and that no round learns from."""
    reading_penalty: float = Field(0.3, gt=0)
    """As `penalty`, for that classifier."""
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
