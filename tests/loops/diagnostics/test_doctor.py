"""The cost of a run, and the doctor on a machine that has nothing cached."""

import pytest
import typer.testing
from conftest import make_language_model, sentence
from planted_run import CONFIG

from loops.cli.main import app
from loops.config import RunConfig
from loops.round.forecast import Speeds, estimate, measured_speeds, peaks

SPEEDS = Speeds(record=1000, generate=200, depth_recorded=0.8)


def test_cost_grows_with_rounds_and_falls_with_speed():
    few, many = (CONFIG.model_copy(update={"rounds": rounds}) for rounds in (2, 8))
    cost, slow = estimate(few, 1000, SPEEDS), estimate(few, 1000, Speeds(500, 100, 0.8))
    assert estimate(many, 1000, SPEEDS)["generate"] == pytest.approx((8 + 1) / (2 + 1) * cost["generate"])
    assert [slow[stage] / cost[stage] for stage in ("record", "generate")] == pytest.approx([2, 2])
    more = estimate(few, 2000, SPEEDS)
    assert more["record"] > cost["record"] and more["topics"] > 0
    generation = CONFIG.generation.model_copy(update={"samples": 10, "new_tokens": 100})
    config = CONFIG.model_copy(update={"generation": generation, "rounds": 3})
    assert estimate(config, 100, SPEEDS)["generate"] == pytest.approx((3 + 1) * 10 * 100 / 200)


def _generating(**settings: int) -> RunConfig:
    return CONFIG.model_copy(update={"generation": CONFIG.generation.model_copy(update=settings)})


def test_a_model_is_tried_in_the_configured_batches():
    model = make_language_model(depth=3, layers=(1,))
    speeds = measured_speeds(model, _generating(batch_size=3), sentence(*range(20)))
    assert speeds.record > 0 and speeds.generate > 0 and speeds.depth_recorded == pytest.approx(1 / 3)


def test_peaks_grow_with_the_batch():
    model = make_language_model(depth=3, layers=(1,))
    few, many = peaks(model, CONFIG), peaks(model, _generating(batch_size=2000, samples=2000))
    assert many["generate"] > few["generate"] and many["record"] == few["record"] > 0.5


def test_a_bare_machine_is_examined_without_the_network(tmp_path, monkeypatch):
    monkeypatch.setenv("BASIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BASIN_CHECKPOINTS", str(tmp_path / "runs"))
    monkeypatch.setattr("subprocess.Popen.__init__", _no_network)
    result = typer.testing.CliRunner().invoke(app, ["doctor"])
    cached = dict(line.split()[:2] for line in result.output.splitlines() if len(line.split()) > 1)
    names = ("smollm2-135m", "gemma3-270m", "all-minilm-l6-v2", "brown")
    assert result.exit_code == 0 and {cached[name] for name in names} == {"missing"}
    assert not (tmp_path / "cache").exists() and not (tmp_path / "runs").exists()
    assert typer.testing.CliRunner().invoke(app, ["doctor", str(tmp_path / "none.yaml")]).exit_code == 1


def _no_network(self: object, command: list[str], *_: object, **__: object) -> None:
    assert command[0] == "git", command
    raise FileNotFoundError
