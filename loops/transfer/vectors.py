"""The vectors that a stitching compares: native, translated and control vectors."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from agent.membership.documents import document_mean, document_membership, numbered
from agent.membership.log_odds import log_odds
from agent.steering.vector import SteeringVector
from agent.transfer.fit import Fitted, Method, fit_shuffled, random_map
from agent.transfer.learn import StitchingConfig
from agent.transfer.translate import translate
from agent.types import seed_for
from agent.updating import mean_difference, update
from loops.transfer.trials import BASE, NATIVE, Setup, Trial

Numbers = dict[str, float | None]
Control = tuple[Mapping[int, Fitted], SteeringVector]
"""Maps, and the vector that goes through them."""


def try_in_first(setup: Setup) -> list[Trial]:
    """Part (a): the vector in the model that it was found in."""
    return [
        setup.run(setup.first, BASE, BASE),
        setup.run(setup.first, NATIVE, NATIVE, [setup.vector]),
    ]


def try_in_second(setup: Setup, config: StitchingConfig) -> list[Trial]:
    """Part (b): the other model with the translated vector, its native one, and controls."""
    native, stitches = _native(setup), setup.stitches
    found = [
        setup.run(setup.second, BASE, BASE),
        setup.run(setup.second, NATIVE, NATIVE, [native], numbers={"cosine_native": 1.0}, calibrated=True),
    ]
    for method in config.methods:
        carried = translate(setup.vector, stitches.ways(stitches.there[method]))
        numbers = _numbers(setup, stitches.there[method], carried, native)
        numbers["returned_cosine"] = _returned(setup, carried, method)
        found.append(setup.run(setup.second, method, "translated", [carried], numbers=numbers))
    for name, drawn in _controls(setup, config.draws).items():
        vectors = [translate(vector, stitches.ways(maps)) for maps, vector in drawn]
        each = [_numbers(setup, maps, one, native) for (maps, _), one in zip(drawn, vectors, strict=True)]
        means: Numbers = {key: float(np.mean([numbers[key] for numbers in each])) for key in each[0]}
        found.append(setup.run(setup.second, name, "control", vectors, numbers=means))
    return found


def _controls(setup: Setup, draws: int) -> dict[str, list[Control]]:
    """Maps and vectors that should do nothing, by name, in several draws."""
    gathered, vector, turns = setup.stitches.gathered, setup.vector, range(draws)
    true = next(iter(setup.stitches.there.values()))
    noise = [
        {
            layer: random_map(each, seed_for(setup.seed, turn, f"map {layer}"))
            for layer, each in gathered.items()
        }
        for turn in turns
    ]
    shuffled = [{layer: fit_shuffled(each, turn) for layer, each in gathered.items()} for turn in turns]
    random = [_random_like(vector, seed_for(setup.seed, turn, "vector")) for turn in turns]
    return {
        "random map": [(maps, vector) for maps in noise],
        "shuffled pairs": [(maps, vector) for maps in shuffled],
        "random vector": [(true, each) for each in random],
        "another concept": [(true, each) for each in _other_concepts(setup, draws)],
    }


def _other_concepts(setup: Setup, draws: int) -> list[SteeringVector]:
    """Mean differences of the topics least correlated with the concept, of its size."""
    pointer, document_of = setup.store.load_pointer(), numbered(setup.passages.document_of)
    weights = pointer.model.weights(pointer.model.expected_words(setup.passages.texts))
    topics = [document_mean(log_odds(weights[:, topic]), document_of) for topic in range(weights.shape[1])]
    membership, inside = setup.concept.membership, setup.concept.inside
    alike = np.array([np.corrcoef(each, membership)[0, 1] for each in topics])
    found = []
    for topic in np.argsort(np.abs(alike))[:draws]:  # a topic that never varies is NaN, and comes last
        other = document_membership(topics[topic], document_of, float(membership.mean()))
        members = other >= np.quantile(other, 1 - max(inside.mean(), 0.02))
        here, there = setup.activations[members], setup.activations[~members]
        found.append(mean_difference(here, there, recorded=setup.first.layers, steered=setup.vector.layers))
    return found


def _native(setup: Setup) -> SteeringVector:
    """The concept's mean difference in the second model, at the partner layers."""
    inside, membership = setup.concept.inside, setup.concept.membership
    steered = sorted({setup.stitches.partner[layer] for layer in setup.vector.layers})
    texts = np.array(setup.passages.texts, dtype=object)
    return update(
        setup.second,
        texts[inside].tolist(),
        texts[~inside].tolist(),
        setup.theirs[inside],
        setup.theirs[~inside],
        config=setup.updating.model_copy(update={"layers": tuple(steered)}),
        nats=setup.nats,
        seed=setup.seed,
        member_weights=membership[inside],
        other_weights=1 - membership[~inside],
    ).vector


def _returned(setup: Setup, carried: SteeringVector, method: Method) -> float | None:
    """Cosine of the vector with itself after the way there and back."""
    back = setup.stitches.ways_back(method)
    if not set(carried.layers) <= {way.layer for way in back}:
        return None
    return _cosine(setup, translate(carried, back), setup.vector, there=False)


def _numbers(
    setup: Setup, maps: Mapping[int, Fitted], carried: SteeringVector, native: SteeringVector
) -> Numbers:
    unexplained = float(np.mean([maps[layer].unexplained for layer in setup.vector.layers]))
    return {
        "unexplained_variance": unexplained,
        "cosine_native": _cosine(setup, carried, native, there=True),
    }


def _cosine(setup: Setup, one: SteeringVector, other: SteeringVector, *, there: bool) -> float | None:
    """Mean over layers of the cosine in standardised coordinates, where no single coordinate
    dominates.

    None where `one` lacks a layer of the other, as after a way back from layers that were shared.
    """
    deviations = {
        setup.stitches.partner[layer] if there else layer: each.moments[0].deviations[int(there)]
        for layer, each in setup.stitches.gathered.items()
    }
    cosines = []
    for layer, direction in other.directions.items():
        if layer not in one.directions:
            return None
        here, theirs = (each.numpy() / deviations[layer] for each in (one.directions[layer], direction))
        cosines.append(float(here @ theirs / np.linalg.norm(here) / np.linalg.norm(theirs)))
    return float(np.mean(cosines))


def _random_like(vector: SteeringVector, seed: int) -> SteeringVector:
    """A random direction of the same norm at every layer."""
    generator = torch.Generator().manual_seed(seed)
    random = {layer: torch.randn(vector.width, generator=generator) for layer in vector.layers}
    return SteeringVector(
        {layer: each / each.norm() * vector.norms()[layer] for layer, each in random.items()}
    )
