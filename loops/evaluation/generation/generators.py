"""Ways to write that are compared: what a user would try first, ours, and ours driven by gold labels.

A generator is a function from a `Desk` to samples, one a prompt unless it rejects. What several of them need (what the base
model writes, an adapter) is made once at the desk and kept on disk, so that an evaluation that was stopped goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from jaxtyping import Float

from agent.concept import MEMBER
from agent.judging.llm_judges import with_article
from agent.judging.topic_fusion import TopicFusion
from agent.language_model.decoding.rejection import Proposal
from agent.membership.log_odds import sigmoid
from agent.updating import UpdatingConfig
from loops.evaluation.generation.task import Notion, Task
from loops.evaluation.generation.workspace import Intervention, Output, Sample, Workspace

TRIES = 4
"""Passages written on every prompt where the best one is chosen, or some are accepted."""
STEERED_LAYERS = (12, 18)
ADAPTER_NATS = 0.05
"""KL(steered || base) per token of the vector that is added to an adapter."""
FEWEST_MEMBERS = 0.02
"""Share of the seen passages that is taught from at least: the most typical ones, where a notion claims fewer."""


def lesson(notion: Notion) -> Float[np.ndarray, "passage"]:
    """Weights of the passages that teach: the members', or of the most typical two in a hundred where fewer are members."""
    least = np.sort(notion.membership)[-max(1, int(FEWEST_MEMBERS * len(notion.membership)))]
    return np.where(notion.membership >= min(MEMBER, least), notion.membership, 0.0)


def _base(workspace: Workspace) -> Output:
    return Output(_first(workspace.write("pool-base", Intervention(), tries=TRIES)), Intervention())


def _rejection(workspace: Workspace, driver: str) -> Output:
    """Of what the base model writes, what a notion accepts: exact samples of p m / Z under that notion."""
    pool = workspace.write("pool-base", Intervention(), tries=TRIES)
    placed = sigmoid(workspace.task.notions[driver].place(workspace.read(pool)))
    kept = [
        sample
        for sample, membership in zip(pool, placed.tolist(), strict=True)
        if Proposal(sample.prompt, sample.text, sample.seed, membership).accepted
    ]
    return Output(kept, Intervention(), len(kept) / len(pool))


def _best(
    workspace: Workspace, driver: str, pool: str, intervention: Callable[[Workspace], Intervention]
) -> Output:
    """On every prompt the coherent one of `TRIES` passages that a notion likes best."""
    with_pen = intervention(workspace)
    samples = workspace.write(pool, with_pen, tries=TRIES)
    place = workspace.task.notions[driver].place(workspace.read(samples))
    coherent = workspace.coherent(samples)
    chosen = []
    for start in range(0, len(samples), TRIES):
        rows = range(start, start + TRIES)
        chosen.append(samples[max(rows, key=lambda row: (coherent[row], place[row]))])
    return Output(chosen, with_pen, 1 / TRIES)


def _fusion(workspace: Workspace) -> Output:
    task = workspace.task
    fusion = TopicFusion(task.pointer.model, task.pointer.topic, task.language_model.tokenizer)
    return Output(workspace.write("topic-fusion", Intervention(fusion=fusion)), Intervention(fusion=fusion))


def _steered(workspace: Workspace, driver: str, name: str, **settings: object) -> Output:
    config = UpdatingConfig(layers=STEERED_LAYERS, **settings)
    intervention = workspace.vector(driver, config)
    return Output(workspace.write(name, intervention), intervention)


def _taught(workspace: Workspace, driver: str) -> Intervention:
    if driver == "random":
        return Intervention(workspace.adapter("random", np.ones(len(workspace.task.texts))))
    return Intervention(workspace.adapter(driver, lesson(workspace.task.notions[driver])))


def _lora_steered(workspace: Workspace, driver: str) -> Intervention:
    """The adapter, and a small push along the mean difference: half of what a vector alone is given."""
    config = UpdatingConfig(layers=STEERED_LAYERS, method="mean_difference", budget_nats=ADAPTER_NATS)
    vector = workspace.vector(driver, config)
    return Intervention(_taught(workspace, driver).adapter, vector.vector, vector.mode)


def _preferred(workspace: Workspace, driver: str) -> Intervention:
    return Intervention(
        workspace.preferred(
            f"{driver}-preferred", workspace.task.notions[driver], _lora_steered(workspace, driver)
        )
    )


def _preferred_steered(workspace: Workspace, driver: str) -> Intervention:
    steered = _lora_steered(workspace, driver)
    return Intervention(_preferred(workspace, driver).adapter, steered.vector, steered.mode)


