"""The compared generators: baselines, Basin's ways to write, and the same by gold labels.

A generator is a function from a `Workspace` to samples, one for each prompt unless it rejects. The
workspace keeps pools of passages and adapters on disk, so several generators share them and a
stopped evaluation resumes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float

from agent.concept import MEMBER
from agent.judging.llm_judges import with_article
from agent.language_model.decoding.rejection import Proposal
from agent.membership.log_odds import sigmoid
from agent.updating import UpdatingConfig
from loops.evaluation.generation.task import TargetConcept, Task
from loops.evaluation.generation.workspace import Intervention, Output, Sample, Workspace

Generator = Callable[[Workspace], Output]
MakeIntervention = Callable[[Workspace, str], Intervention]
"""From a workspace and the name of a target concept."""

TRIES = 4
"""Passages per prompt where the best is chosen or some are rejected."""
STEERED_LAYERS = (12, 18)
ADAPTER_NATS = 0.05
"""KL(steered || base) per token of a vector beside an adapter: half of a vector's own budget."""
FEWEST_MEMBERS = 0.02
"""Minimum share of the seen passages that an adapter is trained on."""


def training_weights(target: TargetConcept) -> Float[np.ndarray, "passage"]:
    """Weights of training passages: the members, or the most typical where they are too few."""
    least = np.sort(target.membership)[-max(1, int(FEWEST_MEMBERS * len(target.membership)))]
    return np.where(target.membership >= min(MEMBER, least), target.membership, 0.0)


def _unchanged(workspace: Workspace, target: str) -> Intervention:
    return Intervention()


def _adapted(workspace: Workspace, target: str) -> Intervention:
    if target == "random":
        return Intervention(workspace.adapter("random", np.ones(len(workspace.task.texts))))
    return Intervention(workspace.adapter(target, training_weights(workspace.task.targets[target])))


def _adapted_and_steered(workspace: Workspace, target: str) -> Intervention:
    config = UpdatingConfig(layers=STEERED_LAYERS, method="mean_difference", budget_nats=ADAPTER_NATS)
    steered = workspace.vector(target, config)
    return Intervention(_adapted(workspace, target).adapter, steered.vector, steered.mode)


def _preferred(workspace: Workspace, target: str) -> Intervention:
    start = _adapted_and_steered(workspace, target)
    adapter = workspace.preferred(f"{target}-preferred", workspace.task.targets[target], start)
    return Intervention(adapter)


def _preferred_and_steered(workspace: Workspace, target: str) -> Intervention:
    steered = _adapted_and_steered(workspace, target)
    return Intervention(_preferred(workspace, target).adapter, steered.vector, steered.mode)


def _write(workspace: Workspace, name: str, make: MakeIntervention) -> Output:
    intervention = make(workspace, name.partition("-")[0])
    return Output(workspace.write(name, intervention), intervention)


def _first_of_pool(workspace: Workspace, pool: str, make: MakeIntervention) -> Output:
    """The first passage on each prompt of a pool that other generators choose from."""
    intervention = make(workspace, pool.removeprefix("pool-"))
    return Output(workspace.write(pool, intervention, tries=TRIES)[::TRIES], intervention)


def _best_of_pool(workspace: Workspace, target: str, pool: str, make: MakeIntervention) -> Output:
    """On each prompt, the coherent one of `TRIES` passages that belongs most to the target."""
    intervention = make(workspace, target)
    samples = workspace.write(pool, intervention, tries=TRIES)
    log_odds = workspace.task.targets[target].log_odds(workspace.read(samples))
    coherent = workspace.coherent(samples)
    chosen: list[Sample] = []
    for start in range(0, len(samples), TRIES):
        rows = range(start, start + TRIES)
        chosen.append(samples[max(rows, key=lambda row: (coherent[row], log_odds[row]))])
    return Output(chosen, intervention, 1 / TRIES)


