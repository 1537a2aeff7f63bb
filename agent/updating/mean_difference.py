"""The baseline: the difference of the two groups' mean activations (Marks and Tegmark 2310.06824)."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float

from agent.errors import BasinError
from agent.steering.vector import SteeringVector


def mean_difference(
    member_activations: Float[np.ndarray, "member layer width"],
    other_activations: Float[np.ndarray, "other layer width"],
    member_weights: Float[np.ndarray, "member"] | None = None,
    other_weights: Float[np.ndarray, "other"] | None = None,
    *,
    recorded: tuple[int, ...],
    steered: tuple[int, ...],
) -> SteeringVector:
    """Weighted mean of members minus that of others, in units of the residual stream.

    `recorded` names the layers of the activations' second axis, `steered` some of them. Raises
    `BasinError` for an empty group, and groups whose means coincide.
    """
    difference = _mean(member_activations, member_weights, "inside") - _mean(
        other_activations, other_weights, "outside"
    )
    columns = [recorded.index(layer) for layer in steered]
    if not np.abs(difference[columns]).max() > 0:
        raise BasinError(
            "Passages inside and outside the concept have equal activations: take another topic."
        )
    return SteeringVector(
        {
            layer: torch.from_numpy(difference[column].astype(np.float32))
            for layer, column in zip(steered, columns, strict=True)
        }
    )


def _mean(
    activations: Float[np.ndarray, "text layer width"], weights: Float[np.ndarray, "text"] | None, where: str
) -> Float[np.ndarray, "layer width"]:
    weights = np.ones(len(activations)) if weights is None else weights.astype(np.float64)
    if not weights.sum() > 0:
        raise BasinError(f"There are no passages {where} the concept, so there is no direction to steer in.")
    mean: np.ndarray = np.einsum("t,tlw->lw", weights / weights.sum(), activations.astype(np.float64))
    return mean
