"""The compared generators: baselines, Basin's ways to write, and the same by gold labels.

A generator is a function from a `Workspace` to samples, one for each prompt unless it rejects. The
workspace keeps pools of passages and adapters on disk, so several generators share them and a
stopped evaluation resumes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from jaxtyping import Float

from agent.concept import MEMBER
from agent.judging.judges import with_article
from agent.language_model.decoding.config import ParticleConfig
from agent.membership.log_odds import sigmoid
from agent.types import seed_for
from agent.updating import UpdatingConfig
from loops.evaluation.generation.task import TargetConcept
from loops.evaluation.generation.workspace import Intervention, Output, Sample, Workspace
from loops.round.particles import particle_writer

logger = logging.getLogger(__name__)

Generator = Callable[[Workspace], Output]

TRIES = 4
"""Passages per prompt where the best is chosen or some are rejected."""
STEERED_LAYERS = (12, 18)
BUDGET_NATS = 0.1
"""KL(steered || base) per token of a vector alone."""
FEWEST_MEMBERS = 0.02
"""Minimum share of the seen passages that an adapter is trained on."""


def training_weights(target: TargetConcept) -> Float[np.ndarray, "passage"]:
    """Weights of training passages: the members, or the most typical where they are too few."""
    least = np.sort(target.membership)[-max(1, int(FEWEST_MEMBERS * len(target.membership)))]
    return np.where(target.membership >= min(MEMBER, least), np.maximum(target.membership, MEMBER), 0.0)


def _base(workspace: Workspace) -> Output:
    """The first passage on each prompt of the pool that rejection chooses from."""
    return Output(workspace.write("pool-base", Intervention(), tries=TRIES)[::TRIES], Intervention())


def _rejection(workspace: Workspace, target: str) -> Output:
    """Passages of the base model that the target accepts: exact samples of p m / Z."""
    pool = workspace.write("pool-base", Intervention(), tries=TRIES)
    memberships = sigmoid(workspace.task.targets[target].log_odds(workspace.read(pool))).tolist()
    accepted = [
        sample for sample, membership in zip(pool, memberships, strict=True) if accepts(sample, membership)
    ]
    return Output(accepted, Intervention(), len(accepted) / len(pool))


def accepts(sample: Sample, membership: float) -> bool:
    """True with probability `membership`, decided by the sample's own seed (von Neumann 1951)."""
    return bool(np.random.default_rng(seed_for(sample.seed, 0, "accept")).random() < membership)


def _prompted(workspace: Workspace) -> Output:
    """Text after an instruction that names the concept, in the model's chat format where it has one."""
    request = f"Write {with_article(workspace.task.called)}."
    preamble = workspace.task.language_model.chat(request) or f"{request}\n\n"
    intervention = Intervention(preamble=preamble)
    return Output(workspace.write("prompt-name", intervention), intervention)


def _steered(workspace: Workspace, target: str) -> Output:
    intervention = _vector(workspace, target, BUDGET_NATS)
    return Output(workspace.write(f"{target}-steered-{BUDGET_NATS}", intervention), intervention)


def _adapted(workspace: Workspace, target: str) -> Output:
    """The first passage on each prompt of the pool that the best of four are chosen from."""
    intervention = _adapter(workspace, target)
    return Output(workspace.write(f"pool-{target}", intervention, tries=TRIES)[::TRIES], intervention)


def _best_of_adapted(workspace: Workspace, target: str) -> Output:
    """On each prompt, the coherent one of `TRIES` passages that belongs most to the target."""
    intervention = _adapter(workspace, target)
    samples = workspace.write(f"pool-{target}", intervention, tries=TRIES)
    log_odds = workspace.task.targets[target].log_odds(workspace.read(samples))
    coherent = workspace.coherent(samples)
    chosen: list[Sample] = []
    for start in range(0, len(samples), TRIES):
        rows = range(start, start + TRIES)
        chosen.append(samples[max(rows, key=lambda row: (coherent[row], log_odds[row]))])
    return Output(chosen, intervention, 1 / TRIES)


def _contrasted(workspace: Workspace, target: str) -> Output:
    """The target's adapter against that of all documents, as a round writes."""
    from agent.adapting.contrast import contrasted

    own, corpus = (_adapter(workspace, name).adapter for name in (target, "corpus"))
    assert own is not None and corpus is not None
    intervention = Intervention(contrasted(own, corpus, workspace.adapting.contrast))
    return Output(workspace.write(f"{target}-contrast", intervention), intervention)


def _particles(workspace: Workspace, target: str) -> Output:
    """On each prompt, a particle of the adapted model, at the mean log-odds of the target's members."""
    intervention = _adapter(workspace, target)
    task, concept = workspace.task, workspace.task.targets[target]
    seeds = [seed_for(task.seed, at, "particles") for at in range(len(task.prompts))]

    def generate() -> list[str]:
        return particle_writer(
            task.language_model.adapted(intervention.adapter),
            lambda texts: concept.log_odds(task.read(texts)),
            concept.member_log_odds,
            workspace.config,
            ParticleConfig(),
        )(task.prompts, seeds)

    samples = workspace.saved(f"{target}-particles", task.prompts, seeds, generate)
    return Output(samples, intervention, None)


def _vector(workspace: Workspace, target: str, nats: float) -> Intervention:
    config = UpdatingConfig(layers=STEERED_LAYERS, budget_nats=nats)
    return workspace.vector(target, config)


def _adapter(workspace: Workspace, target: str) -> Intervention:
    return Intervention(workspace.adapter(target, training_weights(workspace.task.targets[target])))


GENERATORS: Mapping[str, Generator] = {
    "base": _base,
    "topic-rejection": partial(_rejection, target="topic"),
    "topic-adapter": partial(_adapted, target="topic"),
    "random-adapter": partial(_adapted, target="random"),
    "corpus-adapter": partial(_adapted, target="corpus"),
    "prompt-name": _prompted,
    "basin-filter": partial(_rejection, target="basin"),
    "basin-steered-0.1": partial(_steered, target="basin"),
    "basin-adapter": partial(_adapted, target="basin"),
    "basin-contrast": partial(_contrasted, target="basin"),
    "basin-particles": partial(_particles, target="basin"),
    "basin-adapter-best-of-4": partial(_best_of_adapted, target="basin"),
    "gold-adapter": partial(_adapted, target="gold"),
    "gold-adapter-best-of-4": partial(_best_of_adapted, target="gold"),
}
"""In the order of tables: `topic-`, `random-`, `corpus-` and `prompt-` are baselines, `gold-` ceilings."""
