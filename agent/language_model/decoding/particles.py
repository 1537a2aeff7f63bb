"""Sampling to a moment: block-wise sequential Monte Carlo (Del Moral, Doucet, Jasra 2006).

The target on each opening is p(x) exp(lambda phi(x)) / Z, with Z = E_p[exp(lambda phi)]. p is the
model under its sampling settings, top-k and top-p included. Of all distributions with the same mean
of phi, the target is nearest to p. For phi the log of a membership and lambda 1, Z is the
acceptance of rejection. For log-odds it is no share, and may exceed 1.

After each block a twist psi estimates phi from the text so far (Zhao et al. 2404.17546, 2507.02315;
particle filters: Puri et al. 2502.01618). Weights grow by exp(lambda (psi_t - psi_{t-1})), and the
last block uses phi. So weights are exact by any twist. One drawn particle follows the target only
as their number grows.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import brentq
from scipy.special import logsumexp, softmax

from agent.errors import BasinError
from agent.language_model.decoding.config import ParticleConfig
from agent.language_model.decoding.loop import Draft
from agent.membership.log_odds import EVIDENCE_LIMIT
from agent.types import seed_for

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tilt:
    """The factor exp(lambda phi) of the target."""

    score: Callable[[Sequence[str]], Float[np.ndarray, "text"]]
    """phi of whole texts, with their openings; clipped to 50 nats."""
    lambda_: float
    twist: Float[np.ndarray, "block"] | None = None
    """psi over phi of the text so far, by block, see `fit_twist`; None: 1."""

    def phi(self, texts: Sequence[str]) -> Float[np.ndarray, "text"]:
        """Clipped scores. Raises `BasinError` for one that is not a number."""
        scores = np.clip(self.score(texts).astype(np.float64), -EVIDENCE_LIMIT, EVIDENCE_LIMIT)
        if np.isnan(scores).any():
            raise BasinError("A score of particles is not a number: correct what scores the texts.")
        return scores


@dataclass(frozen=True)
class Particles:
    """Weighted continuations of one opening."""

    texts: list[str]
    log_weights: Float[np.ndarray, "particle"]
    """Unnormalised: the mean of their exponentials estimates Z without bias."""
    scores: Float[np.ndarray, "particle block"]
    """phi of the text after each block."""
    effective: Float[np.ndarray, "block"]
    """Effective number of particles after each block, before resampling."""
    resampled: int
    seed: int

    @property
    def log_z(self) -> float:
        """Estimate of log Z."""
        return _log_mean(self.log_weights)

    @property
    def drawn(self) -> int:
        """The particle drawn by weight, by the opening's own seed."""
        return int(systematic(softmax(self.log_weights), 1, _uniform(self.seed, "drawn"))[0])


def mean_log_z(found: Sequence[Particles]) -> float:
    """log of the mean Z over openings."""
    return _log_mean(np.array([each.log_z for each in found]))


def particle_seeds(seeds: Sequence[int], count: int) -> list[int]:
    """Seeds of `count` particles per opening; the first has the opening's own."""
    return [seed_for(seed, at, "particle") if at else seed for seed in seeds for at in range(count)]


