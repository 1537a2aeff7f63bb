"""The workspace of generators: what was written, trained and read for one task, kept on disk."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from agent.adapting.config import AdaptingConfig
from agent.clustering.texts import Texts
from agent.concept import MEMBER
from agent.language_model.adapter import Adapter
from agent.language_model.coherence import Coherence
from agent.language_model.decoding.config import GenerationConfig
from agent.steering.vector import SteeringVector
from agent.types import seed_for
from agent.updating import UpdatingConfig, update
from loops.checkpoint.atomic import write_file
from loops.evaluation.generation.task import TargetConcept, Task

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sample:
    """One passage."""

    prompt: str
    """The neutral opening; an instruction before it is no part of the passage."""
    text: str
    seed: int

    @property
    def whole(self) -> str:
        """Prompt and continuation."""
        return self.prompt + self.text


@dataclass(frozen=True)
class Intervention:
    """A change of the model or of its prompt, whose distance from the base model can be computed."""

    adapter: Adapter | None = None
    vector: SteeringVector | None = None
    preamble: str = ""
    """Read before the opening."""

    @property
    def changes(self) -> bool:
        """Whether its output differs from the base model's."""
        return bool(self.adapter or self.vector or self.preamble)


@dataclass(frozen=True)
class Output:
    """Passages of one generator."""

    samples: list[Sample]
    intervention: Intervention
    accepted: float | None = 1.0
    """Share of the generated passages that the generator keeps; None where it bounds nothing."""


def saved_samples(
    file: Path, openings: Sequence[str], seeds: Sequence[int], generate: Callable[[], list[str]]
) -> list[Sample]:
    """The samples of a file, generated and written there first where it is missing."""
    if file.exists():
        return [Sample(**each) for each in json.loads(file.read_bytes())]
    samples = [Sample(*each) for each in zip(openings, generate(), seeds, strict=True)]
    file.parent.mkdir(parents=True, exist_ok=True)
    write_file(file, json.dumps([asdict(sample) for sample in samples], indent=0).encode())
    return samples


class Workspace:
    """Everything that generators of one task share."""

    def __init__(
        self, task: Task, config: GenerationConfig, coherence: Coherence, adapting: AdaptingConfig
    ) -> None:
        self.task, self.config, self.coherence, self.adapting = task, config, coherence, adapting
        self._coherent: dict[Sample, bool] = {}
        self._read: dict[Sample, tuple[np.ndarray, float]] = {}
        self._vectors: dict[tuple[str, str], Intervention] = {}

    def write(self, name: str, intervention: Intervention, *, tries: int = 1) -> list[Sample]:
        """Write `tries` passages on each prompt, with fixed seeds, and save them as `name`."""
        prompts = self.task.prompts
        openings = [opening for opening in prompts for _ in range(tries)]
        seeds = [
            seed_for(self.task.seed, turn, f"{number}")
            for number in range(len(prompts))
            for turn in range(tries)
        ]

        def generate() -> list[str]:
            writer = self.task.language_model.adapted(intervention.adapter)
            given = [intervention.preamble + opening for opening in openings]
            texts: list[str] = writer.generate(given, seeds, self.config, intervention.vector)
            return texts

        return self.saved(name, openings, seeds, generate)

    def saved(
        self, name: str, openings: Sequence[str], seeds: Sequence[int], generate: Callable[[], list[str]]
    ) -> list[Sample]:
        """The samples saved as `name`, generated where they are not saved yet."""
        logger.info(f"{self.task.corpus}, {self.task.concept}: {name}")
        return saved_samples(self.task.folder / "written" / f"{name}.json", openings, seeds, generate)

    def adapter(self, name: str, membership: Float[np.ndarray, "passage"]) -> Adapter:
        """A LoRA adapter trained on the seen documents in proportion to a membership, saved as `name`."""
        from agent.adapting.lesson import draw_documents
        from agent.adapting.supervised import fit_lora

        task, config, folder = self.task, self.adapting, self.task.folder / "adapters" / name
        if (saved := Adapter.saved_in(folder)) is not None:
            return saved
        logger.info(f"{task.corpus}, {task.concept}: training {name}")
        lesson = draw_documents(task.language_model, task.seen, membership, config.lesson, task.seed)
        training = task.folder / "training" / name
        adapter, _ = fit_lora(task.language_model, lesson, config.lora, seed=task.seed, folder=training)
        adapter.save(folder)
        return adapter

    def read(self, samples: Sequence[Sample]) -> Texts:
        """Activations and pointer log-odds of samples; each sample is read once."""
        unknown = [sample for sample in dict.fromkeys(samples) if sample not in self._read]
        if unknown:
            read = self.task.read([sample.whole for sample in unknown])
            self._read |= dict(
                zip(unknown, zip(read.activations, read.pointer_log_odds, strict=True), strict=True)
            )
        activations, odds = zip(*(self._read[sample] for sample in samples), strict=True)
        return Texts(np.stack(activations), np.array(odds))

    def coherent(self, samples: Sequence[Sample]) -> Bool[np.ndarray, "text"]:
        """Whether each sample is coherent; each sample is checked once."""
        unknown = [sample for sample in dict.fromkeys(samples) if sample not in self._coherent]
        if unknown:
            texts, prompts = [each.text for each in unknown], [each.prompt for each in unknown]
            self._coherent |= dict(
                zip(unknown, self.coherence.check(texts, prompts).coherent.tolist(), strict=True)
            )
        return np.array([self._coherent[sample] for sample in samples])

    def vector(self, target: str, config: UpdatingConfig) -> Intervention:
        """A steering vector from outside the target to inside it, computed once."""
        key = target, config.model_dump_json()
        if key not in self._vectors:
            self._vectors[key] = self._vector(self.task.targets[target], config)
        return self._vectors[key]

    def _vector(self, target: TargetConcept, config: UpdatingConfig) -> Intervention:
        inside = target.membership >= MEMBER
        if not inside.any():
            inside = target.membership >= np.sort(target.membership)[-max(1, len(inside) // 50)]
        texts = self.task.texts
        found = update(
            self.task.language_model,
            [texts[at] for at in np.flatnonzero(inside).tolist()],
            [texts[at] for at in np.flatnonzero(~inside).tolist()],
            self.task.activations[inside],
            self.task.activations[~inside],
            config=config,
            nats=config.budget_nats,
            member_weights=target.membership[inside],
            other_weights=1 - target.membership[~inside],
        )
        return Intervention(vector=found.vector)
