"""Generated texts and activations survive a kill, and only an equal round takes them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from planted_loop import begin, contents, corpus, machine, run, run_rounds  # noqa: F401 (fixtures)

from agent.concept import Concept
from agent.language_model.decoding.config import GenerationConfig
from agent.language_model.model import LanguageModel
from agent.steering.vector import SteeringVector
from loops.checkpoint.store import RunStore
from loops.round.partial import PartialWork, writing_key

CONFIG = GenerationConfig(batch_size=3)
PROMPTS, SEEDS = [f"prompt {at}" for at in range(8)], list(range(8))
NOTHING = Concept(1, *np.zeros((3, 2)), 0.5)
STEERED = replace(NOTHING, vector=SteeringVector({2: torch.ones(4)}))


class Writer:
    def __init__(self, dies_at: int = 99) -> None:
        self.calls, self.dies_at = 0, dies_at

    def __call__(self, items) -> list[str]:
        self.calls += 1
        if self.calls == self.dies_at:
            raise KeyboardInterrupt
        return [f"{prompt} {seed} “so”" for prompt, seed in items]


def write(writer, folder, concept=STEERED, config=CONFIG, model="m", prompts=PROMPTS):
    items, texts = list(zip(prompts, SEEDS, strict=False)), []
    for batch in PartialWork(folder).text_batches(
        items, config.batch_size, writing_key(concept, config, model)
    ):
        texts += batch.stored or batch.keep(writer(batch.items))
    return texts


def read_rows(read, key, folder):
    parts = [
        batch.keep(read(batch.items)) if batch.stored is None else batch.stored
        for batch in PartialWork(folder).row_batches(PROMPTS, key)
    ]
    return np.concatenate(parts)


def test_a_kill_loses_only_the_current_batch(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        write(Writer(dies_at=3), tmp_path)
    again = Writer()
    assert write(again, tmp_path) == write(Writer(), tmp_path / "straight")
    assert again.calls == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"concept": NOTHING},
        {"concept": replace(STEERED, vector=2 * STEERED.vector)},
        {"config": GenerationConfig(batch_size=3, temperature=0.5)},
        {"model": "another"},
        {"prompts": PROMPTS[1:]},
    ],
)
def test_texts_of_another_concept_or_setting_are_not_taken(tmp_path, changed):
    write(Writer(), tmp_path)
    writer = Writer()
    write(writer, tmp_path, **changed)
    assert writer.calls == 3


@pytest.mark.parametrize("content", [b"", b"[1, 2, 3]", b'["a", "b"]', b'{"a": 1}', b"\xff\xfe"])
def test_a_damaged_batch_is_written_again(tmp_path, content):
    whole = write(Writer(), tmp_path)
    file = max((tmp_path / "written").iterdir(), key=lambda each: each.stat().st_size)  # one of three texts
    file.write_bytes(content)
    writer = Writer()
    assert write(writer, tmp_path) == whole and writer.calls == 1


def test_an_unwritable_scratch_folder_does_not_stop_a_round(tmp_path):
    (tmp_path / "written").write_text("in the way")
    assert len(write(Writer(), tmp_path)) == len(PROMPTS)


def test_a_run_killed_while_it_writes_resumes_to_the_same_bits(begin, monkeypatch):
    changes = {"generation": {"batch_size": 2}}
    straight, killed = begin("straight", **changes), begin("killed", **changes)
    run(straight)
    whole, calls = LanguageModel.generate, []

    def dying(self, *arguments, **options):
        calls.append(1)
        if len(calls) == 8:  # the last batch of round 1, since round 0 takes five
            raise KeyboardInterrupt
        return whole(self, *arguments, **options)

    monkeypatch.setattr(LanguageModel, "generate", dying)
    with pytest.raises(KeyboardInterrupt):
        run(killed)
    assert len(list((killed.scratch / "written").iterdir())) == 2
    run_rounds(RunStore.open(killed.path))
    assert contents(killed) == contents(straight)
    assert not killed.scratch.exists()
    assert len(calls) == 8 + 1 + 3 * 3, "one batch of round 1, and all of rounds 2 to 4"


def rows(part):
    return np.stack([np.full((2, 3), len(text), dtype=np.float32) for text in part])


def test_recorded_activations_are_not_recorded_again_after_a_kill(tmp_path, monkeypatch):
    monkeypatch.setattr("loops.round.partial.READ_TOGETHER", 3)
    calls = []

    def read(part, dies_at=99):
        calls.append(len(part))
        if len(calls) == dies_at:
            raise KeyboardInterrupt
        return rows(part)

    with pytest.raises(KeyboardInterrupt):
        read_rows(lambda part: read(part, 3), "model", tmp_path)
    calls.clear()
    assert np.array_equal(read_rows(read, "model", tmp_path), rows(PROMPTS)) and calls == [2]
    calls.clear()
    read_rows(read, "another model", tmp_path)
    assert calls == [3, 3, 2]
