"""A concept handed to another reader: by intersection, by stitching, or by both as a check of each other. Maths only.

By intersection the reader is told which real texts belong, and keeps what it can see of that. By stitching it is given
the predecessor's readout and vector through a map that knows nothing of the concept. The two share no step, so where
they agree it is because there is one thing that both point at.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from pydantic import Field

from agent.clustering.config import ClusteringConfig
from agent.clustering.probe import Probe, cut_like, fit_probe
from agent.concept import MEMBER, Concept, Readout
from agent.errors import BasinError
from agent.membership.documents import document_means, numbered
from agent.membership.log_odds import threshold
from agent.membership.similarity import soft_jaccard, standardised
from agent.steering.vector import SteeringVector
from agent.types import StageConfig
from agent.updating.mean_difference import mean_difference

By = Literal["intersection", "stitching", "both"]


class HandoverConfig(StageConfig):
    """What a hand-over has to stand before the successor refines anything."""

    overlap: float = Field(0.6, ge=0, le=1)
    """Soft Jaccard, over documents, of the predecessor's concept with what the successor makes of it, either way."""
    agreement: float = Field(0.6, ge=0, le=1)
    """Soft Jaccard of the two ways with each other, where both are used."""
    cosine: float = Field(0.5, ge=-1, le=1)
    """Cosine of the stitched vector with the successor's own mean difference between what is inside and outside."""


@dataclass(frozen=True)
class Stitched:
    """What arrives through maps."""

    readout: Readout
    vector: SteeringVector | None
    deviations: dict[int, Float[np.ndarray, "width"]]
    """Of the stream's coordinates by layer; cosines are taken in these units."""


@dataclass(frozen=True)
class Handover:
    """A concept as the successor receives it."""

    by: By
    membership: Float[np.ndarray, "passage"]
    single: Float[np.ndarray, "passage"]
    evidence: Float[np.ndarray, "passage"]
    vector: SteeringVector | None
    checks: dict[str, float] = field(default_factory=dict)
    refusals: list[str] = field(default_factory=list)
    """Why it must not be gone on from, in words; empty where it may."""


def hand_over(
    concept: Concept,
    activations: Float[np.ndarray, "passage layer width"],
    layers: tuple[int, ...],
    document_of: Int[np.ndarray, "passage"],
    by: By,
    stitched: Stitched | None,
    *,
    clustering: ClusteringConfig,
    config: HandoverConfig,
    seed: int,
) -> Handover:
    """Hand a concept to whoever has these activations of the same real passages, recorded at `layers`.

    Raises:
        BasinError: nothing was stitched where it is asked for, or as `agent.clustering.probe.fit_probe`.
    """
    if by != "intersection" and stitched is None:
        raise BasinError("Handing over by stitching needs maps between the two models, and there are none.")
    document_of = numbered(document_of)
    told = document_means(concept.membership, document_of)
    taught = fit_probe(activations, concept.membership, document_of, clustering, seed)
    ways = {} if by == "stitching" else {"intersection": taught}
    if stitched is not None and by != "intersection":
        ways["stitching"] = _stitched_notion(stitched.readout, activations, document_of, concept)
    checks = {
        f"overlap by {name}": soft_jaccard(document_means(way.membership, document_of), told)
        for name, way in ways.items()
    }
    refusals = [
        f"what arrives by {name.removeprefix('overlap by ')} is not what was handed over (overlap {value:.2f})"
        for name, value in checks.items()
        if value < config.overlap
    ]
    if len(ways) == 2:
        two = [document_means(way.membership, document_of) for way in ways.values()]
        checks["two ways agree"] = soft_jaccard(*two)
        if checks["two ways agree"] < config.agreement:
            refusals.append(
                f"the two ways arrive at different notions (overlap {checks['two ways agree']:.2f})"
            )
    if stitched is not None and stitched.vector is not None and by != "intersection":
        inside = next(iter(ways.values())).membership >= MEMBER
        checks["cosine"] = _cosine(stitched, activations, layers, inside)
        if not checks["cosine"] >= config.cosine:
            refusals.append(
                f"the vector does not point at what the readout reads (cosine {checks['cosine']:.2f})"
            )
    first = ways["intersection"] if "intersection" in ways else ways["stitching"]
    vector = stitched.vector if stitched and by != "intersection" else None
    return Handover(by, first.membership, first.single, first.evidence, vector, checks, refusals)


def _stitched_notion(
    readout: Readout,
    activations: Float[np.ndarray, "passage layer width"],
    document_of: Int[np.ndarray, "passage"],
    concept: Concept,
) -> Probe:
    """What the stitched readout makes of the real passages, documents pooled, cut at the concept's size."""
    read, size = readout.evidence(activations), float(concept.membership.mean())
    single = read - threshold(read, size)
    pooled = document_means(single, document_of)
    return Probe(
        membership=cut_like(pooled, document_means(concept.membership, document_of))[document_of],
        single=single,
        evidence=standardised(single, pooled),
        readout=readout,
    )


def _cosine(
    stitched: Stitched,
    activations: Float[np.ndarray, "passage layer width"],
    layers: tuple[int, ...],
    inside: Bool[np.ndarray, "passage"],
) -> float:
    """Mean over layers, in deviations of the stream; NaN where nothing, or everything, is inside."""
    if inside.all() or not inside.any():
        return float("nan")
    steered = stitched.vector.layers
    own = mean_difference(activations[inside], activations[~inside], recorded=layers, steered=steered)
    found = []
    for layer in steered:
        here, there = (
            each.directions[layer].numpy() / stitched.deviations[layer] for each in (own, stitched.vector)
        )
        found.append(float(here @ there / np.linalg.norm(here) / np.linalg.norm(there)))
    return float(np.mean(found))
