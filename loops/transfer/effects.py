"""Two models with everything that vectors are tried on: the same prompts, dice and readers for every vector."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float

from agent.clustering.probe import Probe, fit_probe
from agent.concept import Concept
from agent.language_model.activation_cache import record_cached
from agent.language_model.coherence import Coherence
from agent.language_model.model import LanguageModel
from agent.steering.vector import SteeringVector
from agent.transfer.effect import on_members_scale
from agent.transfer.learn import Stitches
from agent.types import PassageSet, seed_for
from agent.updating import UpdatingConfig
from agent.updating.calibration import calibrate, calibration_texts
from loops.checkpoint.store import RunStore
from loops.round.writing import openings

logger = logging.getLogger(__name__)

NATIVE, BASE = "native", "base"
PLAINLY = {"norm_preserving": False, "conditional": False}
"""Every vector is calibrated and applied in one manner: a gate or a turn found in one model means nothing in the other."""
READ_TOKENS, READ_EACH = 64, 20
"""Real passages of each kind, cut to so many tokens, on which a steered model's likelihoods are compared."""


@dataclass(frozen=True)
class Pushed:
    """One vector in one model, what was written with it, and how it reads."""

    name: str
    """`base`, `native`, the name of a map, or that of a control."""
    model: str
    kind: str
    """`base`, `native`, `translated` or `control`."""
    vectors: Sequence[SteeringVector]
    """The passages are dealt out to them in turn: several where a control is drawn several times, none for the base model."""
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
    taught: Probe
    """The concept as the second model has it, from its memberships alone."""
    nats: float
    prompts: Sequence[str]
    judges: Mapping[str, Coherence]
    """By the name of the model that writes: the other one reads."""
    updating: UpdatingConfig
    seed: int
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
        *,
        nats: float | None,
        samples: int,
        seed: int,
    ) -> Bench:
        """Read the run's passages with both models, tell the second one of the memberships, and set limits of coherence.

        Args:
            nats: strength of every vector; None: that of the run.
        """
        config, passages = store.config, store.load_passages()
        second = second.reading(sorted(set(stitches.partner.values())))
        activations = record_cached(first, passages.texts)
        theirs = record_cached(second, passages.texts)
        taught = fit_probe(theirs, concept.membership, passages.document_of, config.clustering, seed)
        judges = {
            # Fitted, not loaded: the models are in memory already.
            writer.config.name: Coherence.fit(passages.texts, config.coherence, reader)
            for writer, reader in ((first, second), (second, first))
        }
        prompts = openings(passages.texts, samples, config.generation.prompt_words, seed)
        nats = nats or config.updating.budget_nats
        updating = config.updating.model_copy(
            update={"method": "mean_difference", "budget_nats": nats, **PLAINLY}
        )
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
        )

    def calibrated(self, model: LanguageModel, vector: SteeringVector) -> SteeringVector:
        """As strong as every other vector: so many nats per token, on the same real texts."""
        ruler = calibration_texts(self.passages.texts, self.updating.calibration_texts)
        return calibrate(model, vector, ruler, self.nats, self.updating.calibration_tokens)[0]

    def push(
        self,
        model: LanguageModel,
        name: str,
        kind: str,
        vectors: Sequence[SteeringVector],
        numbers: Mapping[str, float | None],
    ) -> Pushed:
        """Write with a vector, or the prompts dealt out to several in turn, and have the other model read it."""
        logger.info(f"stitch: {model.config.name} writes with {name}")
        texts = self._written(model, vectors)
        whole = [prompt + text for prompt, text in zip(self.prompts, texts, strict=True)]
        report = self.judges[model.config.name].check(texts, list(self.prompts))
        leaning = float(np.mean([self._leaning(model, vector) for vector in vectors])) if vectors else 0.0
        return Pushed(
            name,
            model.config.name,
            kind,
            vectors,
            self.nats if vectors else 0.0,
            numbers,
            texts,
            self._read(model, whole),
            report.coherent,
            leaning,
        )

    def _written(self, model: LanguageModel, vectors: Sequence[SteeringVector]) -> list[str]:
        """A passage for every prompt, with the same dice whatever writes it."""
        config, texts = self.store.config.generation, [""] * len(self.prompts)
        for first, vector in enumerate(vectors or [None]):
            turn = range(first, len(self.prompts), max(1, len(vectors)))
            seeds = [seed_for(self.seed, at, "passage") for at in turn]
            prompts = [self.prompts[at] for at in turn]
            written = model.generate(prompts, seeds, config, vector)
            for at, text in zip(turn, written, strict=True):
                texts[at] = text
        return texts

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
