"""One round's adapter: taught by members and accepted passages, then by preference between what was written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from agent.adapting.config import AdaptingConfig
from agent.adapting.preference import prefer
from agent.adapting.supervised import teach
from agent.adapting.training_data import Written, importance_weights, lesson_weights, log_likelihoods, pairs
from agent.concept import MEMBER, Concept
from agent.language_model.adapter import Adapter
from agent.language_model.model import LanguageModel


@dataclass(frozen=True)
class Adapted:
    """A trained adapter and what is to be told of its training."""

    adapter: Adapter
    metrics: dict[str, float | int]
    """`lesson_loss`, `exponent` (of the importance weights), `pairs`, `preference` (share of pairs won), `rms_nats`."""
    history: list[dict[str, float]]


def adapt(
    language_model: LanguageModel,
    real: Sequence[str],
    membership: Float[np.ndarray, "passage"],
    by_base: Written,
    by_concept: Written,
    last: Concept,
    config: AdaptingConfig,
    *,
    seed: int,
    folder: Path,
) -> Adapted:
    """Train an adapter on a concept.

    Args:
        real, membership: real passages and how far each belongs; those under one half teach nothing.
        by_base: what the base model wrote, by_concept: what `last` wrote, on the same openings. They are the pairs.
        last: the concept whose vector, adapter or both wrote `by_concept`.
        folder: where training keeps its state; a later call with equal arguments goes on from it.

    Raises:
        BasinError: as `teach` and `prefer`.
    """
    written = by_base.joined(by_concept)
    ratio = np.zeros(len(written.texts))
    if by_concept.texts:
        texts, prompts, writer = by_concept.texts, by_concept.prompts, language_model.adapted(last.adapter)
        under_last = log_likelihoods(writer, texts, prompts, last.vector, last.mode)
        ratio[len(by_base.texts) :] = log_likelihoods(language_model, texts, prompts) - under_last
    of_written, exponent = importance_weights(written, ratio)
    weights = lesson_weights(
        np.where(membership >= MEMBER, membership, 0.0), of_written, config.written_share
    )
    adapter, history = teach(
        language_model,
        [*real, *written.whole],
        weights,
        None if config.afresh else last.adapter,
        config.lora,
        seed,
        folder / "teach",
    )
    metrics: dict[str, float | int] = {
        "lesson_loss": float(np.mean([row["loss"] for row in history[-8:]])),
        "exponent": exponent,
    }
    found = pairs(written)[: config.preference.pairs]
    metrics["pairs"] = len(found)
    if found:
        adapter, preferred = prefer(
            language_model, found, adapter, config.preference, config.lora.tokens, seed, folder / "prefer"
        )
        history += preferred
        metrics["preference"] = float(np.mean([row["rewards/accuracies"] for row in preferred[-8:]]))
        if "rms_nats" in preferred[-1]:
            metrics["rms_nats"] = float(np.mean([row["rms_nats"] for row in preferred[-8:]]))
    return Adapted(adapter, metrics, history)
