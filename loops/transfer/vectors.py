"""The vectors that a stitching compares: native, translated and control vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from agent.membership.documents import document_mean, document_membership, numbered
from agent.membership.log_odds import log_odds
from agent.steering.vector import SteeringVector
from agent.transfer.linear_maps import METHODS
from agent.transfer.translate import Way, mean_cosine, translate
from agent.types import seed_for
from agent.updating import mean_difference
from loops.transfer.trials import BASE, DRAWS, NATIVE, Setup, Trial

Numbers = dict[str, float | None]
Control = tuple[Sequence[Way], SteeringVector]
"""The ways to the second model, and the vector that goes through them."""


def try_vectors(setup: Setup) -> list[Trial]:
    """The vector in its own model; then the other model with the native, translated and control
    vectors.
    """
    native, stitches = _native(setup), setup.stitches
    found = [
        setup.run(setup.first, BASE, BASE),
        setup.run(setup.first, NATIVE, NATIVE, [setup.vector]),
        setup.run(setup.second, BASE, BASE),
        setup.run(setup.second, NATIVE, NATIVE, [native], numbers={"cosine_native": 1.0}),
    ]
    for method in METHODS:
        ways = stitches.ways_there(method)
        carried = translate(setup.vector, ways)
        numbers = _numbers(setup, ways, carried, native)
        back = stitches.ways_back(method)
        if set(carried.layers) <= {way.layer for way in back}:
            numbers["returned_cosine"] = _cosine(setup, translate(carried, back), setup.vector, there=False)
        found.append(setup.run(setup.second, method, "translated", [carried], numbers=numbers))
    for name, drawn in _controls(setup).items():
        vectors = [translate(vector, ways) for ways, vector in drawn]
        each = [_numbers(setup, ways, one, native) for (ways, _), one in zip(drawn, vectors, strict=True)]
        means: Numbers = {key: float(np.mean([numbers[key] for numbers in each])) for key in each[0]}
        found.append(setup.run(setup.second, name, "control", vectors, numbers=means))
    return found


def _controls(setup: Setup) -> dict[str, list[Control]]:
    """Maps and vectors that should do nothing, by name, in several draws."""
    stitches, vector, turns = setup.stitches, setup.vector, range(DRAWS)
    true = stitches.ways_there("affine")
    noise = [stitches.ways([each.random[turn] for each in stitches.maps]) for turn in turns]
    shuffled = [stitches.ways([each.shuffled[turn] for each in stitches.maps]) for turn in turns]
    random = [_random_like(vector, seed_for(setup.seed, turn, "vector")) for turn in turns]
    return {
        "random map": [(ways, vector) for ways in noise],
        "shuffled pairs": [(ways, vector) for ways in shuffled],
        "random vector": [(true, each) for each in random],
        "another concept": [(true, each) for each in _other_concepts(setup)],
    }


def _other_concepts(setup: Setup) -> list[SteeringVector]:
    """Mean differences of the topics least correlated with the concept, of its size."""
    pointer, document_of = setup.store.load_pointer(), numbered(setup.passages.document_of)
    weights = pointer.model.weights(pointer.model.expected_words(setup.passages.texts))
    topics = [document_mean(log_odds(weights[:, topic]), document_of) for topic in range(weights.shape[1])]
    membership, inside = setup.concept.membership, setup.concept.inside
    alike = np.array([np.corrcoef(each, membership)[0, 1] for each in topics])
    found = []
    for topic in np.argsort(np.abs(alike))[:DRAWS]:  # a topic that never varies is NaN, and comes last
        other = document_membership(topics[topic], document_of, float(membership.mean()))
        members = other >= np.quantile(other, 1 - max(inside.mean(), 0.02))
        here, there = setup.activations[members], setup.activations[~members]
        found.append(mean_difference(here, there, recorded=setup.first.layers, steered=setup.vector.layers))
    return found


def _native(setup: Setup) -> SteeringVector:
    """The concept's mean difference in the second model, at the partner layers."""
    inside, membership = setup.concept.inside, setup.concept.membership
    return mean_difference(
        setup.theirs[inside],
        setup.theirs[~inside],
        membership[inside],
        1 - membership[~inside],
        recorded=setup.second.layers,
        steered=tuple(sorted({setup.stitches.partner[layer] for layer in setup.vector.layers})),
    )


def _numbers(setup: Setup, ways: Sequence[Way], carried: SteeringVector, native: SteeringVector) -> Numbers:
    unexplained = [way.carrier.unexplained for way in ways if way.layer in setup.vector.layers]
    return {
        "unexplained_variance": float(np.mean(unexplained)),
        "cosine_native": _cosine(setup, carried, native, there=True),
    }


def _cosine(setup: Setup, one: SteeringVector, other: SteeringVector, *, there: bool) -> float | None:
    """Their `mean_cosine`; None where `one` lacks a layer of the other, as after a way back from
    layers that were shared.
    """
    if not set(other.layers) <= set(one.layers):
        return None
    deviations = {
        each.partner if there else each.layer: each.partner_deviations if there else each.deviations
        for each in setup.stitches.maps
    }
    return mean_cosine(one, other, deviations)


def _random_like(vector: SteeringVector, seed: int) -> SteeringVector:
    """A random direction of the same norm at every layer."""
    generator = torch.Generator().manual_seed(seed)
    random = {layer: torch.randn(vector.width, generator=generator) for layer in vector.layers}
    return SteeringVector(
        {layer: each / each.norm() * vector.norms()[layer] for layer, each in random.items()}
    )
