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
from agent.membership.ridge import sigmoid
from agent.updating import UpdatingConfig
from loops.evaluation.generation.task import Notion, Task
from loops.evaluation.generation.workspace import Desk, Output, Pen, Sample

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


def _base(desk: Desk) -> Output:
    return Output(_first(desk.write("pool-base", Pen(), tries=TRIES)), Pen())


def _rejection(desk: Desk, driver: str) -> Output:
    """Of what the base model writes, what a notion accepts: exact samples of p m / Z under that notion."""
    pool = desk.write("pool-base", Pen(), tries=TRIES)
    placed = sigmoid(desk.task.notions[driver].place(desk.read(pool)))
    kept = [
        sample
        for sample, membership in zip(pool, placed.tolist(), strict=True)
        if Proposal(sample.prompt, sample.text, sample.seed, membership).accepted
    ]
    return Output(kept, Pen(), len(kept) / len(pool))


def _best(desk: Desk, driver: str, pool: str, pen: Callable[[Desk], Pen]) -> Output:
    """On every prompt the coherent one of `TRIES` passages that a notion likes best."""
    with_pen = pen(desk)
    samples = desk.write(pool, with_pen, tries=TRIES)
    place = desk.task.notions[driver].place(desk.read(samples))
    coherent = desk.coherent(samples)
    chosen = []
    for start in range(0, len(samples), TRIES):
        rows = range(start, start + TRIES)
        chosen.append(samples[max(rows, key=lambda row: (coherent[row], place[row]))])
    return Output(chosen, with_pen, 1 / TRIES)


def _fusion(desk: Desk) -> Output:
    task = desk.task
    fusion = TopicFusion(task.pointer.model, task.pointer.topic, task.language_model.tokenizer)
    return Output(desk.write("topic-fusion", Pen(fusion=fusion)), Pen(fusion=fusion))


def _steered(desk: Desk, driver: str, name: str, **settings: object) -> Output:
    config = UpdatingConfig(layers=STEERED_LAYERS, **settings)
    pen = desk.vector(driver, config)
    return Output(desk.write(name, pen), pen)


def _taught(desk: Desk, driver: str) -> Pen:
    if driver == "random":
        return Pen(desk.adapter("random", np.ones(len(desk.task.texts))))
    return Pen(desk.adapter(driver, lesson(desk.task.notions[driver])))


def _lora_steered(desk: Desk, driver: str) -> Pen:
    """The adapter, and a small push along the mean difference: half of what a vector alone is given."""
    config = UpdatingConfig(layers=STEERED_LAYERS, method="mean_difference", budget_nats=ADAPTER_NATS)
    vector = desk.vector(driver, config)
    return Pen(_taught(desk, driver).adapter, vector.vector, vector.manner)


def _preferred(desk: Desk, driver: str) -> Pen:
    return Pen(desk.preferred(f"{driver}-preferred", desk.task.notions[driver], _lora_steered(desk, driver)))


def _preferred_steered(desk: Desk, driver: str) -> Pen:
    steered = _lora_steered(desk, driver)
    return Pen(_preferred(desk, driver).adapter, steered.vector, steered.manner)


def _penned(desk: Desk, driver: str, name: str, pen: Callable[[Desk, str], Pen]) -> Output:
    found = pen(desk, driver)
    return Output(desk.write(name, found), found)


def _pooled(desk: Desk, driver: str, pen: Callable[[Desk, str], Pen]) -> Output:
    """Of a pool that the notion chooses from elsewhere, the first passage on every prompt: nothing is chosen here."""
    found = pen(desk, driver)
    return Output(_first(desk.write(f"pool-{driver}", found, tries=TRIES)), found)


def _prompted(desk: Desk, name: str, instruction: Callable[[Task], str]) -> Output:
    """Told what to write, in the model's own chat format where it has one; the passage is what follows the opening."""
    asked = instruction(desk.task)
    pen = Pen(preamble=desk.task.language_model.chat(asked) or f"{asked}\n\n")
    return Output(desk.write(name, pen), pen)


def _first(pool: Sequence[Sample]) -> list[Sample]:
    return list(pool[::TRIES])


def _topic_words(task: Task) -> str:
    return f"Write a story about {', '.join(task.pointer.model.top_words(task.pointer.topic))}."


def _table() -> dict[str, Callable[[Desk], Output]]:
    """Name to generator. `topic-`, `prompt-`, `random-` are rivals, `basin-` ours, `gold-` given labels: each way's ceiling."""

    def of(function: Callable[..., Output], **settings: object) -> Callable[[Desk], Output]:
        return partial(function, **settings)

    def steered(name: str, **settings: object) -> Callable[[Desk], Output]:
        settings = {"method": "mean_difference", "budget_nats": 0.1, **settings}
        return of(_steered, driver=name.partition("-")[0], name=name, **settings)

    def penned(name: str, pen: Callable[[Desk, str], Pen]) -> Callable[[Desk], Output]:
        return of(_penned, driver=name.partition("-")[0], name=name, pen=pen)

    def best(driver: str, pool: str, pen: Callable[[Desk], Pen]) -> Callable[[Desk], Output]:
        return of(_best, driver=driver, pool=pool, pen=pen)

    def base_pen(desk: Desk) -> Pen:
        return Pen()

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
            f"{driver}-preferred-steered": of(_pooled, driver=driver, pen=_preferred_steered),
            f"{driver}-preferred-steered-best-of-4": best(
                driver, f"pool-{driver}", partial(_preferred_steered, driver=driver)
            ),
        }
    return table | {
        "gold-best-of-4": best("gold", "pool-base", base_pen),
        "gold-steered-0.1": steered("gold-steered-0.1"),
    }


GENERATORS: Mapping[str, Callable[[Desk], Output]] = _table()
"""By name, in the order of tables."""
