"""The cost of a run, and the doctor on a machine that has nothing cached."""

from __future__ import annotations

import pytest
import typer.testing
from planted_run import CONFIG

from loops.cli.main import app
from loops.round.forecast import Speeds, estimate, matrix_speed, measured_speeds, peaks, speeds_from

SPEEDS = Speeds(record=1000, generate=200, depth_recorded=0.8)


def test_cost_grows_with_rounds_and_falls_with_speed():
    few, many = (CONFIG.model_copy(update={"rounds": rounds}) for rounds in (2, 8))
    slow = Speeds(500, 100, 0.8)
    assert estimate(many, 1000, SPEEDS)["generate"] == pytest.approx(
        (8 + 1) / (2 + 1) * estimate(few, 1000, SPEEDS)["generate"]
    )
    for stage in ("record", "generate"):
        assert estimate(few, 1000, slow)[stage] == pytest.approx(2 * estimate(few, 1000, SPEEDS)[stage])
    more = estimate(few, 2000, SPEEDS)
    assert more["record"] > estimate(few, 1000, SPEEDS)["record"] and more["topics"] > 0


def test_what_is_written_is_counted_in_tokens():
    generation = CONFIG.generation.model_copy(update={"samples": 10, "new_tokens": 100})
    config = CONFIG.model_copy(update={"generation": generation, "rounds": 3})
    assert estimate(config, 100, SPEEDS)["generate"] == pytest.approx((3 + 1) * 10 * 100 / 200)


def test_speeds_are_positive_and_rise_with_the_machine():
    assert matrix_speed(CONFIG, seconds=0.02) > 0
    assert speeds_from(200).generate == pytest.approx(2 * speeds_from(100).generate)


def test_a_model_is_tried_in_the_configured_batches():
    from conftest import make_language_model, sentence

    generation = CONFIG.generation.model_copy(update={"batch_size": 3})
    language_model = make_language_model(depth=3, layers=(1,))
    config = CONFIG.model_copy(update={"generation": generation})
    speeds = measured_speeds(language_model, config, sentence(*range(20)))
    assert speeds.record > 0 and speeds.generate > 0 and speeds.depth_recorded == pytest.approx(1 / 3)


def test_peaks_grow_with_what_is_done_at_a_time():
    from conftest import make_language_model

    language_model = make_language_model(depth=3, layers=(1,))
    generation = CONFIG.generation.model_copy(update={"batch_size": 2000, "samples": 2000})
    few, many = (
        peaks(language_model, CONFIG),
        peaks(language_model, CONFIG.model_copy(update={"generation": generation})),
    )
    assert many["generate"] > few["generate"] and many["record"] == few["record"] > 0.5


def test_a_bare_machine_is_examined_without_the_network(tmp_path, monkeypatch):
    monkeypatch.setenv("BASIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BASIN_CHECKPOINTS", str(tmp_path / "runs"))
    monkeypatch.setattr("subprocess.Popen.__init__", _no_network)
    result = typer.testing.CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 0
    lines = [line.split() for line in result.output.splitlines()]
    cached = {line[0]: line[1] for line in lines if len(line) > 1}
    assert {cached[name] for name in ("smollm2-135m", "gemma3-270m", "all-minilm-l6-v2", "brown")} == {
        "missing"
    }
    assert not (tmp_path / "cache").exists() and not (tmp_path / "runs").exists()
    assert typer.testing.CliRunner().invoke(app, ["doctor", str(tmp_path / "none.yaml")]).exit_code == 1


def _no_network(self: object, command: list[str], *_: object, **__: object) -> None:
    assert command[0] == "git", command
    raise FileNotFoundError
