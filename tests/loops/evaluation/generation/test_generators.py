"""Every generator on a tiny random model: its target, its prompts and the work that generators share."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from planted_task import CALLED, PROMPTS, odd, planted_task, planted_workspace

from agent.language_model.model import LanguageModel
from agent.membership.log_odds import sigmoid
from loops.evaluation.generation import generators
from loops.evaluation.generation import workspace as workspaces
from loops.evaluation.generation.generators import GENERATORS, TRIES, Intervention, accepts, training_weights
from loops.evaluation.generation.task import TargetConcept


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    monkeypatch.setattr(generators, "STEERED_LAYERS", (1,))


@pytest.fixture
def workspace(tmp_path):
    return planted_workspace(planted_task(tmp_path))


@pytest.fixture
def heard(monkeypatch):
    """Prompts that the model was given."""
    prompts, generate = [], LanguageModel.generate

    def listening(self, given, *arguments, **options):
        prompts.extend(given)
        return generate(self, given, *arguments, **options)

    monkeypatch.setattr(LanguageModel, "generate", listening)
    return prompts


def log_odds(workspace, target, samples):
    task = workspace.task
    return task.targets[target].log_odds(task.read([each.prompt + each.text for each in samples]))


def test_everything_shared_is_made_once(workspace, monkeypatch, heard):
    read, update = [], []
    record, found = LanguageModel.record, workspaces.update
    monkeypatch.setattr(
        LanguageModel, "record", lambda self, texts: read.extend(texts) or record(self, texts)
    )
    monkeypatch.setattr(
        workspaces, "update", lambda *given, **more: update.append(1) or found(*given, **more)
    )
    base = GENERATORS["base"](workspace)
    for name in ("topic-rejection", "basin-filter", "basin-steered-0.1", "basin-steered-0.1"):
        GENERATORS[name](workspace)
    assert len(read) == len(set(read)) == len(PROMPTS) * TRIES
    assert len(update) == 1 and len(heard) == len(PROMPTS) * (TRIES + 1)
    assert base.samples == workspace.write("pool-base", Intervention(), tries=TRIES)[::TRIES]


def test_only_the_prompt_generator_sees_the_concepts_name(workspace, heard):
    outputs, told = {}, {}
    for name, generator in GENERATORS.items():
        heard.clear()
        outputs[name] = generator(workspace)
        told[name] = list(heard)
    neutral = set(PROMPTS)
    assert all(prompt.startswith(f"Write a {CALLED}.\n\n") for prompt in told["prompt-name"])
    for name in GENERATORS.keys() - {"prompt-name"}:
        assert set(told[name]) <= neutral and not outputs[name].intervention.preamble, name
    for name, output in outputs.items():
        assert {sample.prompt for sample in output.samples} <= set(PROMPTS), name
        chooses = name.endswith(("rejection", "filter"))
        assert chooses or [sample.prompt for sample in output.samples] == PROMPTS, name
    # Each is driven by a target of its own.
    learned = [
        outputs[f"{each}-adapter"].intervention for each in ("topic", "random", "corpus", "basin", "gold")
    ]
    assert len({each.adapter.digest for each in learned}) == 5

    heard.clear()
    again = planted_workspace(workspace.task)
    for name, generator in GENERATORS.items():
        assert generator(again).samples == outputs[name].samples, name
    assert heard == []


def test_best_of_takes_the_coherent_one_that_the_target_likes_best(workspace):
    output = GENERATORS["basin-adapter-best-of-4"](workspace)
    assert len(workspace.coherence.read) == len(set(workspace.coherence.read))
    pool = workspace.write("pool-basin", output.intervention, tries=TRIES)
    liked = log_odds(workspace, "basin", pool)
    for number, chosen in enumerate(output.samples):
        rows = range(number * TRIES, (number + 1) * TRIES)
        good = [row for row in rows if odd(pool[row].text)] or list(rows)
        assert chosen == pool[max(good, key=lambda row: liked[row])]
        assert pool[rows[0]].prompt == chosen.prompt == PROMPTS[number]
    assert output.accepted == 1 / TRIES


def test_rejection_keeps_accepted_passages(workspace):
    output = GENERATORS["basin-filter"](workspace)
    pool = workspace.write("pool-base", Intervention(), tries=TRIES)
    membership = sigmoid(log_odds(workspace, "basin", pool))
    wanted = [sample for sample, value in zip(pool, membership, strict=True) if accepts(sample, value)]
    assert 0 < len(wanted) < len(pool) and output.samples == wanted
    assert output.accepted == len(wanted) / len(pool) and not output.intervention.changes


@pytest.mark.parametrize(("odds", "share"), [(50.0, 1.0), (-50.0, 0.0)])
def test_a_target_that_takes_all_or_none(tmp_path, odds, share):
    task = planted_task(tmp_path)
    sure = TargetConcept(
        task.targets["basin"].membership, lambda texts: np.full(len(texts.activations), odds)
    )
    output = GENERATORS["basin-filter"](
        planted_workspace(replace(task, targets={**task.targets, "basin": sure}))
    )
    assert output.accepted == share and len(output.samples) == share * len(PROMPTS) * TRIES


def test_an_adapter_learns_from_members_or_the_most_typical_passages():
    many = TargetConcept(np.array([0.9, 0.5, 0.4, 0.1]), lambda texts: np.zeros(0))
    assert training_weights(many).tolist() == [0.9, 0.5, 0.0, 0.0]
    none = TargetConcept(np.arange(100) / 400, lambda texts: np.zeros(0))
    assert training_weights(none).tolist() == [*[0] * 98, 0.5, 0.5]
