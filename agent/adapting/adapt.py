"""One round's adapter: supervised training on claimed documents and weighted generated passages.

This is expert iteration (Anthony et al. 1705.08439): sample, keep the good samples, learn from
them. A passage by the base model weighs its membership m. A passage by the concept weighs m p / q,
with its likelihoods under the base model and under its generator (distributional policy gradients,
Khalifa et al. 2012.11635). Over a hundred tokens that ratio is dominated by a few passages, so it
is tempered until half of them are effective.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from agent.adapting.config import AdaptingConfig
from agent.adapting.contrast import contrasted
from agent.adapting.lesson import Lesson, draw_documents, with_written
from agent.adapting.supervised import MEMBER_LOSS, OTHER_LOSS, fit_lora
from agent.concept import Concept
from agent.language_model.adapter import Adapter
from agent.language_model.decoding.particles import effective_size
from agent.language_model.model import LanguageModel
from agent.steering.vector import SteeringVector
from agent.types import PassageSet

LAST_STEPS = 8  # steps that a metric is averaged over
EFFECTIVE_SHARE = 0.5


@dataclass(frozen=True)
class Written:
    """Generated passages with the loop's own judgements; gold labels never enter."""

    prompts: Sequence[str]
    texts: Sequence[str]
    """Continuations, without the prompts."""
    membership: Float[np.ndarray, "text"]
    coherent: Bool[np.ndarray, "text"]

    @property
    def whole(self) -> list[str]:
        return [prompt + text for prompt, text in zip(self.prompts, self.texts, strict=True)]

    def joined(self, other: Written) -> Written:
        """These passages, then the others."""
        return Written(
            [*self.prompts, *other.prompts],
            [*self.texts, *other.texts],
            np.concatenate([self.membership, other.membership]),
            np.concatenate([self.coherent, other.coherent]),
        )


def adapt(
    language_model: LanguageModel,
    last: Concept,
    config: AdaptingConfig,
    *,
    corpus: Adapter | None,
    passages: PassageSet,
    membership: Float[np.ndarray, "passage"],
    by_base: Written,
    by_concept: Written,
    seed: int,
    folder: Path,
) -> tuple[Adapter, dict[str, float | int | str]]:
    """Train an adapter on a concept, from the corpus's and against it, without the last one's faults.

    Its metrics are `lesson_tokens`, `lesson_loss`, `exponent` (of importance weights), and the
    held-out losses at the end, `member_loss` and `other_loss`, in nats per token. Their curves are
    `tokens:loss` of each measurement.

    Args:
        corpus: the adapter of all documents, from which training starts; None: the base model.
        last: the concept whose vector, adapter or both generated `by_concept`.
        membership: of the real passages; documents without one of at least one half are not used.
        by_base, by_concept: passages by the base model and by `last` on the same openings.
        folder: where training keeps its state; a later call with equal arguments resumes from it.

    Raises:
        BasinError: as `draw_documents` and `fit_lora`.
    """
    written = by_base.joined(by_concept)
    ratio = np.zeros(len(written.texts))
    base = language_model.adapted(corpus)
    if by_concept.texts:
        texts, prompts, writer = by_concept.texts, by_concept.prompts, language_model.adapted(last.adapter)
        under_last = log_likelihoods(writer, texts, prompts, last.vector)
        ratio[len(by_base.texts) :] = log_likelihoods(base, texts, prompts) - under_last
    of_written, exponent = importance_weights(written, ratio)
    real = draw_documents(language_model, passages, membership, config.lesson, seed)
    lesson = with_written(language_model, real, written.whole, of_written, config.lesson, seed=seed)
    adapter, history = fit_lora(
        language_model, lesson, config.lora, seed=seed, folder=folder / "lora", start=corpus
    )
    if corpus is not None and config.contrast:
        adapter = contrasted(adapter, corpus, config.contrast)
    metrics: dict[str, float | int | str] = {
        "lesson_tokens": lesson.tokens,
        "lesson_loss": _late_mean(history, "loss"),
        "exponent": exponent,
    }
    metrics |= held_out_losses(history, lesson, config.lora.batch)
    return adapter, metrics


def held_out_losses(
    history: Sequence[dict[str, float]], lesson: Lesson, batch: int
) -> dict[str, float | str]:
    """Losses at the end of training, and their curves; empty without held-out windows."""
    metrics: dict[str, float | str] = {}
    tokens_a_step = lesson.tokens * batch / len(lesson.rows)
    for name, of_trainer in (("member_loss", MEMBER_LOSS), ("other_loss", OTHER_LOSS)):
        if found := [(row["step"], row[of_trainer]) for row in history if of_trainer in row]:
            metrics[name] = found[-1][1]
            metrics[f"{name}_curve"] = " ".join(
                f"{step * tokens_a_step:.0f}:{loss:.4f}" for step, loss in found
            )
    return metrics


def _late_mean(history: Sequence[dict[str, float]], name: str) -> float:
    return float(np.mean([row[name] for row in history if name in row][-LAST_STEPS:]))


def log_likelihoods(
    language_model: LanguageModel,
    texts: Sequence[str],
    prompts: Sequence[str],
    vector: SteeringVector | None = None,
) -> Float[np.ndarray, "text"]:
    """log p(text | prompt) in nats, summed over tokens, of the steered model."""
    with language_model.steer(vector):
        return np.array([-float(each.sum()) for each in language_model.token_losses(texts, prompts)])


def importance_weights(
    written: Written, log_ratio: Float[np.ndarray, "text"]
) -> tuple[Float[np.ndarray, "text"], float]:
    """Weights `m (p / q)^a` of coherent passages, 0 of others, with mean 1; and a.

    a is the largest exponent in [0, 1] that keeps half of the effective number of passages (sum
    w)^2 / sum w^2 (Kish 1965): the likelihood tempering of Del Moral et al. (2006). At 1 the
    weights are exact.

    Args:
        log_ratio: log p - log q in nats, 0 for passages by the base model.
    """
    plain = np.where(written.coherent, written.membership, 0.0)
    if not plain.sum() > 0:
        return np.zeros_like(plain), 1.0
    centred = log_ratio - log_ratio[plain > 0].max()

    def weights(exponent: float) -> Float[np.ndarray, "text"]:
        return np.asarray(plain * np.exp(exponent * np.minimum(centred, 0.0)))

    wanted = EFFECTIVE_SHARE * effective_size(plain)
    low, high = (1.0, 1.0) if effective_size(weights(1.0)) >= wanted else (0.0, 1.0)
    for _ in range(40):
        if high - low < 1e-6:
            break
        middle = (low + high) / 2
        low, high = (middle, high) if effective_size(weights(middle)) >= wanted else (low, middle)
    found = weights(low)
    return found / found.mean(), low
