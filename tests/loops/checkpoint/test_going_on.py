"""Forked and damaged runs resume to the same bytes; runs of another model are refused."""

from __future__ import annotations

import shutil

import pytest
from conftest import ARCHITECTURES, make_causal_lm
from planted_forgery import forge_json
from planted_loop import begin, contents, corpus, machine, resume, run, run_rounds, tiny_parts  # noqa: F401 (fixtures)

from agent.errors import BasinError
from agent.language_model.model import LanguageModel
from loops.api.generate import write
from loops.checkpoint.fork import fork
from loops.checkpoint.store import RunStore

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

    def wider(config) -> LanguageModel:
        monkeypatch.setitem(
            ARCHITECTURES,
            "wider",
            lambda: type(ARCHITECTURES["llama"]())(
                **{**ARCHITECTURES["llama"]().to_dict(), "hidden_size": 24}
            ),
        )
        return LanguageModel(make_causal_lm("wider", depth=3), tiny_parts()[1], config)

    monkeypatch.setattr(LanguageModel, "load", wider)
    before = contents(store)
    for does in (
        lambda: resume(store),
        lambda: write(store, None, 1),
    ):
        with pytest.raises(
            BasinError, match=r"was made with another model \(width 16\) than 'tiny' \(width 24\)"
        ):
            does()
    assert contents(store) == before


def test_a_round_without_drift_is_not_resumed(begin):
    store = stopped_after(begin("run", **NEVER_STILL), 2)
    forge_json(store.path, 2, "round.json", lambda tree: {k: v for k, v in tree.items() if k != "drift"})
    with pytest.raises(BasinError, match="Round 2 of run lacks the metric drift"):
        resume(store)
    shutil.rmtree(store.path / "round_002")
    resume(store)
