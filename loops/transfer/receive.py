"""What a successor is given before it refines anything: the concept through maps, by intersection, or both, and the checks."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from agent.concept import Concept
from agent.errors import BasinError
from agent.language_model.activation_cache import record_cached
from agent.language_model.model import LanguageModel
from agent.membership.documents import document_mean
from agent.steering.vector import SteeringVector
from agent.transfer.handover import Handover, Stitched, hand_over
from agent.transfer.learn import Stitches, learn
from agent.transfer.translate import translate, translate_readout
from agent.types import PassageSet, seed_for
from agent.updating.calibration import calibrate, calibration_texts
from loops.checkpoint.store import RunStore
from loops.config import ChainConfig, LinkConfig, RunConfig
from loops.records import RoundRecord, refuse_other_model
from loops.transfer.general_text import general_texts

logger = logging.getLogger(__name__)


def improved_model(
    language_model: LanguageModel,
    concept: Concept,
    link: LinkConfig,
    config: ChainConfig,
    own: PassageSet,
    folder: Path,
    seed: int,
) -> LanguageModel:
    """The model with an adapter merged into its weights, saved as a model folder of its own, which any tool can load.

    Raises:
        BasinError: it is not said how to improve it, its run trained no adapter, or the folder cannot be written.
    """
    if not (folder / "config.json").exists():
        if link.improved == "own_adapter":
            if concept.adapter is None:
                raise BasinError(
                    "The predecessor's last round has no adapter to go on with; set updating.adapter_from, or improve by "
                    "more_text."
                )
            adapter = concept.adapter
        elif link.improved == "more_text":
            from agent.adapting.supervised import fit_lora  # slow to import, and most chains do without

            general = config.stitching.model_copy(update={"passages": config.study})
            texts, _ = general_texts(general, own, seed)
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


@dataclass(frozen=True)
class Heir:
    """A successor that has received the concept and not refined it yet."""

    language_model: LanguageModel
    """Read where a run of its own would read it: a partner of the predecessor's layers need not be where it sees most."""
    config: RunConfig
    handover: Handover
    tokens: int
    """Pairs of tokens that maps were learnt from; 0 without maps."""


def receive(
    number: int, link: LinkConfig, config: ChainConfig, good: RunStore, record: RoundRecord, folder: Path
) -> Heir:
    """Load the successor, carry the concept over, and check that it arrived.

    Raises:
        BasinError: the successor's model cannot be had, or maps cannot be learnt.
    """
    passages = good.load_passages()
    seed = seed_for(config.run.seed, number, "succession")
    own = LanguageModel.load(good.config.language_model)
    refuse_other_model(good.name, [record], own)
    if link.language_model is None:
        successor = improved_model(
            own, record.concept, link, config, passages, folder / f"{number:02d}_model", seed
        )
    else:
        successor = LanguageModel.load(link.language_model)
    stitches: Stitches | None = None
    if link.by != "intersection":
        texts, parts = general_texts(config.stitching, passages, config.run.seed)
        maps = config.stitching.model_copy(update={"methods": ("affine",)})
        stitches = learn(own, successor, texts, parts, own.layers, maps, seed)
    partners = () if stitches is None else stitches.partner.values()
    receiver = successor.reading(sorted({*successor.layers, *partners}))
    if record.concept.adapter is not None and link.improved != "own_adapter":
        logger.info(
            f"The adapter of round {record.round} of {good.name} stays behind: no map takes it to another model."
        )
    handed = _spoiled(record.concept, link, seed)
    theirs = record_cached(receiver, passages.texts, also_for=successor)
    stitched = None if stitches is None else _carried(handed, own, receiver, stitches)
    handover = hand_over(
        handed,
        theirs,
        receiver.layers,
        passages.document_of,
        link.by,
        stitched,
        clustering=config.run.clustering,
        config=config.handover,
        seed=seed,
    )
    tokens = 0 if stitches is None else next(iter(stitches.gathered.values())).tokens
    return Heir(successor, _own_config(config.run, link, successor, record.concept), handover, tokens)


def _spoiled(concept: Concept, link: LinkConfig, seed: int) -> Concept:
    """The concept as it is handed over; spoiled where that was asked for."""
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


def _carried(concept: Concept, own: LanguageModel, successor: LanguageModel, stitches: Stitches) -> Stitched:
    """Readout and vector through the maps."""
    if concept.readout is None:
        raise BasinError(
            "The concept has no readout to hand over by stitching; let its run make a round first."
        )
    back = {
        layer: (stitches.partner[layer], fitted.carrier) for layer, fitted in stitches.back["affine"].items()
    }
    deviations = {
        stitches.partner[layer]: gathered.moments[0].deviations[1]
        for layer, gathered in stitches.gathered.items()
    }
    vector = concept.vector and translate(concept.vector, stitches.ways(stitches.there["affine"]))
    readout = translate_readout(concept.readout, own.layers, successor.layers, back)
    return Stitched(readout, vector, deviations)


def _own_config(config: RunConfig, link: LinkConfig, successor: LanguageModel, concept: Concept) -> RunConfig:
    """The successor's run: its own model, the concept's size, no trust in the pointer, and another model for a reader."""
    reader = config.coherence.model
    if reader == successor.config.name:
        reader = config.language_model.name
    clustering = config.clustering.model_copy(
        update={
            "size": float(concept.membership.mean()),
            "fading": config.clustering.fading.model_copy(update={"rounds": 1}),
        }
    )
    return config.model_copy(
        update={
            "language_model": successor.config,
            "coherence": config.coherence.model_copy(update={"model": reader}),
            "clustering": clustering,
            "updating": config.updating.model_copy(update={"layers": ()}),
            "rounds": link.rounds or config.rounds,
        }
    )


def received(heir: Heir, texts: Sequence[str], document_of: np.ndarray) -> Concept:
    """What the successor begins with; a vector that came through maps is given the strength that is native here."""
    handover, updating = heir.handover, heir.config.updating
    vector, nats = handover.vector, 0.0
    if vector is not None:
        ruler = calibration_texts(texts, updating.calibration_texts)
        vector, nats = calibrate(
            heir.language_model, vector, ruler, updating.budget_nats, updating.calibration_tokens
        )
    pooled = document_mean(handover.single, document_of)
    size = float(handover.membership.mean())
    return Concept(
        0,
        handover.membership,
        handover.single,
        pooled,
        size,
        evidence=handover.evidence,
        vector=vector,
        nats_per_token=nats,
    )
