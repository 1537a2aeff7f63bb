"""One round's adapter: supervised training on members, then preference training on generated pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from agent.adapting.config import AdaptingConfig
from agent.adapting.preference import fit_preferences
from agent.adapting.supervised import fit_lora
from agent.adapting.training_data import Written, importance_weights, lesson_weights, log_likelihoods, pairs
from agent.concept import MEMBER, Concept
from agent.language_model.adapter import Adapter
from agent.language_model.model import LanguageModel

LAST_STEPS = 8
"""Steps that a metric is averaged over."""


@dataclass(frozen=True)
class Adapted:
    """A trained adapter and the metrics of its training."""

    adapter: Adapter
    metrics: dict[str, float | int]
    """`lesson_loss`, `exponent` (of importance weights), `pairs`, `preference`, `rms_nats`."""
    history: list[dict[str, float]]


def adapt(
    language_model: LanguageModel,
    last: Concept,
    config: AdaptingConfig,
    *,
    real: Sequence[str],
    membership: Float[np.ndarray, "passage"],
    by_base: Written,
    by_concept: Written,
    seed: int,
    folder: Path,
) -> Adapted:
    """Train an adapter on a concept.

    Args:
        last: the concept whose vector, adapter or both generated `by_concept`.
        real, membership: real passages and their memberships; those below one half are not used.
        by_base, by_concept: passages by the base model and by `last` on the same openings, for the
            pairs.
        folder: where training keeps its state; a later call with equal arguments resumes from it.

    Raises:
        BasinError: as `fit_lora` and `fit_preferences`.
    """
    written = by_base.joined(by_concept)
    ratio = np.zeros(len(written.texts))
    if by_concept.texts:
        texts, prompts, writer = by_concept.texts, by_concept.prompts, language_model.adapted(last.adapter)
        under_last = log_likelihoods(writer, texts, prompts, last.vector, last.mode)
        ratio[len(by_base.texts) :] = log_likelihoods(language_model, texts, prompts) - under_last
    of_written, exponent = importance_weights(written, ratio)
    members = np.where(membership >= MEMBER, membership, 0.0)
    adapter, history = fit_lora(
        language_model,
        [*real, *written.whole],
        lesson_weights(members, of_written, config.written_share),
        config.lora,
        seed=seed,
        folder=folder / "lora",
        start=None if config.afresh else last.adapter,
    )
    metrics: dict[str, float | int] = {"lesson_loss": _late_mean(history, "loss"), "exponent": exponent}
    found = pairs(written)[: config.preference.pairs]
    metrics["pairs"] = len(found)
    if found:
        adapter, preferred = fit_preferences(
            language_model,
            found,
            adapter,
            config.preference,
            tokens=config.lora.tokens,
            seed=seed,
            folder=folder / "preference",
        )
        history += preferred
        metrics["preference"] = _late_mean(preferred, "rewards/accuracies")
        if "rms_nats" in preferred[-1]:
            metrics["rms_nats"] = _late_mean(preferred, "rms_nats")
    return Adapted(adapter, metrics, history)


def _late_mean(history: Sequence[dict[str, float]], name: str) -> float:
    return float(np.mean([row[name] for row in history[-LAST_STEPS:]]))
