"""Passages drawn from particles, at the mean log-odds of a concept's real members."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from agent.language_model.decoding.config import GenerationConfig, ParticleConfig
from agent.membership.log_odds import threshold
from agent.steering.vector import SteeringVector
from agent.types import seed_for

if TYPE_CHECKING:
    from agent.language_model.decoding.particles import Particles
    from agent.language_model.model import LanguageModel

logger = logging.getLogger(__name__)

PILOT = 8
"""Openings that lambda and the twist are found on."""
Score = Callable[[Sequence[str]], Float[np.ndarray, "text"]]


def member_log_odds(single: Float[np.ndarray, "passage"], membership: Float[np.ndarray, "passage"]) -> float:
    """Mean log-odds of the real members, each read by classifiers not fitted on its document.

    Args:
        single: held-out log-odds of each real passage, before the threshold.
    """
    held_out = single - threshold(single, float(membership.mean()))
    return float(np.average(held_out, weights=membership))


def particle_writer(
    model: LanguageModel,
    score: Score,
    wanted: float,
    config: GenerationConfig,
    particles: ParticleConfig,
    *,
    vector: SteeringVector | None = None,
) -> Callable[[Sequence[str], Sequence[int]], list[str]]:
    """A function that writes a passage on each prompt, with its seed, drawn from weighted particles.

    The first call finds lambda on its first prompts.

    Args:
        model: writes, with its adapter merged.
        score: of whole texts, by a model that neither vector nor adapter changes.
        wanted: mean score of the passages.
    """
    from agent.language_model.decoding.particles import Tilt, calibrated, mean_log_z

    tilts = list[Tilt]()

    def sample(prompts: Sequence[str], seeds: Sequence[int], tilt: Tilt) -> list[Particles]:
        found: list[Particles] = model.generate_particles(
            prompts, seeds, config, tilt, particles, vector=vector
        )
        return found

    def write(prompts: Sequence[str], seeds: Sequence[int]) -> list[str]:
        if not tilts:
            pilot_seeds = [seed_for(seed, 0, "pilot") for seed in seeds[:PILOT]]
            pilot = sample(prompts[:PILOT], pilot_seeds, Tilt(score, 0.0))
            tilts.append(calibrated(Tilt(score, 0.0), pilot, wanted, particles.most_lambda))
        found = sample(prompts, seeds, tilts[0])
        logger.info(f"log Z of {len(found)} openings is {mean_log_z(found):.2f}")
        return [each.texts[each.drawn] for each in found]

    return write
