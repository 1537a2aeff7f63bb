"""Passages of a concept by particles, at the mean log-odds of its real members."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from agent.concept import Concept
from agent.language_model.decoding.config import GenerationConfig, ParticleConfig
from agent.membership.log_odds import log_odds, threshold
from agent.pointer.topic_model import Pointer
from agent.types import seed_for

if TYPE_CHECKING:
    from agent.language_model.decoding.particles import Particles
    from agent.language_model.model import LanguageModel

logger = logging.getLogger(__name__)

PILOT = 8
"""Openings that lambda and the twist are found on."""
ParticleWriter = Callable[[Sequence[str], Sequence[int]], "list[Particles]"]
"""From prompts and seeds."""


def member_log_odds(single: Float[np.ndarray, "passage"], membership: Float[np.ndarray, "passage"]) -> float:
    """Mean log-odds of the real members, each read by classifiers not fitted on its document.

    Args:
        single: held-out log-odds of each real passage, before the threshold.
    """
    held_out = single - threshold(single, float(membership.mean()))
    return float(np.average(held_out, weights=membership))


def particle_writer(
    language_model: LanguageModel,
    concept: Concept,
    pointer: Pointer,
    config: GenerationConfig,
    particles: ParticleConfig,
) -> ParticleWriter:
    """A function that writes weighted particles on each prompt, with the concept's vector and adapter.

    They are scored by the concept's readout in `language_model`, which neither vector nor adapter
    changes. The first call finds lambda on its first prompts.
    """
    from agent.language_model.decoding.particles import Tilt, calibrated, mean_log_z

    readout, tilts = concept.readout, list[Tilt]()
    assert readout is not None  # round 0 does not write
    wanted = member_log_odds(concept.single, concept.membership)
    model = language_model.adapted(concept.adapter)

    def score(texts: Sequence[str]) -> Float[np.ndarray, "text"]:
        return readout.log_odds(language_model.record(texts), log_odds(pointer.weights(texts)))

    def sample(prompts: Sequence[str], seeds: Sequence[int], tilt: Tilt) -> list[Particles]:
        found: list[Particles] = model.generate_particles(
            prompts, seeds, config, tilt, particles, vector=concept.vector
        )
        return found

    def write(prompts: Sequence[str], seeds: Sequence[int]) -> list[Particles]:
        if not tilts:
            pilot = sample(
                prompts[:PILOT], [seed_for(seed, 0, "pilot") for seed in seeds[:PILOT]], Tilt(score, 0.0)
            )
            tilts.append(calibrated(Tilt(score, 0.0), pilot, wanted, particles.most_lambda))
        found = sample(prompts, seeds, tilts[0])
        logger.info(f"log Z of {len(found)} openings is {mean_log_z(found):.2f}")
        return found

    return write