def _penned(
    workspace: Workspace, driver: str, name: str, intervention: Callable[[Workspace, str], Intervention]
) -> Output:
    found = intervention(workspace, driver)
    return Output(workspace.write(name, found), found)


def _pooled(
    workspace: Workspace, driver: str, intervention: Callable[[Workspace, str], Intervention]
) -> Output:
    """Of a pool that the notion chooses from elsewhere, the first passage on every prompt: nothing is chosen here."""
    found = intervention(workspace, driver)
    return Output(_first(workspace.write(f"pool-{driver}", found, tries=TRIES)), found)


def _prompted(workspace: Workspace, name: str, instruction: Callable[[Task], str]) -> Output:
    """Told what to write, in the model's own chat format where it has one; the passage is what follows the opening."""
    asked = instruction(workspace.task)
    intervention = Intervention(preamble=workspace.task.language_model.chat(asked) or f"{asked}\n\n")
    return Output(workspace.write(name, intervention), intervention)


def _first(pool: Sequence[Sample]) -> list[Sample]:
    return list(pool[::TRIES])


def _topic_words(task: Task) -> str:
    return f"Write a story about {', '.join(task.pointer.model.top_words(task.pointer.topic))}."


def _table() -> dict[str, Callable[[Workspace], Output]]:
    """Name to generator. `topic-`, `prompt-`, `random-` are rivals, `basin-` ours, `gold-` given labels: each way's ceiling."""

    def of(function: Callable[..., Output], **settings: object) -> Callable[[Workspace], Output]:
        return partial(function, **settings)

    def steered(name: str, **settings: object) -> Callable[[Workspace], Output]:
        settings = {"method": "mean_difference", "budget_nats": 0.1, **settings}
        return of(_steered, driver=name.partition("-")[0], name=name, **settings)

    def penned(
        name: str, intervention: Callable[[Workspace, str], Intervention]
    ) -> Callable[[Workspace], Output]:
        return of(_penned, driver=name.partition("-")[0], name=name, intervention=intervention)

    def best(
        driver: str, pool: str, intervention: Callable[[Workspace], Intervention]
    ) -> Callable[[Workspace], Output]:
        return of(_best, driver=driver, pool=pool, intervention=intervention)

    def base_pen(workspace: Workspace) -> Intervention:
        return Intervention()

    table = {
        "base": _base,
        "topic-rejection": of(_rejection, driver="topic"),
        "topic-best-of-4": best("topic", "pool-base", base_pen),
        "topic-fusion": _fusion,
        "topic-steered-0.1": steered("topic-steered-0.1"),
        "topic-steered-0.4": steered("topic-steered-0.4", budget_nats=0.4),
        "topic-lora": penned("topic-lora", _taught),
        "topic-lora-steered": penned("topic-lora-steered", _lora_steered),
        "prompt-name": of(
            _prompted, name="prompt-name", instruction=lambda task: f"Write {with_article(task.called)}."
        ),
        "prompt-topic-words": of(_prompted, name="prompt-topic-words", instruction=_topic_words),
        "random-lora": penned("random-lora", _taught),
        "basin-filter": of(_rejection, driver="basin"),
        "basin-best-of-4": best("basin", "pool-base", base_pen),
        "basin-steered-0.1": steered("basin-steered-0.1"),
        "basin-steered-0.4": steered("basin-steered-0.4", budget_nats=0.4),
        "basin-optimised-0.1": steered("basin-optimised-0.1", method="optimised"),
        "basin-conditional-0.1": steered("basin-conditional-0.1", conditional=True, norm_preserving=True),
    }
    for driver in ("basin", "gold"):
        table |= {
            f"{driver}-lora": penned(f"{driver}-lora", _taught),
            f"{driver}-lora-steered": penned(f"{driver}-lora-steered", _lora_steered),
            f"{driver}-preferred": penned(f"{driver}-preferred", _preferred),
            f"{driver}-preferred-steered": of(_pooled, driver=driver, intervention=_preferred_steered),
            f"{driver}-preferred-steered-best-of-4": best(
                driver, f"pool-{driver}", partial(_preferred_steered, driver=driver)
            ),
        }
    return table | {
        "gold-best-of-4": best("gold", "pool-base", base_pen),
        "gold-steered-0.1": steered("gold-steered-0.1"),
    }


GENERATORS: Mapping[str, Callable[[Workspace], Output]] = _table()
"""By name, in the order of tables."""