def sample(
    draft: Draft, seeds: Sequence[int], write: Callable[[int], None], tilt: Tilt, config: ParticleConfig
) -> list[Particles]:
    """Particles of openings whose rows in `draft` stand together; `write` writes its next tokens."""
    tokens, count = draft.real.shape[1] - draft.begin, config.particles
    blocks = 1 if count == 1 else max(1, round(tokens / config.block))
    starts = range(0, tokens, -(-tokens // blocks))
    weights, psi = np.zeros((2, len(seeds), count))
    scores = np.zeros((len(seeds), count, len(starts)))
    effective, resampled = np.zeros((len(seeds), len(starts))), np.zeros(len(seeds), dtype=int)
    for block, start in enumerate(starts):
        write(min(starts.step, tokens - start))
        texts = draft.texts()
        last = block + 1 == len(starts)
        whole = [prompt + text for prompt, text in zip(draft.prompts, texts, strict=True)]
        scores[..., block] = tilt.phi(whole).reshape(weights.shape)
        slope = 1.0 if last or tilt.twist is None else tilt.twist[block]
        weights += tilt.lambda_ * (slope * scores[..., block] - psi)
        effective[:, block] = effective_size(softmax(weights, axis=-1))
        few = effective[:, block] < config.resample_below * count
        if not last:
            kept = np.arange(weights.size).reshape(weights.shape)
            for at in np.flatnonzero(few).tolist():
                offset = _uniform(seeds[at], f"resample {block}")
                kept[at] = kept[at][systematic(softmax(weights[at]), count, offset)]
                weights[at] = _log_mean(weights[at])
            if few.any():
                draft.keep(torch.from_numpy(kept.ravel()))
                scores = scores.reshape(-1, len(starts))[kept]
            psi, resampled = slope * scores[..., block], resampled + few
    return [
        Particles(texts[at * count :][:count], *each)
        for at, each in enumerate(zip(weights, scores, effective, resampled.tolist(), seeds, strict=True))
    ]


def effective_size(weights: Float[np.ndarray, "*opening text"]) -> Float[np.ndarray, "*opening"]:
    """(sum w)^2 / sum w^2 (Kish 1965)."""
    return np.asarray(weights.sum(-1) ** 2 / np.square(weights).sum(-1))


def systematic(weights: Float[np.ndarray, "text"], count: int, offset: float) -> Int[np.ndarray, "drawn"]:
    """`count` rising indices in proportion to weights, by systematic resampling (Kitagawa 1996).

    Each is drawn its expected number of times, rounded up or down, by a random offset in [0, 1).
    """
    sums = np.cumsum(weights)
    marks = (np.arange(count) + offset) * sums[-1] / count
    drawn: np.ndarray = np.searchsorted(sums, marks, side="right").clip(max=np.flatnonzero(weights)[-1])
    return drawn


def fit_twist(
    prefix_scores: Float[np.ndarray, "text block"], final: Float[np.ndarray, "text"]
) -> Float[np.ndarray, "block"]:
    """Slopes of ridge regressions of the final phi on that of the text so far, one for each block.

    Constants would cancel: particles of one opening compete at equal lengths.
    """
    centred = prefix_scores - prefix_scores.mean(0)
    slopes: np.ndarray = centred.T @ (final - final.mean()) / (np.square(centred).sum(0) + 1)
    return slopes


def solve_lambda(
    phi: Float[np.ndarray, "*opening text"], wanted_mean: float, most: float
) -> tuple[float, float]:
    """The lambda in [0, most] whose weighted mean of phi is the wanted one, and the effective size.

    Weights are normalised within each opening, and means taken over openings.
    """

    def missing(lambda_: float) -> float:
        return wanted_mean - float((softmax(lambda_ * phi, axis=-1) * phi).sum(-1).mean())

    found = 0.0
    if missing(most) > 0:
        logger.info(f"A mean score of {wanted_mean:.2f} needs a lambda above its bound of {most:g}.")
        found = most
    elif missing(0.0) > 0:
        found = float(brentq(missing, 0.0, most))
    return found, float(effective_size(softmax(found * phi, axis=-1)).mean())


def calibrated(tilt: Tilt, pilot: Sequence[Particles], wanted_mean: float, most: float) -> Tilt:
    """The tilt with lambda and twist by particles that were written with lambda 0."""
    scores = np.stack([each.scores for each in pilot])
    lambda_, effective = solve_lambda(scores[..., -1], wanted_mean, most)
    logger.info(
        f"Particles are weighted by lambda {lambda_:.2f}: {effective:.1f} of {scores.shape[1]} effective."
    )
    centred = (scores - scores.mean(1, keepdims=True)).reshape(-1, scores.shape[-1])
    return replace(tilt, lambda_=lambda_, twist=fit_twist(centred[:, :-1], centred[:, -1]))


def _uniform(seed: int, stream: str) -> float:
    return np.random.default_rng(seed_for(seed, 0, stream)).random()


def _log_mean(log_weights: Float[np.ndarray, "each"]) -> float:
    return float(logsumexp(log_weights) - np.log(len(log_weights)))
