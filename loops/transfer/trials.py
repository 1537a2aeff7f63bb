"""Trials of steering vectors in two models with the same prompts, seeds and readers."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float

from agent.clustering.probe import Probe, fit_probe
from agent.concept import Concept, Readout
from agent.errors import BasinError
from agent.language_model.activation_cache import record_cached
from agent.language_model.coherence import Coherence
from agent.language_model.load import LanguageModelConfig
from agent.language_model.model import LanguageModel
from agent.steering.vector import SteeringVector
from agent.transfer.effect import on_members_scale
from agent.transfer.learn import Stitches, StitchingConfig, learn
from agent.types import PassageSet, seed_for
from agent.updating import UpdatingConfig
from agent.updating.calibration import calibrate, calibration_texts
from loops.checkpoint.store import RunStore
from loops.round.writing import openings
from loops.transfer.general_text import general_texts

logger = logging.getLogger(__name__)

NATIVE, BASE = "native", "base"
COMPARED = ("translated", "control")
"""Kinds of vector that are compared with the native one."""
READ_TOKENS, READ_EACH = 64, 20
"""Tokens and number of the real passages of each kind whose likelihoods are compared."""


@dataclass(frozen=True)
class Pair:
    """Two models and the maps between them, for all runs of one model over one corpus."""

    first: LanguageModel
    second: LanguageModel
    stitches: Stitches
    documents: frozenset[str]
    """Identifiers of the runs' documents, which the maps have not seen."""

    @classmethod
    def of(cls, store: RunStore, to: str, config: StitchingConfig) -> Pair:
        """Load the run's model and the other one, and learn the maps on general text.

        Raises:
            BasinError: the other model is the run's own or cannot be loaded, or there is too little
                text.
        """
        refuse_own_model(store, to)
        passages, seed = store.load_passages(), seed_for(store.config.seed, 0, "stitch")
        first = LanguageModel.load(store.config.language_model)
        second = LanguageModel.load(LanguageModelConfig(name=to))
        texts, parts = general_texts(config, passages, store.config.seed)
        stitches = learn(first, second, texts, parts, layers=first.layers, config=config, seed=seed)
        return cls(first, second, stitches, frozenset(each.id for each in passages.documents))

    def serves(self, store: RunStore) -> bool:
        """Whether another run has the same model and the same documents."""
        documents = {each.id for each in store.load_passages().documents}
        return store.config.language_model == self.first.config and documents == self.documents


def refuse_own_model(store: RunStore, to: str) -> None:
    """Raise `BasinError` where the run was made in the model that its concept is to go to."""
    if to == store.config.language_model.name:
        raise BasinError(f"{store.name} was made in {to} itself; name another model with --to.")


@dataclass(frozen=True)
class Trial:
    """One vector in one model, the texts written with it, and their scores."""

    name: str
    """`base`, `native`, the name of a map, or that of a control."""
    model: str
    kind: str
    """`base`, `native`, `translated` or `control`."""
    vectors: Sequence[SteeringVector]
    """Prompts take them in turn: several draws of a control, none for the base model."""
    nats: float
    numbers: Mapping[str, float | None]
    """Of the vector itself: unexplained variance of its map, cosines."""
    texts: Sequence[str]
    readings: Float[np.ndarray, "text"]
    """By the other model's concept: 0 at real passages outside, 1 at real members."""
    coherent: Bool[np.ndarray, "text"]
    leaning: float
    """Nats per token that steering adds to real members' likelihood beyond that of others."""