def _rejection(workspace: Workspace, target: str) -> Output:
    """Passages of the base model that the target accepts: exact samples of p m / Z."""
    pool = workspace.write("pool-base", Intervention(), tries=TRIES)
    memberships = sigmoid(workspace.task.targets[target].log_odds(workspace.read(pool))).tolist()
    accepted = [
        sample
        for sample, membership in zip(pool, memberships, strict=True)
        if Proposal(sample.prompt, sample.text, sample.seed, membership).accepted
    ]
    return Output(accepted, Intervention(), len(accepted) / len(pool))


def _steered(workspace: Workspace, name: str, **settings: Any) -> Output:
    settings = {"method": "mean_difference", "budget_nats": 0.1} | settings
    config = UpdatingConfig(layers=STEERED_LAYERS, **settings)
    intervention = workspace.vector(name.partition("-")[0], config)
    return Output(workspace.write(name, intervention), intervention)


def _prompted(workspace: Workspace, name: str, instruction: Callable[[Task], str]) -> Output:
    """Text after an instruction, in the model's chat format where it has one."""
    request = instruction(workspace.task)
    preamble = workspace.task.language_model.chat(request) or f"{request}\n\n"
    intervention = Intervention(preamble=preamble)
    return Output(workspace.write(name, intervention), intervention)


def _name_instruction(task: Task) -> str:
    return f"Write {with_article(task.called)}."


def _topic_instruction(task: Task) -> str:
    return f"Write a story about {', '.join(task.pointer.model.top_words(task.pointer.topic))}."


def _of_target(target: str) -> dict[str, Generator]:
    """The ways to write that Basin and gold labels share."""
    pool = f"pool-{target}"
    return {
        f"{target}-lora": partial(_write, name=f"{target}-lora", make=_adapted),
        f"{target}-lora-steered": partial(_write, name=f"{target}-lora-steered", make=_adapted_and_steered),
        f"{target}-preferred": partial(_write, name=f"{target}-preferred", make=_preferred),
        f"{target}-preferred-steered": partial(_first_of_pool, pool=pool, make=_preferred_and_steered),
        f"{target}-preferred-steered-best-of-4": partial(
            _best_of_pool, target=target, pool=pool, make=_preferred_and_steered
        ),
    }


def _best_of_base(target: str) -> Generator:
    return partial(_best_of_pool, target=target, pool="pool-base", make=_unchanged)


GENERATORS: Mapping[str, Generator] = {
    "base": partial(_first_of_pool, pool="pool-base", make=_unchanged),
    "topic-rejection": partial(_rejection, target="topic"),
    "topic-best-of-4": _best_of_base("topic"),
    "topic-steered-0.1": partial(_steered, name="topic-steered-0.1"),
    "topic-steered-0.4": partial(_steered, name="topic-steered-0.4", budget_nats=0.4),
    "topic-lora": partial(_write, name="topic-lora", make=_adapted),
    "topic-lora-steered": partial(_write, name="topic-lora-steered", make=_adapted_and_steered),
    "prompt-name": partial(_prompted, name="prompt-name", instruction=_name_instruction),
    "prompt-topic-words": partial(_prompted, name="prompt-topic-words", instruction=_topic_instruction),
    "random-lora": partial(_write, name="random-lora", make=_adapted),
    "basin-filter": partial(_rejection, target="basin"),
    "basin-best-of-4": _best_of_base("basin"),
    "basin-steered-0.1": partial(_steered, name="basin-steered-0.1"),
    "basin-steered-0.4": partial(_steered, name="basin-steered-0.4", budget_nats=0.4),
    "basin-optimised-0.1": partial(_steered, name="basin-optimised-0.1", method="optimised"),
    "basin-conditional-0.1": partial(
        _steered, name="basin-conditional-0.1", conditional=True, norm_preserving=True
    ),
    **_of_target("basin"),
    **_of_target("gold"),
    "gold-best-of-4": _best_of_base("gold"),
    "gold-steered-0.1": partial(_steered, name="gold-steered-0.1"),
}
"""In the order of tables: `topic-`, `prompt-`, `random-` are baselines, `gold-` ceilings."""
