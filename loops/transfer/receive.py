"""A successor before it refines: the concept carried over, and the checks."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from agent.concept import Concept
from agent.errors import BasinError
from agent.language_model.activation_cache import record_cached
from agent.language_model.model import LanguageModel
from agent.membership.documents import document_mean
from agent.steering.vector import SteeringVector
from agent.transfer.handover import Carried, Handover, hand_over
from agent.transfer.learn import Stitches, learn
from agent.transfer.translate import translate, translate_readout
from agent.types import PassageSet
from agent.updating.calibration import calibrate, calibration_texts
from loops.checkpoint.store import RunStore
from loops.config import ChainConfig, LinkConfig, RunConfig
from loops.records import RoundRecord, refuse_other_model
from loops.transfer.general_text import general_texts

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Predecessor:
    """The run that hands its concept on, at its newest round."""

    store: RunStore
    record: RoundRecord
    passages: PassageSet

    @classmethod
    def of(cls, store: RunStore) -> Predecessor:
        return cls(store, store.load(store.rounds()[-1]), store.load_passages())


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
        handover, updating = self.handover, self.config.updating
        vector, nats = handover.vector, 0.0
        if vector is not None:
            ruler = calibration_texts(passages.texts, updating.calibration_texts)
            budget, tokens = updating.budget_nats, updating.calibration_tokens
            vector, nats = calibrate(self.language_model, vector, ruler, budget, tokens)
        return Concept(
            0,
            handover.membership,
            handover.single,
            document_mean(handover.single, passages.document_of),
            float(handover.membership.mean()),
            evidence=handover.evidence,
            vector=vector,
            nats_per_token=nats,
        )


def receive(
    predecessor: Predecessor, link: LinkConfig, config: ChainConfig, *, seed: int, folder: Path
) -> Successor:
    """Load the successor, carry the concept over, and check that it arrived.

    Args:
        folder: of the improved model, where the link improves the predecessor's.

    Raises:
        BasinError: the successor's model cannot be loaded, or maps cannot be learnt.
    """
    record, passages = predecessor.record, predecessor.passages
    own = LanguageModel.load(predecessor.store.config.language_model)
    refuse_other_model(predecessor.store.name, [record], own)
    if link.language_model is None:
        successor = _improved(own, predecessor, link, config, seed=seed, folder=folder)
    else:
        successor = LanguageModel.load(link.language_model)
    stitches: Stitches | None = None
    if link.by != "intersection":
        texts, parts = general_texts(config.stitching, passages, config.run.seed)
        affine = config.stitching.model_copy(update={"methods": ("affine",)})
        stitches = learn(own, successor, texts, parts, layers=own.layers, config=affine, seed=seed)
    partners = () if stitches is None else stitches.partner.values()
    receiver = successor.reading(sorted({*successor.layers, *partners}))
    if record.concept.adapter is not None and link.improved != "own_adapter":
        logger.info(
            f"The adapter of round {record.round} of {predecessor.store.name} stays behind: no map carries it."
        )
    handed = _corrupted(record.concept, link, seed)
    handover = hand_over(
        handed,
        record_cached(receiver, passages.texts, also_for=successor),
        receiver.layers,
        passages.document_of,
        by=link.by,
        carried=None if stitches is None else _carry(handed, own, receiver, stitches),
        clustering=config.run.clustering,
        config=config.handover,
        seed=seed,
    )
    tokens = 0 if stitches is None else stitches.tokens
    return Successor(successor, _own_config(config.run, link, successor, record.concept), handover, tokens)


def _improved(
    language_model: LanguageModel,
    predecessor: Predecessor,
    link: LinkConfig,
    config: ChainConfig,
    *,
    seed: int,
    folder: Path,
) -> LanguageModel:
    """The model with an adapter merged into its weights, saved as a model folder of its own."""
    if not (folder / "config.json").exists():
        if link.improved == "own_adapter":
            if (adapter := predecessor.record.concept.adapter) is None:
                raise BasinError(
                    "The predecessor's last round has no adapter to go on with; set updating.adapter_from, or improve by "
                    "more_text."
                )
        elif link.improved == "more_text":
            from agent.adapting.supervised import fit_lora  # slow to import, and most chains do without

            general = config.stitching.model_copy(update={"passages": config.study})
            texts, _ = general_texts(general, predecessor.passages, seed)
            lora = config.run.updating.adapting.lora.model_copy(update={"passages": len(texts)})
            weights = np.ones(len(texts))
            adapter, _ = fit_lora(
                language_model, texts, weights, lora, seed=seed, folder=folder / ".training"
            )
        else:
            raise BasinError(
                "A link without a language_model has to say how the last one's is improved: own_adapter or more_text."
            )
        language_model.adapted(adapter).save(folder)
    return LanguageModel.load(language_model.config.model_copy(update={"name": str(folder)}))


def _corrupted(concept: Concept, link: LinkConfig, seed: int) -> Concept:
    """The concept as it is handed over, corrupted where the link asks for it."""
    generator = np.random.default_rng(seed)
    if link.planted == "shuffled_concept":
        return replace(concept, membership=generator.permutation(concept.membership))
    if link.planted == "shuffled_vector" and concept.vector is not None:
        shuffled = {
            layer: direction[generator.permutation(len(direction))]
            for layer, direction in concept.vector.directions.items()
        }
        return replace(concept, vector=SteeringVector(shuffled))
    return concept


def _carry(concept: Concept, own: LanguageModel, successor: LanguageModel, stitches: Stitches) -> Carried:
    """Readout and vector through the affine maps."""
    if concept.readout is None:
        raise BasinError(
            "The concept has no readout to hand over by stitching; let its run make a round first."
        )
    back = {layer: (stitches.partner[layer], each.carrier) for layer, each in stitches.back["affine"].items()}
    return Carried(
        readout=translate_readout(concept.readout, own.layers, successor.layers, back),
        vector=concept.vector and translate(concept.vector, stitches.ways(stitches.there["affine"])),
        deviations={
            stitches.partner[layer]: gathered.moments[0].deviations[1]
            for layer, gathered in stitches.gathered.items()
        },
    )


def _own_config(run: RunConfig, link: LinkConfig, successor: LanguageModel, concept: Concept) -> RunConfig:
    """The successor's run: its own model, the concept's size, and no trust in the pointer."""
    reader = run.coherence.model
    if reader == successor.config.name:
        reader = run.language_model.name
    fading = run.clustering.fading.model_copy(update={"rounds": 1})
    size = float(concept.membership.mean())
    return run.model_copy(
        update={
            "language_model": successor.config,
            "coherence": run.coherence.model_copy(update={"model": reader}),
            "clustering": run.clustering.model_copy(update={"size": size, "fading": fading}),
            "updating": run.updating.model_copy(update={"layers": ()}),
            "rounds": link.rounds or run.rounds,
        }
    )
