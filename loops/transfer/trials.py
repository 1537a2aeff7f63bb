"""Trials of steering vectors in two models with the same prompts, seeds and readers."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from agent.clustering.probe import Probe, fit_probe
from agent.concept import Concept, Readout
from agent.language_model.activation_cache import record_cached
from agent.language_model.coherence import Coherence
from agent.language_model.load import LanguageModelConfig
from agent.language_model.model import LanguageModel
from agent.steering.vector import SteeringVector
from agent.transfer.effect import on_members_scale
from agent.transfer.learn import Stitches, StitchingConfig, general_texts, learn
from agent.types import PassageSet, seed_for
from agent.updating.calibration import calibrate, calibration_texts
from loops.checkpoint.run_models import refuse_other_model
from loops.checkpoint.store import RunStore
from loops.records import RoundRecord
from loops.round.writing import openings

logger = logging.getLogger(__name__)

NATIVE, BASE = "native", "base"
COMPARED = ("translated", "control")
"""Kinds of vector that are compared with the native one."""
DRAWS = 6
"""Draws of each control: one alone may work by chance."""


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
    numbers: Mapping[str, float | None]
    """Of the vector itself: unexplained variance of its map, cosines."""
    texts: Sequence[str]
    readings: Float[np.ndarray, "text"]
    """By the other model's concept: 0 at real passages outside, 1 at real members."""
    coherent: Bool[np.ndarray, "text"]


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
    coherence: dict[str, Coherence]
    """By the name of the model that writes; the other one reads."""
    nats: float
    seed: int

    @classmethod
    def of(
        cls,
        store: RunStore,
        record: RoundRecord,
        to: str,
        config: StitchingConfig,
        *,
        nats: float | None,
        samples: int,
    ) -> Setup:
        """Learn the maps, record the run's passages in both models, and fit the probe.

        Raises:
            BasinError: the model `to` cannot be loaded, or there is too little general text.
        """
        concept, run, passages = record.concept, store.config, store.load_passages()
        assert concept.vector is not None and concept.readout is not None
        seed = seed_for(run.seed, 0, "stitch")
        first = LanguageModel.load(run.language_model)
        refuse_other_model(store, [record], first)
        second = LanguageModel.load(LanguageModelConfig(name=to))
        texts, use = general_texts(config, passages, run.seed)
        stitches = learn(first, second, texts, use, layers=first.layers, seed=seed, draws=DRAWS)
        second = second.reading(sorted(set(stitches.partner.values())))
        theirs = record_cached(second, passages.texts)
        return cls(
            store=store,
            concept=concept,
            vector=concept.vector,
            readout=concept.readout,
            first=first,
            second=second,
            stitches=stitches,
            passages=passages,
            activations=record_cached(first, passages.texts),
            theirs=theirs,
            probe=fit_probe(theirs, concept.membership, passages.document_of, run.clustering, seed),
            prompts=openings(passages.texts, samples, run.generation.prompt_words, seed),
            coherence={
                # Fitted, not loaded: both models are in memory already.
                writer.config.name: Coherence.fit(passages.texts, run.coherence, reader)
                for writer, reader in ((first, second), (second, first))
            },
            nats=nats or run.updating.budget_nats,
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
    ) -> Trial:
        """Write with the vectors, at the common strength, and score the texts by the other model."""
        logger.info(f"stitch: {model.config.name} writes with {name}")
        updating = self.store.config.updating
        ruler = calibration_texts(self.passages.texts, updating.calibration_texts)
        tokens = updating.calibration_tokens
        vectors = [calibrate(model, vector, ruler, self.nats, tokens)[0] for vector in vectors]
        texts = self._write(model, vectors)
        whole = [prompt + text for prompt, text in zip(self.prompts, texts, strict=True)]
        if kind == BASE:  # the first of a model's trials
            self.coherence[model.config.name] = self.coherence[model.config.name].fair_to(texts, self.prompts)
        return Trial(
            name=name,
            model=model.config.name,
            kind=kind,
            vectors=vectors,
            numbers=numbers or {},
            texts=texts,
            readings=self._read(model, whole),
            coherent=self.coherence[model.config.name].check(texts, list(self.prompts)).coherent,
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
