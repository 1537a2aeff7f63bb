"""Every command with missing, odd and extreme arguments: a result, a sentence or the usage, never a traceback."""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from agent.errors import BasinError
from loops.checkpoint.store import RunStore
from loops.cli.main import app
from loops.config import load_config

# fmt: off
WORDS = (
    "saved", "svaed", "corpus", "corpus.jsonl", "run.yaml", "nowhere", "nowhere.yaml", "brown-fiction", "concept", "lda:x",
    "no/model", "", " ", "-", "--", "-1", "0", "1", "3", "1e999", "nan", "9" * 20, "9" * 5000, "\udcff", "\x1b[2J", "a\nb",
    "a" * 300, "../up", "a/b/c", "~nobody/x", "/dev/null", "/dev/zero", "rounds=3", "rounds", "=", "seed=1e3", "corpus=[",
    "rounds=&a [*a]", "storm,captain", ",,,", "auto", "1:2", "[b]", "{}", "*", "%s", "{0}", "--help", "--no-such",
)
# fmt: on
ONCE_FAILED = [
    f"evaluate membership {rest}".split() for rest in ("--out /dev/zero", "--seeds 9999999 --out 1.5")
]
FEW = {"derandomize": True, "database": None, "deadline": None, "suppress_health_check": list(HealthCheck)}


def _walk(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, inside in getattr(command, "commands", {}).items():
        yield from _walk(inside, (*path, name))
    if not hasattr(command, "commands"):
        yield path, command


COMMANDS = dict(_walk(typer.main.get_command(app), ()))


@st.composite
def arguments(draw: st.DrawFn, command: Any) -> list[str]:
    given_: list[str] = []
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            given_ += draw(st.lists(st.sampled_from(WORDS), min_size=0, max_size=2))
        elif draw(st.integers(0, 3)) == 0:
            given_.append(draw(st.sampled_from(parameter.opts)))
            given_ += [] if getattr(parameter, "is_flag", False) else [draw(st.sampled_from(WORDS))]
    return given_


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A working folder with a run, a corpus and a config; models, topics and downloads are out of reach."""

    def refuse(*_: object, **__: object) -> None:
        raise BasinError("Nothing is loaded, fitted or fetched in this test: run the command itself.")

    (tmp_path / "corpus").mkdir()
    text = "The ship and the storm were here again. " * 12
    for number in range(6):
        (tmp_path / "corpus" / f"{number}.txt").write_text(f"{number} {text}")
    rows = [json.dumps({"text": f"{number} {text}", "label": number % 2 == 0}) for number in range(6)]
    (tmp_path / "corpus.jsonl").write_text("\n".join(rows))
    (tmp_path / "run.yaml").write_text("corpus: {source: corpus}\nrounds: 2\ncoherence: {model: null}\n")
    RunStore.create(tmp_path / "checkpoints" / "saved", load_config(tmp_path / "run.yaml"))
    monkeypatch.setenv("BASIN_CHECKPOINTS", str(tmp_path / "checkpoints"))
    monkeypatch.setenv("BASIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("agent.language_model.model.LanguageModel.load", refuse)
    monkeypatch.setattr("agent.hub.pinned_packages._run_client", refuse)
    fit = importlib.import_module("agent.pointer.lda").fit
    for name, module in list(sys.modules.items()):
        if name.startswith(("agent.", "loops.")) and vars(module).get("fit") is fit:
            monkeypatch.setattr(module, "fit", refuse)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def must_end_well(words: list[str]) -> None:
    done = CliRunner().invoke(app, words, prog_name="basin")
    seen = f"{words}: {done.output[-500:]}"
    assert done.exception is None or isinstance(done.exception, SystemExit), (seen, done.exception)
    assert "Traceback" not in done.output and done.exit_code in (0, 1, 2), seen
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    if done.exit_code == 1:
        assert lines and lines[-1].startswith("Error: "), seen
    if done.exit_code == 2:
        assert "Usage" in done.output, seen


@pytest.mark.parametrize("words", ONCE_FAILED, ids=" ".join)
def test_arguments_that_once_failed_end_well(words, place):
    must_end_well(words)


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_odd_arguments_end_in_a_sentence(path, place):
    @settings(max_examples=8, **FEW)
    @given(arguments(COMMANDS[path]))
    def once(words: list[str]) -> None:
        must_end_well([*path, *words])

    once()
