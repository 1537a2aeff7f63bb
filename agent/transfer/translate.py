"""Translation of a steering vector and a readout through maps between two models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from agent.concept import Readout
from agent.errors import BasinError
from agent.steering.vector import SteeringVector
from agent.transfer.linear_maps import LinearMap


@dataclass(frozen=True)
class Way:
    """The map from one layer to its partner in the other model."""

    layer: int
    partner: int
    carrier: LinearMap
    spread: float
    """Root of the summed variances of the stream at `layer`."""
    partner_spread: float


def translate(vector: SteeringVector, ways: Sequence[Way]) -> SteeringVector:
    """The vector in the other model, without bias; norms are kept in spreads of the stream.

    Strength is not translated: calibrate the result in its own model. Directions that meet at one
    layer are added. Raises `BasinError` for a layer without a way, and where a direction arrives as
    zero.
    """
    by_layer = {way.layer: way for way in ways}
    if missing := [layer for layer in vector.layers if layer not in by_layer]:
        raise BasinError(f"There is no map from layer {missing[0]}; stitch the layers {list(vector.layers)}.")
    arrived = SteeringVector({})
    for layer, direction in vector.directions.items():
        way = by_layer[layer]
        carried = direction.double().numpy() @ way.carrier.weights
        length = float(np.linalg.norm(carried))
        if not np.isfinite(length) or length == 0:
            raise BasinError(
                f"Nothing of the direction at layer {layer} arrives at layer {way.partner}; use another map."
            )
        carried = carried / length * float(direction.norm()) / way.spread * way.partner_spread
        arrived = arrived + SteeringVector({way.partner: torch.from_numpy(carried.astype(np.float32))})
    return arrived


def mean_cosine(
    one: SteeringVector, other: SteeringVector, deviations: Mapping[int, Float[np.ndarray, "width"]]
) -> float:
    """Mean over the other's layers of the cosine in deviations of the stream, where no single
    coordinate dominates.
    """
    found = []
    for layer, direction in other.directions.items():
        here, there = (each.numpy() / deviations[layer] for each in (one.directions[layer], direction))
        found.append(float(here @ there / np.linalg.norm(here) / np.linalg.norm(there)))
    return float(np.mean(found))


def translate_readout(
    readout: Readout, recorded: Sequence[int], into: Sequence[int], back: Mapping[int, tuple[int, LinearMap]]
) -> Readout:
    """The readout for the other model's activations: w (x M + b) = (M w) x + w b, with M the map
    back to this one.

    Args:
        recorded: layers of the readout's weights.
        into: recorded layers of the other model.
        back: for every recorded layer its partner, and the map from the partner to it.

    Raises:
        BasinError: a partner is not recorded.
    """
    width = next(iter(back.values()))[1].weights.shape[0]
    weights, bias = np.zeros((len(into), width)), readout.bias
    for row, layer in zip(readout.weights, recorded, strict=True):
        partner, way = back[layer]
        if partner not in into:
            raise BasinError(f"Layer {partner} of the other model is not recorded; add it to its layers.")
        weights[list(into).index(partner)] += way.weights @ row
        bias += float(way.bias @ row)
    return Readout(weights, bias, readout.threshold)
