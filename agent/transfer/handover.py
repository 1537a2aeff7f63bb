"""Hand-over of a concept to another reader by intersection, by stitching, or by both.

By intersection the reader learns from the memberships of real texts. By stitching it receives the
predecessor's readout and vector through a map that was learnt without the concept. The two share no
step, so their agreement is evidence.
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
from agent.updating import mean_difference

By = Literal["intersection", "stitching", "both"]


class HandoverConfig(StageConfig):
    """Bounds of the checks before a successor refines."""

    overlap: float = Field(0.6, ge=0, le=1)
    """Soft Jaccard, over documents, of the predecessor's and the successor's concept."""
    agreement: float = Field(0.6, ge=0, le=1)
    """Soft Jaccard of the two ways with each other, where both are used."""
    cosine: float = Field(0.5, ge=-1, le=1)
    """Cosine of the stitched vector with the successor's own mean difference."""


@dataclass(frozen=True)
class Carried:
    """Readout and vector after the maps."""

    readout: Readout
    vector: SteeringVector | None
    deviations: dict[int, Float[np.ndarray, "width"]]
    """Of the stream's coordinates by layer; cosines are taken in these units."""


@dataclass(frozen=True)
class Handover:
    """A concept as the successor receives it."""

    membership: Float[np.ndarray, "passage"]
    single: Float[np.ndarray, "passage"]
    evidence: Float[np.ndarray, "passage"]
    vector: SteeringVector | None
    checks: dict[str, float] = field(default_factory=dict)
    refusals: list[str] = field(default_factory=list)
    """Reasons to refuse it, as clauses; empty where it is accepted."""


def hand_over(
    concept: Concept,
    activations: Float[np.ndarray, "passage layer width"],
    layers: tuple[int, ...],
    document_of: Int[np.ndarray, "passage"],
    *,
    by: By,
    carried: Carried | None,
    clustering: ClusteringConfig,
    config: HandoverConfig,
    seed: int,
) -> Handover:
    """Hand a concept to a reader whose activations of the real passages are of `layers`.

    Raises:
        BasinError: there are no maps and `by` needs them, or as `agent.clustering.probe.fit_probe`.
    """
    document_of = numbered(document_of)
    ways: dict[str, Probe] = {}
    if by != "stitching":
        ways["intersection"] = fit_probe(activations, concept.membership, document_of, clustering, seed)
    if by == "intersection":
        carried = None
    elif carried is None:
        raise BasinError("Handing over by stitching needs maps between the two models, and there are none.")
    else:
        ways["stitching"] = _stitched(carried.readout, activations, document_of, concept)
    pooled = {name: document_means(way.membership, document_of) for name, way in ways.items()}
    wanted = document_means(concept.membership, document_of)
    checks = {f"overlap by {name}": soft_jaccard(each, wanted) for name, each in pooled.items()}
    refusals = [
        f"what arrives by {name} is not what was handed over (overlap {value:.2f})"
        for name, value in zip(ways, checks.values(), strict=True)
        if value < config.overlap
    ]
    if len(ways) == 2:
        checks["two ways agree"] = soft_jaccard(*pooled.values())
        if checks["two ways agree"] < config.agreement:
            refusals.append(
                f"the two ways arrive at different concepts (overlap {checks['two ways agree']:.2f})"
            )
    first = next(iter(ways.values()))
    vector = carried.vector if carried else None
    if carried and vector is not None:
        cosine = _cosine(vector, carried.deviations, activations, layers, inside=first.membership >= MEMBER)
        checks["cosine"] = cosine
        if not cosine >= config.cosine:  # NaN, too
            refusals.append(f"the vector does not point at what the readout reads (cosine {cosine:.2f})")
    return Handover(first.membership, first.single, first.evidence, vector, checks, refusals)


def _stitched(
    readout: Readout,
    activations: Float[np.ndarray, "passage layer width"],
    document_of: Int[np.ndarray, "passage"],
    concept: Concept,
) -> Probe:
    """Memberships by the stitched readout, documents pooled, cut at the concept's size."""
    read, size = readout.evidence(activations), float(concept.membership.mean())
    single = read - threshold(read, size)
    pooled = document_means(single, document_of)
    membership = cut_like(pooled, document_means(concept.membership, document_of))[document_of]
    return Probe(membership, single, standardised(single, pooled), readout)


def _cosine(
    vector: SteeringVector,
    deviations: dict[int, Float[np.ndarray, "width"]],
    activations: Float[np.ndarray, "passage layer width"],
    layers: tuple[int, ...],
    *,
    inside: Bool[np.ndarray, "passage"],
) -> float:
    """Mean over layers, in deviations of the stream; NaN where all passages are inside, or none."""
    if inside.all() or not inside.any():
        return float("nan")
    own = mean_difference(activations[inside], activations[~inside], recorded=layers, steered=vector.layers)
    found = []
    for layer in vector.layers:
        here, there = (each.directions[layer].numpy() / deviations[layer] for each in (own, vector))
        found.append(float(here @ there / np.linalg.norm(here) / np.linalg.norm(there)))
    return float(np.mean(found))
