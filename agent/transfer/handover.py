"""Hand-over of a concept to another reader by intersection, or by intersection and stitching.

By intersection the reader learns from the memberships of real texts. By stitching it receives the
predecessor's readout and vector through a map that was learnt without the concept. The two share no
step, so their agreement is evidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from pydantic import Field

from agent.clustering.config import ClusteringConfig
from agent.clustering.probe import Probe, cut_like, fit_probe
from agent.concept import MEMBER, Concept, Readout
from agent.config import StageConfig
from agent.membership.documents import document_means, numbered
from agent.membership.similarity import soft_jaccard
from agent.steering.vector import SteeringVector
from agent.transfer.translate import mean_cosine
from agent.updating import mean_difference

By = Literal["intersection", "both"]
"""Ways that a concept is handed over."""


class HandoverConfig(StageConfig):
    """Bounds of the checks before a successor refines."""

    overlap: float = Field(0.6, ge=0, le=1)
    """Soft Jaccard, over documents, of the predecessor's and the successor's concept."""
    agreement: float = Field(0.6, ge=0, le=1)
    """Soft Jaccard of the two ways with each other, where stitching is used as well."""
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

    probe: Probe
    """The successor's own version of the memberships."""
    vector: SteeringVector | None
    checks: dict[str, float]
    refusals: list[str]
    """Reasons to refuse it, as clauses; empty where it is accepted."""


def hand_over(
    concept: Concept,
    activations: Float[np.ndarray, "passage layer width"],
    layers: tuple[int, ...],
    document_of: Int[np.ndarray, "passage"],
    *,
    carried: Carried | None,
    clustering: ClusteringConfig,
    config: HandoverConfig,
    seed: int,
) -> Handover:
    """Hand a concept to a reader whose activations of the real passages are of `layers`.

    Args:
        carried: what arrives by stitching; None to hand over by intersection alone.

    Raises:
        BasinError: as `agent.clustering.probe.fit_probe`.
    """
    document_of = numbered(document_of)
    wanted = document_means(concept.membership, document_of)
    own = fit_probe(activations, concept.membership, document_of, clustering, seed)
    ways = {"intersection": document_means(own.membership, document_of)}
    if carried is not None:
        read = document_means(carried.readout.evidence(activations), document_of)
        ways["stitching"] = cut_like(read, wanted)
    checks = {f"overlap by {name}": soft_jaccard(each, wanted) for name, each in ways.items()}
    refusals = [
        f"what arrives by {name} is not what was handed over (overlap {value:.2f})"
        for name, value in zip(ways, checks.values(), strict=True)
        if value < config.overlap
    ]
    if carried is not None:
        checks["two ways agree"] = agree = soft_jaccard(*ways.values())
        if agree < config.agreement:
            refusals.append(f"the two ways arrive at different concepts (overlap {agree:.2f})")
    vector = carried.vector if carried else None
    if carried and vector is not None:
        cosine, inside = float("nan"), own.membership >= MEMBER
        if inside.any() and not inside.all():
            members, others = activations[inside], activations[~inside]
            native = mean_difference(members, others, recorded=layers, steered=vector.layers)
            cosine = mean_cosine(native, vector, carried.deviations)
        checks["cosine"] = cosine
        if not cosine >= config.cosine:  # NaN, too
            refusals.append(f"the vector does not point at what the readout reads (cosine {cosine:.2f})")
    return Handover(own, vector, checks, refusals)
