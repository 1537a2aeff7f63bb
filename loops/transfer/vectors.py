"""The vectors that a stitching compares: the native ones, those that were carried over, and those that must not work."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from agent.membership.documents import document_mean, document_membership, numbered
from agent.membership.log_odds import log_odds
from agent.steering.vector import SteeringVector
from agent.transfer.fit import Fitted, fit_shuffled, random_map
from agent.transfer.learn import StitchingConfig
from agent.transfer.translate import translate
from agent.types import seed_for
from agent.updating import update
from agent.updating.mean_difference import mean_difference
from loops.transfer.effects import BASE, NATIVE, Bench, Pushed

Control = tuple[Mapping[int, Fitted], SteeringVector]
"""Maps, and the vector that goes through them."""


def in_first(bench: Bench) -> list[Pushed]:
    """Part (a): the vector in the model that it was found in."""
    own = bench.calibrated(bench.first, bench.concept.vector)
    return [
        bench.push(bench.first, BASE, BASE, [], {}),
        bench.push(bench.first, NATIVE, NATIVE, [own], {}),
    ]


def in_second(bench: Bench, config: StitchingConfig) -> list[Pushed]:
    """Part (b): the translated vector in the other model, beside the one found there and vectors that must not work."""
    native = _native(bench)
    found = [
        bench.push(bench.second, BASE, BASE, [], {}),
        bench.push(bench.second, NATIVE, NATIVE, [native], {"cosine_native": 1.0}),
    ]
    vector = bench.concept.vector
    for method in config.methods:
        carried = translate(vector, bench.stitches.ways(bench.stitches.there[method]))
        returned = _returned(bench, carried, method)
        numbers = _numbers(bench, bench.stitches.there[method], carried, native)
        numbers |= {"returned_cosine": returned}
        found.append(_pushed(bench, method, "translated", [carried], numbers))
    for name, drawn in _controls(bench, vector, config.draws).items():
        carried = [translate(control, bench.stitches.ways(maps)) for maps, control in drawn]
        told = [_numbers(bench, maps, each, native) for (maps, _), each in zip(drawn, carried, strict=True)]
        numbers = {key: float(np.mean([each[key] for each in told])) for key in told[0]}
        found.append(_pushed(bench, name, "control", carried, numbers))
    return found


def _pushed(
    bench: Bench, name: str, kind: str, vectors: list[SteeringVector], numbers: Mapping[str, float | None]
) -> Pushed:
    """At the strength of every other vector, in the second model."""
    calibrated = [bench.calibrated(bench.second, vector) for vector in vectors]
    return bench.push(bench.second, name, kind, calibrated, numbers)


def _controls(bench: Bench, vector: SteeringVector, draws: int) -> dict[str, list[Control]]:
    """Maps and vectors that ought to do nothing, by name. One draw may do something by chance, so there are several."""
    gathered = bench.stitches.gathered
    method = next(iter(bench.stitches.there))
    true = bench.stitches.there[method]
    turns = range(draws)
    shuffled = [{layer: fit_shuffled(each, turn) for layer, each in gathered.items()} for turn in turns]
    noise = [
        {
            layer: random_map(each, seed_for(bench.seed, turn, f"map {layer}"))
            for layer, each in gathered.items()
        }
        for turn in turns
    ]
    random = [_random_like(vector, seed_for(bench.seed, turn, "vector")) for turn in turns]
    return {
        "random map": [(maps, vector) for maps in noise],
        "shuffled pairs": [(maps, vector) for maps in shuffled],
        "random vector": [(true, each) for each in random],
        "another concept": [(true, each) for each in _other_concepts(bench, vector, draws)],
    }


def _other_concepts(bench: Bench, vector: SteeringVector, draws: int) -> list[SteeringVector]:
    """Towards the members of topics that have least to do with the concept, for or against, as many as the concept has."""
    pointer, document_of = bench.store.load_pointer(), numbered(bench.passages.document_of)
    weights = pointer.model.weights(pointer.model.expected_words(bench.passages.texts))
    topics = [document_mean(log_odds(weights[:, topic]), document_of) for topic in range(weights.shape[1])]
    alike = np.array([np.corrcoef(each, bench.concept.membership)[0, 1] for each in topics])
    size = float(bench.concept.membership.mean())
    found = []
    for topic in np.argsort(np.abs(alike))[
        :draws
    ]:  # a topic that never varies has none (NaN), and comes last
        membership = document_membership(topics[topic], document_of, size)
        inside = membership >= np.quantile(membership, 1 - max(bench.concept.inside.mean(), 0.02))
        here, there = bench.activations[inside], bench.activations[~inside]
        found.append(mean_difference(here, there, recorded=bench.first.layers, steered=vector.layers))
    return found


def _native(bench: Bench) -> SteeringVector:
    """The concept's own mean difference in the second model, at the layers that the translated vector goes to."""
    inside = bench.concept.inside
    steered = sorted({bench.stitches.partner[layer] for layer in bench.concept.vector.layers})
    texts = np.array(bench.passages.texts, dtype=object)
    return update(
        bench.second,
        texts[inside].tolist(),
        texts[~inside].tolist(),
        bench.theirs[inside],
        bench.theirs[~inside],
        config=bench.updating.model_copy(update={"layers": tuple(steered)}),
        nats=bench.nats,
        seed=bench.seed,
        member_weights=bench.concept.membership[inside],
        other_weights=1 - bench.concept.membership[~inside],
    ).vector


def _returned(bench: Bench, carried: SteeringVector, method: str) -> float | None:
    """Cosine of the vector with itself after the way there and the way back, which were learnt from different text."""
    ways = {way.layer for way in bench.stitches.ways_back(method)}
    if not set(carried.layers) <= ways:
        return None
    returned = translate(carried, bench.stitches.ways_back(method))
    return _cosine(bench, returned, bench.concept.vector, there=False)


def _numbers(
    bench: Bench, maps: Mapping[int, Fitted], carried: SteeringVector, native: SteeringVector
) -> dict[str, float | None]:
    steered = [maps[layer].unexplained for layer in bench.concept.vector.layers]
    return {
        "unexplained_variance": float(np.mean(steered)),
        "cosine_native": _cosine(bench, carried, native, there=True),
    }


def _cosine(bench: Bench, one: SteeringVector, other: SteeringVector, *, there: bool) -> float | None:
    """Mean over layers of the cosine in standardised coordinates: raw, one coordinate of hundreds would speak for all.

    None where the one has no direction at some layer of the other, as after a way back from layers that were shared.
    """
    deviations = {
        bench.stitches.partner[layer] if there else layer: each.moments[0].deviations[1 if there else 0]
        for layer, each in bench.stitches.gathered.items()
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
