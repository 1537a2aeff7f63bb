"""One round's adapter: supervised training on members, then preference training on generated pairs.

The lesson is members and weighted generated passages. This is expert iteration (Anthony et al.
1705.08439): sample, keep the good samples, learn from them. A passage by the base model weighs its
membership m. A passage by the concept weighs m p / q, with its likelihoods under the base model and
under its generator (distributional policy gradients, Khalifa et al. 2012.11635). Over a hundred
tokens that ratio is dominated by a few passages, so it is tempered until half of them are effective.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from agent.adapting.config import AdaptingConfig
from agent.adapting.preference import Pair, fit_preferences
from agent.adapting.supervised import fit_lora
from agent.concept import MEMBER, Concept
from agent.language_model.adapter import Adapter
from agent.language_model.model import LanguageModel
from agent.steering.gate import PLAIN, SteeringMode
from agent.steering.vector import SteeringVector

LAST_STEPS = 8
"""Steps that a metric is averaged over."""
EFFECTIVE_SHARE = 0.5
CLEAR = 0.1
"""Smallest difference in membership between the chosen and the rejected passage."""


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
    real: Sequence[str],
    membership: Float[np.ndarray, "passage"],
    by_base: Written,
    by_concept: Written,
    seed: int,
    folder: Path,
) -> tuple[Adapter, dict[str, float | int]]:
    """Train an adapter on a concept, from the base model, without the faults of the last adapter.

    Its metrics are `lesson_loss`, `exponent` (of importance weights), `pairs`, `preference` and
    `rms_nats`.

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
        metrics["preference"] = _late_mean(preferred, "rewards/accuracies")
        if "rms_nats" in preferred[-1]:
            metrics["rms_nats"] = _late_mean(preferred, "rms_nats")
    return adapter, metrics


def _late_mean(history: Sequence[dict[str, float]], name: str) -> float:
    return float(np.mean([row[name] for row in history[-LAST_STEPS:]]))


def log_likelihoods(
    language_model: LanguageModel,
    texts: Sequence[str],
    prompts: Sequence[str],
    vector: SteeringVector | None = None,
    mode: SteeringMode = PLAIN,
) -> Float[np.ndarray, "text"]:
    """log p(text | prompt) in nats, summed over tokens, of the steered model."""
    with language_model.steer(vector, mode=mode):
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

    wanted = EFFECTIVE_SHARE * _effective(plain)
    low, high = (1.0, 1.0) if _effective(weights(1.0)) >= wanted else (0.0, 1.0)
    for _ in range(40):
        if high - low < 1e-6:
            break
        middle = (low + high) / 2
        low, high = (middle, high) if _effective(weights(middle)) >= wanted else (low, middle)
    found = weights(low)
    return found / found.mean(), low


def lesson_weights(
    real: Float[np.ndarray, "passage"], written: Float[np.ndarray, "text"], written_share: float
) -> Float[np.ndarray, "lesson"]:
    """Weights of real, then generated passages, which have `written_share` of the sum."""
    parts = [(real, 1 - written_share if written.sum() > 0 else 1.0), (written, written_share)]
    return np.concatenate([share * part / part.sum() if part.sum() > 0 else part for part, share in parts])


def pairs(written: Written, clear: float = CLEAR) -> list[Pair]:
    """One pair per opening: its best coherent passage, and the worst clearly worse one.

    Worse are incoherent passages, and those whose membership is lower by `clear`. The incoherent
    come first: the adapter should avoid nonsense in the right words. No fixed membership is
    required, because few passages reach one before training. Pairs are in falling order of the
    chosen passage's membership.
    """
    by_prompt: dict[str, list[int]] = {}
    for index, prompt in enumerate(written.prompts):
        by_prompt.setdefault(prompt, []).append(index)
    found = []
    for prompt, rows in by_prompt.items():
        good = [row for row in rows if written.coherent[row]]
        if not good:
            continue
        best = max(good, key=lambda row: written.membership[row])
        limit = written.membership[best] - clear
        worse = [row for row in rows if not written.coherent[row] or written.membership[row] <= limit]
        if worse:
            worst = min(worse, key=lambda row: (written.coherent[row], written.membership[row]))
            chosen = float(written.membership[best])
            found.append((chosen, Pair(prompt, written.texts[best], written.texts[worst])))
    return [pair for _, pair in sorted(found, key=lambda each: -each[0])]


def _effective(weights: Float[np.ndarray, "text"]) -> float:
    return float(weights.sum() ** 2 / np.square(weights).sum())