@dataclass(frozen=True)
class Setup:
    """All that vectors are tried with."""

    store: RunStore
    concept: Concept
    vector: SteeringVector
    readout: Readout
    first: LanguageModel
    second: LanguageModel
    stitches: Stitches
    passages: PassageSet
    activations: Float[np.ndarray, "passage layer width"]
    """Of the real passages in the first model."""
    theirs: Float[np.ndarray, "passage other target"]
    """The same in the second model, at the partner layers."""
    probe: Probe
    """The second model's version of the concept, from its memberships alone."""
    prompts: Sequence[str]
    coherence: Mapping[str, Coherence]
    """By the name of the model that writes; the other one reads."""
    updating: UpdatingConfig
    nats: float
    seed: int
    unsteered: dict[str, list[Float[np.ndarray, "_text"]]] = field(default_factory=dict)
    """Losses of real passages by model, once they are computed."""

    @classmethod
    def of(
        cls, store: RunStore, concept: Concept, pair: Pair, *, nats: float | None, samples: int, seed: int
    ) -> Setup:
        """Record the run's passages in both models, fit the probe, and set the limits of coherence.

        Args:
            concept: with a vector and a readout.
            nats: strength of every vector; None: that of the run.
        """
        assert concept.vector is not None and concept.readout is not None
        config, passages, first = store.config, store.load_passages(), pair.first
        second = pair.second.reading(sorted(set(pair.stitches.partner.values())))
        theirs = record_cached(second, passages.texts)
        # One plain mode for every vector: a gate or a norm from one model means nothing in the other.
        plain = {"method": "mean_difference", "norm_preserving": False, "conditional": False}
        return cls(
            store=store,
            concept=concept,
            vector=concept.vector,
            readout=concept.readout,
            first=first,
            second=second,
            stitches=pair.stitches,
            passages=passages,
            activations=record_cached(first, passages.texts),
            theirs=theirs,
            probe=fit_probe(theirs, concept.membership, passages.document_of, config.clustering, seed),
            prompts=openings(passages.texts, samples, config.generation.prompt_words, seed),
            coherence={
                # Fitted, not loaded: both models are in memory already.
                writer.config.name: Coherence.fit(passages.texts, config.coherence, reader)
                for writer, reader in ((first, second), (second, first))
            },
            updating=config.updating.model_copy(update=plain),
            nats=nats or config.updating.budget_nats,
            seed=seed,
        )

    def run(
        self,
        model: LanguageModel,
        name: str,
        kind: str,
        vectors: Sequence[SteeringVector] = (),
        *,
        numbers: Mapping[str, float | None] | None = None,
        calibrated: bool = False,
    ) -> Trial:
        """Write with the vectors and score the texts by the other model.

        Args:
            calibrated: the vectors have the common strength already.
        """
        logger.info(f"stitch: {model.config.name} writes with {name}")
        if not calibrated:
            ruler = calibration_texts(self.passages.texts, self.updating.calibration_texts)
            tokens = self.updating.calibration_tokens
            vectors = [calibrate(model, vector, ruler, self.nats, tokens)[0] for vector in vectors]
        texts = self._write(model, vectors)
        whole = [prompt + text for prompt, text in zip(self.prompts, texts, strict=True)]
        return Trial(
            name=name,
            model=model.config.name,
            kind=kind,
            vectors=vectors,
            nats=self.nats if vectors else 0.0,
            numbers=numbers or {},
            texts=texts,
            readings=self._read(model, whole),
            coherent=self.coherence[model.config.name].check(texts, list(self.prompts)).coherent,
            leaning=float(np.mean([self._leaning(model, each) for each in vectors])) if vectors else 0.0,
        )

    def _write(self, model: LanguageModel, vectors: Sequence[SteeringVector]) -> list[str]:
        """A continuation of every prompt, whose sampling seed depends on the prompt alone."""
        config, texts = self.store.config.generation, [""] * len(self.prompts)
        for first, vector in enumerate(vectors or [None]):
            turn = range(first, len(self.prompts), max(1, len(vectors)))
            seeds = [seed_for(self.seed, at, "passage") for at in turn]
            written = model.generate([self.prompts[at] for at in turn], seeds, config, vector)
            for at, text in zip(turn, written, strict=True):
                texts[at] = text
        return texts

    def _read(self, writer: LanguageModel, texts: Sequence[str]) -> Float[np.ndarray, "text"]:
        """Scores by the model that did not write the texts, on the scale of real passages."""
        if writer is self.first:
            reader, readout, real = self.second, self.probe.readout, self.theirs
        else:
            reader, readout, real = self.first, self.readout, self.activations
        known, inside = readout.evidence(real), self.concept.inside
        read = readout.evidence(reader.record(list(texts)))
        return on_members_scale(read, float(known[inside].mean()), float(known[~inside].mean()))

    def _leaning(self, model: LanguageModel, vector: SteeringVector) -> float:
        name = model.config.name
        if name not in self.unsteered:
            self.unsteered[name] = self._losses(model)
        with model.steer(vector):
            after = self._losses(model)
        gains = [float(np.nanmean(was - now)) for was, now in zip(self.unsteered[name], after, strict=True)]
        return gains[0] - gains[1]

    def _losses(self, model: LanguageModel) -> list[Float[np.ndarray, "_text"]]:
        """Of some members, then of as many other passages."""
        generator, inside = np.random.default_rng(self.seed), self.concept.inside
        chosen = [
            generator.permutation(np.flatnonzero(part))[:READ_EACH].tolist() for part in (inside, ~inside)
        ]
        texts = self.passages.texts
        return [model.losses([texts[at] for at in part], max_tokens=READ_TOKENS) for part in chosen]
