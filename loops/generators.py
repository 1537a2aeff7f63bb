"""Ways to write that are compared: what a user would try first, ours, and ours driven by gold labels.

A generator is a function from a `Desk` to samples, one a prompt unless it rejects. What several of them need (what the base
model writes, an adapter) is made once at the desk and kept on disk, so that an evaluation that was stopped goes on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from agent.adapter import Adapter
from agent.coherence import Coherence
from agent.evidence import sigmoid
from agent.generation import GenerationConfig
from agent.language_model import LanguageModel
from agent.rejection import Proposal
from agent.steering_manner import PLAIN, Manner
from agent.steering_vector import SteeringVector
from agent.topic_fusion import TopicFusion
from agent.types import seed_for
from agent.updating import UpdatingConfig, update
from agent.updating.expert import Written, pairs
from agent.updating.settings import LoraConfig, PreferenceConfig
from loops.folders import write_file
from loops.generation_task import Notion, Say, Task

TRIES = 4
"""Passages written on every prompt where the best one is chosen, or some are accepted."""
STEERED_LAYERS = (12, 18)
PRACTICE_TOKENS = 100
ADAPTER_NATS = 0.05
"""KL(steered || base) per token of the vector that is added to an adapter."""
FEWEST_MEMBERS = 0.02
"""Share of the seen passages that is taught from at least: the most typical ones, where a notion claims fewer."""


@dataclass(frozen=True)
class Sample:
    """One passage."""

    prompt: str
    """The neutral opening; what a rival is told besides is not part of the passage."""
    text: str
    seed: int


@dataclass(frozen=True)
class Pen:
    """What it is written with, where that is a change of the model: the distance from the base model is then exact."""

    adapter: Adapter | None = None
    vector: SteeringVector | None = None
    manner: Manner = PLAIN
    preamble: str = ""
    """Read before the opening."""
    fusion: TopicFusion | None = None
    """Changes every token's score."""

    @property
    def changes(self) -> bool:
        """Whether it writes otherwise than the base model."""
        return bool(self.adapter or self.vector or self.preamble or self.fusion)


@dataclass(frozen=True)
class Output:
    """What a generator wrote."""

    samples: list[Sample]
    pen: Pen
    accepted: float = 1.0
    """Share of what was written that was kept."""


