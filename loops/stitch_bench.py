"""Two models with everything that vectors are tried on: the same prompts, dice and readers for every vector."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float

from agent.activation_cache import record_cached
from agent.anchoring import document_mean, document_membership
from agent.coherence import Coherence
from agent.concept import Concept
from agent.errors import BasinError
from agent.evidence import log_odds, numbered
from agent.language_model import LanguageModel
from agent.steering_vector import SteeringVector
from agent.stitching.evidence import on_members_scale
from agent.stitching.fitting import Fitted, fit_shuffled, random_map
from agent.stitching.learning import Stitches, StitchingConfig
from agent.stitching.translate import translate
from agent.taught import Taught, teach
from agent.types import PassageSet, seed_for
from agent.updating import UpdatingConfig, calibration_texts, update
from agent.updating.calibrate import calibrate
from agent.updating.mean_difference import mean_difference
from loops.openings import openings
from loops.store import RunStore

NATIVE, BASE = "native", "base"
READ_TOKENS, READ_EACH = 64, 20
"""Real passages of each kind, cut to so many tokens, on which a steered model's likelihoods are compared."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Pushed:
    """One vector in one model, what was written with it, and how it reads."""

    name: str
    """`base`, `native`, the name of a map, or that of a control."""
    model: str
    kind: str
    """`base`, `native`, `translated` or `control`."""
    vector: SteeringVector | None
    nats: float
    numbers: Mapping[str, float | None]
    """Of the vector itself: unexplained variance of its map, cosines."""
    texts: Sequence[str]
    readings: Float[np.ndarray, "text"]
    """By the other model's notion, on a scale with 0 at real passages outside and 1 at real members."""
    coherent: Bool[np.ndarray, "text"]
    leaning: float
    """Nats per token by which steering makes real members likelier, less the same of other passages."""


