"""What the next adapter is taught: real members, and what was written, weighted towards the exact target p(x) m(x) / Z.

Expert iteration (Anthony et al. 1705.08439): sample, keep what is good, learn from it. A passage that the base model wrote
counts as its membership; one that the concept wrote counts as membership times p / q, its likelihood under the base model over
that under what wrote it (the weights of distributional policy gradients, Khalifa et al. 2012.11635). Over a hundred tokens that
ratio hangs on a few passages, so it is tempered just as far as keeps half of them effective, and the exponent is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from agent.adapting.preference import Pair
from agent.language_model.model import LanguageModel
from agent.steering.gate import PLAIN, SteeringMode
from agent.steering.vector import SteeringVector

EFFECTIVE_SHARE = 0.5
CLEAR = 0.1
"""By how much less a rejected passage has to belong than the chosen one."""


@dataclass(frozen=True)
class Written:
    """Passages that some generator wrote, as the loop has judged them: no gold label has been near."""

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


def log_likelihoods(
    language_model: LanguageModel,
    texts: Sequence[str],
    prompts: Sequence[str],
    vector: SteeringVector | None = None,
    mode: SteeringMode = PLAIN,
) -> Float[np.ndarray, "text"]:
    """log p(text | prompt) in nats, summed over tokens, of the model as it is steered."""
    with language_model.steer(vector, mode=mode):
        return np.array([-float(each.sum()) for each in language_model.token_losses(texts, prompts)])


def importance_weights(
    written: Written, log_ratio: Float[np.ndarray, "text"]
) -> tuple[Float[np.ndarray, "text"], float]:
    """`m (p / q)^a` of the coherent passages, 0 of the others, with mean 1 where any has weight; and the exponent a.

    The exponent is the largest in [0, 1] at which the effective number of passages, (sum w)^2 / sum w^2 (Kish 1965), is at
    least half of what it is without the ratio; the likelihood tempering of Del Moral et al. (2006). At 1 the weights are exact.

    Args:
        log_ratio: log p - log q in nats, 0 for passages of the base model itself.
    """
    plain = np.where(written.coherent, written.membership, 0.0)
    if not plain.sum() > 0:
        return np.zeros_like(plain), 1.0
    centred = log_ratio - log_ratio[plain > 0].max()

    def weights(exponent: float) -> Float[np.ndarray, "text"]:
        return plain * np.exp(exponent * np.minimum(centred, 0.0))

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
    """One array over real passages, then written ones; the latter have `written_share` of the sum, or none to give."""
    parts = [(real, 1 - written_share if written.sum() > 0 else 1.0), (written, written_share)]
    return np.concatenate([share * part / part.sum() if part.sum() > 0 else part for part, share in parts])


def pairs(written: Written, clear: float = CLEAR) -> list[Pair]:
    """One pair for every opening: its coherent passage that belongs most, against the worst that is clearly worse.

    Worse is what belongs less by `clear`, or is not coherent, and of those the incoherent first: nonsense in the right words
    is to be told from the real thing. No passage has to pass a fixed membership, for few do before there is anything to learn
    from; the pairs whose chosen passage belongs most come first, so that a limit on their number keeps those.
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