class Desk:
    """One task's workplace."""

    def __init__(
        self, task: Task, config: GenerationConfig, coherence: Coherence, lora: LoraConfig, say: Say
    ) -> None:
        self.task, self.config, self.coherence, self.lora, self.say = task, config, coherence, lora, say
        self.last: str | None = None
        """What was written last, or found on disk."""

    def write(
        self,
        name: str,
        pen: Pen,
        prompts: Sequence[str] | None = None,
        *,
        tries: int = 1,
        tokens: int | None = None,
    ) -> list[Sample]:
        """Passages on every prompt, `tries` times each, all with the same sampling and seeds whoever writes; kept as `name`."""
        self.last = name
        prompts = self.task.prompts if prompts is None else prompts
        file = self.task.folder / "written" / f"{name}.json"
        if file.exists():
            return [Sample(**each) for each in json.loads(file.read_bytes())]
        self.say(f"{self.task.corpus}, {self.task.concept}: writing {name}")
        openings = [opening for opening in prompts for _ in range(tries)]
        seeds = [
            seed_for(self.task.seed, turn, f"{number}")
            for number in range(len(prompts))
            for turn in range(tries)
        ]
        config = self.config.model_copy(update={"new_tokens": tokens or self.config.new_tokens})
        writer, begin = self.task.language_model.adapted(pen.adapter), time.perf_counter()
        texts = writer.generate(
            [pen.preamble + opening for opening in openings],
            seeds,
            config,
            pen.vector,
            progress=self.say,
            manner=pen.manner,
            processors=[pen.fusion] if pen.fusion else [],
        )
        speed = len(texts) * config.new_tokens / (time.perf_counter() - begin)
        samples = [Sample(*each) for each in zip(openings, texts, seeds, strict=True)]
        _keep(self._speeds, self.speeds | {name: speed})
        _keep(file, [asdict(sample) for sample in samples])
        return samples

    @property
    def speeds(self) -> dict[str, float]:
        """Tokens per second at which everything was written whose writing was timed."""
        return json.loads(self._speeds.read_bytes()) if self._speeds.exists() else {}

    @property
    def _speeds(self) -> Path:
        return self.task.folder / "speeds.json"

    def adapter(self, name: str, weights: Float[np.ndarray, "passage"]) -> Adapter:
        """A LoRA adapter taught by seen passages in proportion to `weights`; kept as `name`."""
        from agent.updating.lora import teach

        return self._adapter(
            name,
            lambda folder: teach(
                self.task.language_model,
                self.task.texts,
                weights,
                None,
                self.lora,
                self.task.seed,
                folder,
                self.say,
            )[0],
        )

    def preferred(self, name: str, notion: Notion, start: Pen) -> Adapter:
        """`start`'s adapter after preference training on what that pen and the base model wrote on practice openings."""
        from agent.updating.preference import prefer

        def train(folder: Path) -> Adapter:
            written = [
                self.placed(
                    self.write(who, pen, self.task.practice_prompts, tries=2, tokens=PRACTICE_TOKENS), notion
                )
                for who, pen in (("practice-base", Pen()), (f"practice-{name}", start))
            ]
            found = pairs(written[0].joined(written[1]))
            self.say(f"{self.task.corpus}, {self.task.concept}: {len(found)} pairs for {name}")
            if not found:
                return start.adapter
            config, seed = PreferenceConfig(), self.task.seed
            return prefer(
                self.task.language_model,
                found,
                start.adapter,
                config,
                self.lora.tokens,
                seed,
                folder,
                self.say,
            )[0]

        return self._adapter(name, train)

    def placed(self, samples: Sequence[Sample], notion: Notion) -> Written:
        """Samples with their membership by a notion, and whether they are coherent."""
        place = notion.place(self.task.read([sample.prompt + sample.text for sample in samples]))
        return Written(
            [sample.prompt for sample in samples],
            [sample.text for sample in samples],
            sigmoid(place),
            self.coherent(samples),
        )

    def coherent(self, samples: Sequence[Sample]) -> Bool[np.ndarray, "text"]:
        """Whether each sample is coherent; what was judged already is not judged again."""
        unknown = [sample for sample in dict.fromkeys(samples) if sample not in self._coherent]
        if unknown:
            texts, prompts = [each.text for each in unknown], [each.prompt for each in unknown]
            self._coherent |= dict(
                zip(unknown, self.coherence.check(texts, prompts).coherent.tolist(), strict=True)
            )
        return np.array([self._coherent[sample] for sample in samples])

    @cached_property
    def _coherent(self) -> dict[Sample, bool]:
        return {}

    def vector(self, notion: Notion, config: UpdatingConfig) -> Pen:
        """A steering vector from outside a notion to inside it."""
        inside = notion.membership >= 0.5
        if not inside.any():
            inside = notion.membership >= np.sort(notion.membership)[-max(1, len(inside) // 50)]
        texts = self.task.texts
        found = update(
            self.task.language_model,
            [texts[at] for at in np.flatnonzero(inside)],
            [texts[at] for at in np.flatnonzero(~inside)],
            self.task.activations[inside],
            self.task.activations[~inside],
            config=config,
            seed=self.task.seed,
            member_weights=notion.membership[inside],
            other_weights=1 - notion.membership[~inside],
            progress=self.say,
        )
        return Pen(vector=found.vector, manner=found.manner)

    def _adapter(self, name: str, train: Callable[[Path], Adapter]) -> Adapter:
        folder = self.task.folder / "adapters" / name
        if (folder / "adapter_config.json").exists():
            return Adapter.from_files({file.name: file.read_bytes() for file in folder.iterdir()})
        self.say(f"{self.task.corpus}, {self.task.concept}: training {name}")
        adapter = train(self.task.folder / "training" / name)
        folder.mkdir(parents=True, exist_ok=True)
        for file, content in reversed(sorted(adapter.files().items())):
            write_file(folder / file, content)  # the configuration last: with it the adapter counts as there
        return adapter


def lesson(notion: Notion) -> Float[np.ndarray, "passage"]:
    """Weights of the passages that teach: the members', or of the most typical two in a hundred where fewer are members."""
    least = np.sort(notion.membership)[-max(1, int(FEWEST_MEMBERS * len(notion.membership)))]
    return np.where(notion.membership >= min(0.5, least), notion.membership, 0.0)


def _base(desk: Desk) -> Output:
    return Output(_first(desk.write("pool-base", Pen(), tries=TRIES)), Pen())


def _rejection(desk: Desk, driver: str) -> Output:
    """Of what the base model writes, what a notion accepts: exact samples of p m / Z under that notion."""
    pool = desk.write("pool-base", Pen(), tries=TRIES)
    placed = sigmoid(
        desk.task.notions[driver].place(desk.task.read([each.prompt + each.text for each in pool]))
    )
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
    place = desk.task.notions[driver].place(desk.task.read([each.prompt + each.text for each in samples]))
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
    pen = desk.vector(desk.task.notions[driver], config)
    return Output(desk.write(name, pen), pen)


def _taught(desk: Desk, driver: str) -> Pen:
    if driver == "random":
        return Pen(desk.adapter("random", np.ones(len(desk.task.texts))))
    return Pen(desk.adapter(driver, lesson(desk.task.notions[driver])))


def _lora_steered(desk: Desk, driver: str) -> Pen:
    """The adapter, and a small push along the mean difference: half of what a vector alone is given."""
    config = UpdatingConfig(layers=STEERED_LAYERS, method="mean_difference", budget_nats=ADAPTER_NATS)
    vector = desk.vector(desk.task.notions[driver], config)
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
    pen = Pen(preamble=_asked(desk.task.language_model, instruction(desk.task)))
    return Output(desk.write(name, pen), pen)


def _asked(language_model: LanguageModel, instruction: str) -> str:
    tokenizer = language_model.tokenizer
    if getattr(tokenizer, "chat_template", None):
        turn = [{"role": "user", "content": instruction}]
        return str(tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True))
    return f"{instruction}\n\n"


def _article(name: str) -> str:
    return f"{'an' if name[0].casefold() in 'aeiou' else 'a'} {name}"


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
            _prompted, name="prompt-name", instruction=lambda task: f"Write {_article(task.called)}."
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


def _keep(file: Path, content: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    write_file(file, json.dumps(content, indent=0).encode())