@dataclass(frozen=True)
class Bench:
    """Two models with everything that vectors are tried on."""

    concept: Concept
    passages: PassageSet
    first: LanguageModel
    second: LanguageModel
    stitches: Stitches
    store: RunStore
    activations: Float[np.ndarray, "passage layer width"]
    """Of the real passages in the first model."""
    theirs: Float[np.ndarray, "passage other target"]
    """The same in the second, at the partner layers."""
    taught: Taught
    """The concept as the second model has it, from its memberships alone."""
    nats: float
    prompts: Sequence[str]
    judges: Mapping[str, Coherence]
    """By the name of the model that writes: the other one reads."""
    updating: UpdatingConfig
    seed: int
    say: Say
    unsteered: dict[str, list[Float[np.ndarray, "text"]]] = field(default_factory=dict)
    """Losses of real passages by model, as they are read."""

    @classmethod
    def set_up(
        cls,
        store: RunStore,
        concept: Concept,
        first: LanguageModel,
        second: LanguageModel,
        stitches: Stitches,
        nats: float | None,
        samples: int,
        seed: int,
        say: Say,
    ) -> Bench:
        config, passages = store.config, store.load_passages()
        second = second.reading(sorted(set(stitches.partner.values())))
        activations = record_cached(first, passages.texts, say)
        theirs = record_cached(second, passages.texts, say)
        taught = teach(theirs, concept.membership, passages.document_of, config.clustering, seed)
        judges = {
            writer: Coherence.load(passages.texts, config.coherence.model_copy(update={"model": reader}), say)
            for writer, reader in (
                (first.config.name, second.config.name),
                (second.config.name, first.config.name),
            )
        }
        prompts = openings(passages.texts, samples, config.generation.prompt_words, seed)
        nats = nats or config.updating.budget_nats
        updating = config.updating.model_copy(update={"method": "mean_difference", "budget_nats": nats})
        return cls(
            concept,
            passages,
            first,
            second,
            stitches,
            store,
            activations,
            theirs,
            taught,
            nats,
            prompts,
            judges,
            updating,
            seed,
            say,
        )

    def in_first(self) -> list[Pushed]:
        """Part (a): the vector in the model that it was found in."""
        own = self._calibrated(self.first, self.concept.vector)
        return [
            self._push(self.first, BASE, BASE, None, {}),
            self._push(self.first, NATIVE, NATIVE, own, {}),
        ]

    def in_second(self, config: StitchingConfig) -> list[Pushed]:
        """Part (b): the translated vector in the other model, beside the one found there and vectors that must not work."""
        native = self._native()
        found = [
            self._push(self.second, BASE, BASE, None, {}),
            self._push(self.second, NATIVE, NATIVE, native, {"cosine_native": 1.0}),
        ]
        vector = self.concept.vector
        for method in config.methods:
            carried = translate(vector, self.stitches.ways(self.stitches.there[method]))
            returned = self._returned(carried, method)
            numbers = self._numbers(self.stitches.there[method], carried, native)
            found.append(
                self._push_calibrated(method, "translated", carried, numbers | {"returned_cosine": returned})
            )
        for name, maps, control in self._controls(vector):
            carried = translate(control, self.stitches.ways(maps))
            numbers = self._numbers(maps, carried, native)
            found.append(self._push_calibrated(name, "control", carried, numbers))
        return found

    def _controls(self, vector: SteeringVector) -> list[tuple[str, Mapping[int, Fitted], SteeringVector]]:
        """Name, maps and vector of everything that ought to do nothing."""
        gathered = self.stitches.gathered
        method = next(iter(self.stitches.there))
        true = self.stitches.there[method]
        shuffled = {layer: fit_shuffled(each) for layer, each in gathered.items()}
        noise = {layer: random_map(each, self.seed + layer) for layer, each in gathered.items()}
        return [
            ("random map", noise, vector),
            ("shuffled pairs", shuffled, vector),
            ("random vector", true, _random_like(vector, self.seed)),
            ("another concept", true, self._other_concept(vector)),
        ]

    def _other_concept(self, vector: SteeringVector) -> SteeringVector:
        """Towards the members of the topic that goes least with the concept, as many as the concept has."""
        pointer, document_of = self.store.load_pointer(), numbered(self.passages.document_of)
        weights = pointer.model.weights(pointer.model.expected_words(self.passages.texts))
        topics = [
            document_mean(log_odds(weights[:, topic]), document_of) for topic in range(weights.shape[1])
        ]
        alike = [float(np.corrcoef(each, self.concept.membership)[0, 1]) for each in topics]
        topic = topics[int(np.nanargmin(alike))]
        membership = document_membership(topic, document_of, float(self.concept.membership.mean()))
        inside = membership >= np.quantile(membership, 1 - max(self.concept.inside.mean(), 0.02))
        return mean_difference(
            self.activations[inside],
            self.activations[~inside],
            recorded=self.first.layers,
            steered=vector.layers,
        )

    def _native(self) -> SteeringVector:
        """The concept's own mean difference in the second model, at the layers that the translated vector goes to."""
        inside = self.concept.inside
        if not inside.any() or inside.all():
            raise BasinError(
                "The concept has no passages inside, or none outside, to find a native vector from."
            )
        steered = sorted({self.stitches.partner[layer] for layer in self.concept.vector.layers})
        texts = np.array(self.passages.texts, dtype=object)
        return update(
            self.second,
            texts[inside].tolist(),
            texts[~inside].tolist(),
            self.theirs[inside],
            self.theirs[~inside],
            config=self.updating.model_copy(update={"layers": tuple(steered), "conditional": False}),
            seed=self.seed,
            member_weights=self.concept.membership[inside],
            other_weights=1 - self.concept.membership[~inside],
            progress=self.say,
        ).vector

    def _returned(self, carried: SteeringVector, method: str) -> float | None:
        """Cosine of the vector with itself after the way there and the way back, which were learnt from different text."""
        ways = {way.layer for way in self.stitches.ways_back(method)}
        if not set(carried.layers) <= ways:
            return None
        returned = translate(carried, self.stitches.ways_back(method))
        return self._cosine(returned, self.concept.vector, there=False)

    def _numbers(
        self, maps: Mapping[int, Fitted], carried: SteeringVector, native: SteeringVector
    ) -> dict[str, float | None]:
        steered = [maps[layer].unexplained for layer in self.concept.vector.layers]
        return {
            "unexplained_variance": float(np.mean(steered)),
            "cosine_native": self._cosine(carried, native, there=True),
        }

    def _cosine(self, one: SteeringVector, other: SteeringVector, *, there: bool) -> float:
        """Mean over layers of the cosine in standardised coordinates: raw, one coordinate of hundreds would speak for all."""
        deviations = {
            self.stitches.partner[layer] if there else layer: each.moments[0].deviations[1 if there else 0]
            for layer, each in self.stitches.gathered.items()
        }
        cosines = []
        for layer, direction in other.directions.items():
            if layer not in one.directions:
                return float("nan")
            here, theirs = (each.numpy() / deviations[layer] for each in (one.directions[layer], direction))
            cosines.append(float(here @ theirs / np.linalg.norm(here) / np.linalg.norm(theirs)))
        return float(np.mean(cosines))

    def _calibrated(self, model: LanguageModel, vector: SteeringVector) -> SteeringVector:
        ruler = calibration_texts(self.passages.texts, self.updating.calibration_texts)
        return calibrate(model, vector, ruler, self.nats, self.updating.calibration_tokens)[0]

    def _push_calibrated(
        self, name: str, kind: str, vector: SteeringVector, numbers: Mapping[str, float | None]
    ) -> Pushed:
        return self._push(self.second, name, kind, self._calibrated(self.second, vector), numbers)

    def _push(
        self,
        model: LanguageModel,
        name: str,
        kind: str,
        vector: SteeringVector | None,
        numbers: Mapping[str, float | None],
    ) -> Pushed:
        """Write with a vector, and have the other model read it."""
        self.say(f"stitch: {model.config.name} writes with {name}")
        seeds = [seed_for(self.seed, at, "passage") for at in range(len(self.prompts))]
        texts = model.generate(self.prompts, seeds, self.store.config.generation, vector, progress=self.say)
        whole = [prompt + text for prompt, text in zip(self.prompts, texts, strict=True)]
        report = self.judges[model.config.name].check(texts, list(self.prompts))
        leaning = self._leaning(model, vector) if vector else 0.0
        return Pushed(
            name,
            model.config.name,
            kind,
            vector,
            self.nats if vector else 0.0,
            numbers,
            texts,
            self._read(model, whole),
            report.coherent,
            leaning,
        )

    def _read(self, writer: LanguageModel, texts: Sequence[str]) -> Float[np.ndarray, "text"]:
        """What the model that did not write makes of the texts, by activations alone, on the scale of real passages."""
        if writer is self.first:
            reader, readout, real = self.second, self.taught.readout, self.theirs
        else:
            reader, readout, real = self.first, self.concept.readout, self.activations
        known, inside = readout.evidence(real), self.concept.inside
        read = readout.evidence(reader.record(list(texts)))
        return on_members_scale(read, float(known[inside].mean()), float(known[~inside].mean()))

    def _leaning(self, model: LanguageModel, vector: SteeringVector) -> float:
        """How much likelier steering makes real members than other passages."""
        before = self._losses(model)
        with model.steer(vector):
            after = [model.losses(group, max_tokens=READ_TOKENS) for group in self._read_each()]
        gained = [float(np.nanmean(was - now)) for was, now in zip(before, after, strict=True)]
        return gained[0] - gained[1]

    def _losses(self, model: LanguageModel) -> list[Float[np.ndarray, "text"]]:
        """Of the unsteered model; read once."""
        name = model.config.name
        if name not in self.unsteered:
            self.unsteered[name] = [
                model.losses(group, max_tokens=READ_TOKENS) for group in self._read_each()
            ]
        return self.unsteered[name]

    def _read_each(self) -> list[list[str]]:
        """Some members, and as many other passages."""
        generator, inside = np.random.default_rng(self.seed), self.concept.inside
        return [
            [self.passages.texts[at] for at in generator.permutation(np.flatnonzero(part))[:READ_EACH]]
            for part in (inside, ~inside)
        ]


def _random_like(vector: SteeringVector, seed: int) -> SteeringVector:
    """A random direction of the same norm at every layer."""
    generator = torch.Generator().manual_seed(seed)
    random = {layer: torch.randn(vector.width, generator=generator) for layer in vector.layers}
    return SteeringVector(
        {layer: each / each.norm() * vector.norms()[layer] for layer, each in random.items()}
    )
