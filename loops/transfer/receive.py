"""A successor before it refines: the concept carried over, and the checks."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agent.concept import Concept
from agent.errors import BasinError
from agent.language_model.activation_cache import record_cached
from agent.language_model.model import LanguageModel
from agent.membership.documents import document_mean
from agent.steering.vector import SteeringVector
from agent.transfer.handover import Carried, Handover, hand_over
from agent.transfer.learn import Stitches, general_texts, learn
from agent.transfer.translate import translate, translate_readout
from agent.types import PassageSet
from agent.updating.calibration import calibrate, calibration_texts
from loops.checkpoint.run_models import refuse_other_model
from loops.checkpoint.store import RunStore
from loops.config import ChainConfig, LinkConfig, RunConfig

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Successor:
    """A model that has received the concept and not refined it yet."""

    language_model: LanguageModel
    """Recorded at the layers of a run of its own, not at the predecessor's partners."""
    config: RunConfig
    handover: Handover
    tokens: int
    """Pairs of tokens that maps were learnt from; 0 without maps."""

    def first_concept(self, passages: PassageSet) -> Concept:
        """The concept of its round 0, with the vector calibrated in this model."""
        probe, updating = self.handover.probe, self.config.updating
        vector, nats = self.handover.vector, 0.0
        if vector is not None:
            ruler = calibration_texts(passages.texts, updating.calibration_texts)
            budget, tokens = updating.budget_nats, updating.calibration_tokens
            vector, nats = calibrate(self.language_model, vector, ruler, budget, tokens)
        return Concept(
            0,
            probe.membership,
            probe.single,
            document_mean(probe.single, passages.document_of),
            float(probe.membership.mean()),
            evidence=probe.evidence,
            vector=vector,
            nats_per_token=nats,
        )


def receive(
    predecessor: RunStore, link: LinkConfig, config: ChainConfig, *, seed: int, folder: Path
) -> Successor:
    """Load the successor, carry the concept of the predecessor's newest round over, and check that
    it arrived.

    Args:
        folder: of the improved model, where the link improves the predecessor's.

    Raises:
        BasinError: the successor's model cannot be loaded, or maps cannot be learnt.
    """
    record, passages = predecessor.load(predecessor.rounds()[-1]), predecessor.load_passages()
    own = LanguageModel.load(predecessor.config.language_model)
    refuse_other_model(predecessor, [record], own)
    if link.language_model is not None:
        successor = LanguageModel.load(link.language_model)
    else:
        successor = _improved(own, passages, config, seed=seed, folder=folder)
    stitches: Stitches | None = None
    if link.by == "both":
        texts, use = general_texts(config.stitching, passages, config.run.seed)
        stitches = learn(own, successor, texts, use, layers=own.layers, seed=seed)
    partners = () if stitches is None else stitches.partner.values()
    receiver = successor.reading(sorted({*successor.layers, *partners}))
    if record.concept.adapter is not None:
        logger.info(
            f"The adapter of round {record.round} of {predecessor.name} stays behind: no map carries it."
        )
    vector = record.concept.vector
    if link.planted and vector is not None:
        vector = _shuffled(vector, seed)
    handover = hand_over(
        record.concept,
        record_cached(receiver, passages.texts, also_for=successor),
        receiver.layers,
        passages.document_of,
        carried=None if stitches is None else _carry(record.concept, vector, own, receiver, stitches),
        clustering=config.run.clustering,
        config=config.handover,
        seed=seed,
    )
    tokens = 0 if stitches is None else stitches.tokens
    return Successor(successor, _own_config(config.run, link, successor, record.concept), handover, tokens)


def _improved(
    language_model: LanguageModel, own: PassageSet, config: ChainConfig, *, seed: int, folder: Path
) -> LanguageModel:
    """The model trained on more general text by LoRA and merged, saved as a model folder of its own."""
    if not (folder / "config.json").exists():
        from agent.adapting.lesson import draw  # slow to import, and most chains do without
        from agent.adapting.supervised import fit_lora

        general = config.stitching.model_copy(update={"passages": config.study})
        texts, _ = general_texts(general, own, seed)
        adapting, training = config.run.updating.adapting, folder / ".training"
        lesson = draw(language_model, texts, np.ones(len(texts)), adapting.lesson, seed)
        adapter, _ = fit_lora(language_model, lesson, adapting.lora, seed=seed, folder=training)
        language_model.adapted(adapter).save(folder)
    return LanguageModel.load(language_model.config.model_copy(update={"name": str(folder)}))


def _shuffled(vector: SteeringVector, seed: int) -> SteeringVector:
    """The vector with its coordinates shuffled: a planted failure."""
    generator = np.random.default_rng(seed)
    return SteeringVector(
        {
            layer: direction[generator.permutation(len(direction))]
            for layer, direction in vector.directions.items()
        }
    )


def _carry(
    concept: Concept,
    vector: SteeringVector | None,
    own: LanguageModel,
    successor: LanguageModel,
    stitches: Stitches,
) -> Carried:
    """The concept's readout and a vector through the affine maps."""
    if concept.readout is None:
        raise BasinError(
            "The concept has no readout to hand over by stitching; let its run make a round first."
        )
    back = {each.layer: (each.partner, each.back["affine"]) for each in stitches.maps}
    return Carried(
        readout=translate_readout(concept.readout, own.layers, successor.layers, back),
        vector=vector and translate(vector, stitches.ways_there("affine")),
        deviations={each.partner: each.partner_deviations for each in stitches.maps},
    )


def _own_config(run: RunConfig, link: LinkConfig, successor: LanguageModel, concept: Concept) -> RunConfig:
    """The successor's run: its own model, the concept's size, and no trust in the pointer."""
    reader = run.coherence.model
    if reader == successor.config.name:
        reader = run.language_model.name
    size = float(concept.membership.mean())
    return run.model_copy(
        update={
            "language_model": successor.config,
            "coherence": run.coherence.model_copy(update={"model": reader}),
            "clustering": run.clustering.model_copy(update={"size": size, "trust": 0.0, "falling": 1}),
            "updating": run.updating.model_copy(update={"layers": ()}),
            "rounds": link.rounds or run.rounds,
        }
    )
