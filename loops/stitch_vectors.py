"""The vectors that a stitching compares: the native ones, those that were carried over, and those that must not work."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from agent.anchoring import document_mean, document_membership
from agent.evidence import log_odds, numbered
from agent.steering_vector import SteeringVector
from agent.stitching.fitting import Fitted, fit_shuffled, random_map
from agent.stitching.learning import StitchingConfig
from agent.stitching.translate import translate
from agent.updating import update
from agent.updating.mean_difference import mean_difference
from loops.stitch_bench import BASE, NATIVE, Bench, Pushed


def in_first(bench: Bench) -> list[Pushed]:
    """Part (a): the vector in the model that it was found in."""
    own = bench.calibrated(bench.first, bench.concept.vector)
    return [
        bench.push(bench.first, BASE, BASE, None, {}),
        bench.push(bench.first, NATIVE, NATIVE, own, {}),
    ]


def in_second(bench: Bench, config: StitchingConfig) -> list[Pushed]:
    """Part (b): the translated vector in the other model, beside the one found there and vectors that must not work."""
    native = _native(bench)
    found = [
        bench.push(bench.second, BASE, BASE, None, {}),
        bench.push(bench.second, NATIVE, NATIVE, native, {"cosine_native": 1.0}),
    ]
    vector = bench.concept.vector
    for method in config.methods:
        carried = translate(vector, bench.stitches.ways(bench.stitches.there[method]))
        returned = _returned(bench, carried, method)
        numbers = _numbers(bench, bench.stitches.there[method], carried, native)
        found.append(_pushed(bench, method, "translated", carried, numbers | {"returned_cosine": returned}))
    for name, maps, control in _controls(bench, vector):
        carried = translate(control, bench.stitches.ways(maps))
        numbers = _numbers(bench, maps, carried, native)
        found.append(_pushed(bench, name, "control", carried, numbers))
    return found


def _pushed(
    bench: Bench, name: str, kind: str, vector: SteeringVector, numbers: Mapping[str, float | None]
) -> Pushed:
    """At the strength of every other vector, in the second model."""
    return bench.push(bench.second, name, kind, bench.calibrated(bench.second, vector), numbers)


def _controls(bench: Bench, vector: SteeringVector) -> list[tuple[str, Mapping[int, Fitted], SteeringVector]]:
    """Name, maps and vector of everything that ought to do nothing."""
    gathered = bench.stitches.gathered
    method = next(iter(bench.stitches.there))
    true = bench.stitches.there[method]
    shuffled = {layer: fit_shuffled(each) for layer, each in gathered.items()}
    noise = {layer: random_map(each, bench.seed + layer) for layer, each in gathered.items()}
    return [
        ("random map", noise, vector),
        ("shuffled pairs", shuffled, vector),
        ("random vector", true, _random_like(vector, bench.seed)),
        ("another concept", true, _other_concept(bench, vector)),
    ]


def _other_concept(bench: Bench, vector: SteeringVector) -> SteeringVector:
    """Towards the members of the topic that goes least with the concept, as many as the concept has."""
    pointer, document_of = bench.store.load_pointer(), numbered(bench.passages.document_of)
    weights = pointer.model.weights(pointer.model.expected_words(bench.passages.texts))
    topics = [document_mean(log_odds(weights[:, topic]), document_of) for topic in range(weights.shape[1])]
    alike = [float(np.corrcoef(each, bench.concept.membership)[0, 1]) for each in topics]
    topic = topics[int(np.nanargmin(alike))]
    membership = document_membership(topic, document_of, float(bench.concept.membership.mean()))
    inside = membership >= np.quantile(membership, 1 - max(bench.concept.inside.mean(), 0.02))
    return mean_difference(
        bench.activations[inside],
        bench.activations[~inside],
        recorded=bench.first.layers,
        steered=vector.layers,
    )


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
        seed=bench.seed,
        member_weights=bench.concept.membership[inside],
        other_weights=1 - bench.concept.membership[~inside],
        progress=bench.say,
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
