"""Forked and damaged runs resume to the same bytes; runs of another model are refused."""

from __future__ import annotations

import copy
import shutil

import pytest
from conftest import make_causal_lm
from planted_forgery import forge_json
from planted_loop import begin, contents, corpus, machine, resume, run, run_rounds, tiny_parts  # noqa: F401 (fixtures)

from agent.errors import BasinError
from agent.language_model.model import LanguageModel
from loops.api.classifier import ConceptClassifier
from loops.api.generate import write
from loops.checkpoint.fork import fork
from loops.checkpoint.store import RunStore
from loops.evaluation.measure import measure
from loops.export.subject import Export

NEVER_STILL = {"tracking": {"drift_bound": 0.0}}


def stopped_after(store: RunStore, rounds: int) -> RunStore:
    run_rounds(store, rounds)
    return RunStore.open(store.path)


def test_a_fork_differs_from_the_old_run_only_by_its_settings(begin):
    whole = begin("whole", **NEVER_STILL)
    run(whole)
    same, _ = fork(RunStore.open(whole.path), 2, [], whole.path.with_name("same"))
    other, _ = fork(RunStore.open(whole.path), 2, ["updating.budget_nats=0.2"], whole.path.with_name("other"))
    for store in (same, other):
        resume(store)
        assert RunStore.open(store.path).rounds() == [0, 1, 2, 3, 4]
    assert contents(same, "config.json") == contents(whole, "config.json")
    mine, theirs = (contents(store)["round_004/tensors.safetensors"] for store in (whole, other))
    assert mine != theirs


def test_a_damaged_newest_round_is_computed_again_to_the_same_bytes(begin):
    store = begin("run", **NEVER_STILL)
    run(store)
    before = contents(store)
    file = store.path / "round_004" / "tensors.safetensors"
    file.write_bytes(file.read_bytes()[:-9])
    (store.path / "run.json").write_bytes(b"{")
    logged = resume(store)
    assert any("Round 4 of run is damaged" in sentence for sentence in logged)
    assert any("round 0's copy takes its place" in sentence for sentence in logged)
    assert (store.path / "damaged_round_004_1").is_dir()
    assert contents(store) == before and RunStore.open(store.path).warning is None


def test_a_run_of_a_model_of_another_width_is_refused(begin, monkeypatch):
    store = stopped_after(begin("run", **NEVER_STILL), 1)

    model = make_causal_lm("llama", depth=3, hidden_size=24)
    monkeypatch.setattr(LanguageModel, "load", lambda config: LanguageModel(model, tiny_parts()[1], config))
    before, sentence = contents(store), r"was made with another model \(width 16\) than 'tiny' \(width 24\)"
    for does in (lambda: resume(store), lambda: write(store, None, 1)):
        with pytest.raises(BasinError, match=sentence):
            does()
    assert contents(store) == before


def with_noise(model, tokenizer):
    model.model.layers[1].mlp.up_proj.weight.data[0, 0] += 1e-3


def with_another_rotation(model, tokenizer):
    model.config.rope_parameters["rope_theta"] = 500.0


def with_another_end(model, tokenizer):
    tokenizer.eos_token = "<s>"


def both(model, tokenizer):
    with_noise(model, tokenizer)
    with_another_end(model, tokenizer)


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (with_noise, "weights"),
        (with_another_rotation, "config"),
        (with_another_end, "tokenizer"),
        (both, "weights and tokenizer"),
    ],
)
def test_another_model_of_the_same_shape_is_refused_by_its_parts_or_accepted(
    begin, monkeypatch, change, parts
):
    store = stopped_after(begin("run", **NEVER_STILL), 1)
    before, own = contents(store), LanguageModel.load

    def changed(config) -> LanguageModel:
        model, tokenizer = copy.deepcopy(tiny_parts())
        change(model, tokenizer)
        return LanguageModel(model, tokenizer, config)

    monkeypatch.setattr(LanguageModel, "load", changed)
    judge = ConceptClassifier(store.path)
    for does in (
        lambda: resume(store),
        lambda: write(store, None, 1),
        lambda: measure(store),
        lambda: judge.predict(["some text"]),
        lambda: Export.of(store, 1).language_model(),
    ):
        with pytest.raises(
            BasinError, match=f"'tiny' is not the model .* it differs in {parts}; .*--accept-model"
        ):
            does()
    assert contents(store) == before
    assert [*write(store, None, 1, accept_model=True)] == [*write(store, None, 1)]
    resume(store, 2)
    assert [(each["role"], each["from_round"]) for each in store.about["models"]] == [
        ("language_model", 0),
        ("language_model", 2),
    ]
    first, second = (
        fork(RunStore.open(store.path), at, [], store.path.with_name(f"at{at}"))[0] for at in (1, 2)
    )
    monkeypatch.setattr(LanguageModel, "load", own)
    write(first, None, 1)
    for each in (store, second):
        with pytest.raises(BasinError, match=f"differs in {parts}"):
            write(each, None, 1)


def test_another_judge_of_coherence_is_refused(begin, monkeypatch):
    store = stopped_after(begin("run", **NEVER_STILL, coherence={"model": "judge"}), 1)
    tiny = LanguageModel.load

    def changed(config) -> LanguageModel:
        model, tokenizer = copy.deepcopy(tiny_parts())
        with_noise(model, tokenizer)
        return LanguageModel(model, tokenizer, config) if config.name == "judge" else tiny(config)

    monkeypatch.setattr(LanguageModel, "load", changed)
    with pytest.raises(
        BasinError, match=r"'judge' is not the model .*\(coherence.model\): it differs in weights"
    ):
        resume(store)


def test_a_round_without_drift_is_not_resumed(begin):
    store = stopped_after(begin("run", **NEVER_STILL), 2)
    forge_json(store.path, 2, "round.json", lambda tree: {k: v for k, v in tree.items() if k != "drift"})
    with pytest.raises(BasinError, match="Round 2 of run lacks the metric drift"):
        resume(store)
    shutil.rmtree(store.path / "round_002")
    resume(store)
