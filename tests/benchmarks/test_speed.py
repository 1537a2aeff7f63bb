"""Tools take turns and fail alone; a stage run again replaces its own rows."""

import itertools
import json

import pytest
import torch
from conftest import make_language_model, sentence

from agent.hub.pinned_packages import cache_root
from agent.language_model.activation_cache import record_cached
from agent.language_model.decoding.config import GenerationConfig
from agent.steering.vector import SteeringVector
from benchmarks import speed, speed_rivals
from benchmarks.speed import Limit, compare, measured_limit, without_recordings

SHARED = {"stage": "record", "dtype": "float32", "device": "cpu"}


def test_tools_take_turns_and_failures_are_noted():
    order, time = [], itertools.count()

    def tool(name: str, tokens: int):
        def work() -> int:
            order.append(name)
            if name == "broken":
                raise TypeError("no such argument\nand more")
            for _ in range(tokens):
                next(time)
            return 60

        return work

    tools = {"basin": tool("basin", 2), "slow": tool("slow", 8), "broken": tool("broken", 0)}
    rows = compare(tools, 9, lambda: float(next(time)), SHARED, limit=40.0)
    first, *turns = [order[:3], *(order[at : at + 2] for at in range(3, len(order), 2))]
    assert sorted(first) == ["basin", "broken", "slow"] and len(turns) == 8
    # None always follows the same other.
    assert {*map(tuple, turns)} == {("basin", "slow"), ("slow", "basin")}
    ours, slow, broken = rows
    assert ours["seconds_median"] == 3 and ours["tokens_per_second"] == 20 and ours["share_of_limit"] == 0.5
    assert slow["ratio_to_ours"] == 3 and ours["ratio_to_ours"] == 1
    assert broken["note"] == "TypeError: no such argument" and "seconds_median" not in broken


def test_the_limit_is_the_slower_of_products_and_weights():
    limit = Limit(operations=1000.0, bytes=100.0)
    assert limit.reading(parameters=10) == 50
    assert limit.writing(parameters=10, weight_bytes=20, batch=1) == 5  # weights: 0.2 s a step
    assert limit.writing(parameters=10, weight_bytes=20, batch=100) == 50
    found = measured_limit(torch.float32, torch.device("cpu"), iter(range(1000)).__next__)
    assert found.operations > 0 and found.bytes > 0


def test_a_stage_that_is_run_again_replaces_its_own_rows(tmp_path):
    ours, path = {**SHARED, "tool": "basin"}, tmp_path / "speed.json"
    old = [ours | {"tokens": 1}, ours | {"stage": "write", "batch": 32}, ours | {"passages": 2000}]
    path.write_text(json.dumps({"rows": old}))
    rows = speed.merged([ours | {"tokens": 2}, ours | {"passages": 48}], path)
    expected = [ours | {"tokens": 2}, ours | {"passages": 48}, *old[1:]]
    assert sorted(map(str, rows)) == sorted(map(str, expected))


def test_an_empty_cache_has_the_weights_and_no_activations(tmp_path, monkeypatch):
    monkeypatch.setenv("BASIN_CACHE", str(tmp_path))
    for part in ("activations", "packages"):
        (tmp_path / part / "one").mkdir(parents=True)
    with without_recordings() as folder:
        assert cache_root() == folder and [each.name for each in folder.iterdir()] == ["packages"]
        assert (folder / "packages" / "one").is_dir()
        record_cached(make_language_model(depth=4), [sentence(1), sentence(2)])
        assert list(folder.glob("activations/*/*"))
    assert cache_root() == tmp_path and not folder.exists()
    assert sorted(each.name for each in tmp_path.glob("*/*")) == ["one", "one"]


@pytest.mark.parametrize("tool", ["basin", "padded output_hidden_states"])
def test_recorders_read_all_tokens(tool):
    texts = [sentence(*range(length)) for length in (3, 9, 5)]
    assert speed_rivals.recorders(make_language_model(depth=4), texts)[tool]() == 3 + 9 + 5 + 3


@pytest.mark.parametrize("tool", ["basin", "generate with a hook"])
def test_writers_write_all_tokens_and_leave_no_hook(tool):
    model, vector = make_language_model(depth=4), SteeringVector({1: torch.ones(16)})
    config = GenerationConfig(new_tokens=4, batch_size=2, top_k=5)
    assert speed_rivals.writers(model, [sentence(1), sentence(2, 3)], config, vector)[tool]() == 8
    assert not any(module._forward_hooks for module in model.model.modules())
