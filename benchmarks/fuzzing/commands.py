"""The command line, called with missing, odd and extreme arguments for every command that there is.

Models, topics and downloads are out of reach: whatever comes that far is refused in their place. A working folder with a run, a
corpus and configurations lies ready, so that arguments can also be right.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import random
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from unittest.mock import patch

import typer.main
import typer.testing

from agent.errors import BasinError
from benchmarks.fuzzing.watching import Failed

OUT_OF_REACH = "Nothing is loaded, fitted or fetched while arguments are tried: run the command itself."
WORDS = (
    *(
        "saved",
        "svaed",
        "corpus",
        "corpus.jsonl",
        "run.yaml",
        "odd.yaml",
        "suite.yaml",
        "nowhere",
        "nowhere.yaml",
    ),
    *(
        "brown-fiction",
        "brown",
        "concept",
        "topic",
        "embedder",
        "lda:5",
        "lda:x",
        "lda:0:-1",
        "smollm2-135m",
        "no/model",
    ),
    *(
        "",
        " ",
        "-",
        "--",
        "-1",
        "0",
        "1",
        "2",
        "3",
        "8",
        "1e999",
        "nan",
        "inf",
        "1.5",
        "9" * 20,
        "9" * 5000,
        "-" + "9" * 30,
    ),
    *(
        "\udcff",
        "\x1b[2J",
        "a\nb",
        "é",
        "a" * 300,
        "a" * 5000,
        "../up",
        "./here",
        "a/b/c",
        "~nobody/x",
        "/dev/null",
        "/dev/zero",
    ),
    *(
        "rounds=3",
        "rounds",
        "rounds=",
        "=3",
        "=",
        "seed=1e3",
        "corpus.source=corpus",
        "corpus=[",
        "a.b.c.d=1",
        "rounds=&a [*a]",
    ),
    *(
        "storm,captain",
        ",,,",
        "local",
        "auto",
        "1:2",
        "affine",
        "detective",
        "[b]",
        "{}",
        "*",
        "$HOME",
        "%s",
        "{0}",
    ),
)


def arguments(draw: random.Random) -> bytes:
    """A command with some of its parameters, as JSON."""
    path, command = draw.choice(load_commands())
    given = list(path)
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            given += [draw.choice(WORDS) for _ in range(draw.choice((1, 1, 1, 1, 0, 2)))]
        elif draw.random() < 0.3:
            given.append(draw.choice(parameter.opts))
            if not getattr(parameter, "is_flag", False) or draw.random() < 0.05:
                given.append(draw.choice(WORDS))
    if draw.random() < 0.1:
        given.insert(draw.randrange(len(given) + 1), draw.choice(("--help", "--", "--no-such", *WORDS)))
    return json.dumps(given).encode()


def run_command(content: bytes, folder: Path) -> None:
    """Call the command; raises `BasinError` with the sentence that it ended in, where it did."""
    from loops.cli.main import app

    load_commands()
    place = folder / "a" / "b" / "working"
    _prepare(place)
    given = json.loads(content)
    with _out_of_reach(place):
        result = typer.testing.CliRunner().invoke(app, given, prog_name="basin")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    if "Traceback" in result.output:
        raise Failed("traceback", result.output[-200:])
    said = [line for line in result.stderr.splitlines() if line.strip()]
    if result.exit_code == 1 and given[0] == "watch" and result.stdout and not said:
        return  # it says by its status that the run was not going on
    if result.exit_code == 1:
        if not said or not said[-1].startswith("Error: "):
            raise Failed("sentence", f"status 1 without a sentence: {said[-1:]}")
        raise BasinError(said[-1].removeprefix("Error: "))
    if result.exit_code == 2:  # click's own: which command, which argument, why
        if not any("Usage" in line for line in said):
            raise Failed("sentence", f"status 2 without the usage: {said[-1:]}")
        raise BasinError("The arguments do not fit the command: see its usage.")
    if result.exit_code != 0:
        raise Failed("sentence", f"status {result.exit_code}")


@cache
def load_commands() -> list[tuple[tuple[str, ...], object]]:
    """Every command by its words, with all that it imports late: that takes seconds once, which are no input's."""
    import loops
    from loops.cli.main import app

    for module in pkgutil.iter_modules(loops.__path__, "loops."):
        importlib.import_module(module.name)  # commands import late, which is not theirs to be timed by
    return list(_walk(typer.main.get_command(app), ()))


def _walk(command: object, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], object]]:
    inside = getattr(command, "commands", None)
    if inside is None:
        yield path, command
        return
    for name, each in inside.items():
        yield from _walk(each, (*path, name))


def _prepare(place: Path) -> None:
    """A fresh working folder, unless the last command left the one there as it was."""
    from loops.checkpoint.store import RunStore
    from loops.config import load_config

    runs = place / "checkpoints"
    if place.exists() and sorted(os.listdir(place)) == PREPARED and os.listdir(runs) == ["saved"]:
        return
    shutil.rmtree(place.parents[1], ignore_errors=True)
    (place / "corpus").mkdir(parents=True)
    records = []
    for number in range(6):
        text = " ".join(f"The ship and the storm were {number} times {other}." for other in range(12))
        (place / "corpus" / f"{number}.txt").write_text(text)
        records.append({"text": text, "label": number % 2 == 0})
    (place / "corpus.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    (place / "run.yaml").write_text("corpus: {source: corpus}\nrounds: 2\ncoherence: {model: null}\n")
    (place / "odd.yaml").write_text(
        "corpus: {source: nowhere}\nsuccession: {links: [{improved: more_text}]}\n"
    )
    (place / "suite.yaml").write_text(
        "- name: mine\n  corpus: {source: corpus.jsonl}\n  concepts: {sea: [ship, storm]}\n"
    )
    RunStore.create(runs / "saved", load_config(place / "run.yaml"))


PREPARED = sorted(["corpus", "corpus.jsonl", "run.yaml", "odd.yaml", "suite.yaml", "checkpoints"])


def _refuse(*arguments: object, **options: object) -> None:
    raise BasinError(OUT_OF_REACH)


@contextmanager
def _out_of_reach(place: Path) -> Iterator[None]:
    fit = importlib.import_module("agent.pointer.lda").fit
    holders = [
        module
        for name, module in sys.modules.items()
        if name.startswith(("agent.", "loops.")) and vars(module).get("fit") is fit
    ]
    before = Path.cwd()
    surroundings = {
        "BASIN_CHECKPOINTS": str(place / "checkpoints"),
        "BASIN_CACHE": str(place.parent / "cache"),
        "HF_HUB_OFFLINE": "1",
    }
    with ExitStack() as stack:
        stack.enter_context(patch.dict(os.environ, surroundings))
        for name in (
            "agent.language_model.model.LanguageModel.load",
            "agent.hub.pinned_packages._run_client",
        ):
            stack.enter_context(patch(name, _refuse))
        for module in holders:
            stack.enter_context(patch.object(module, "fit", _refuse))
        stack.enter_context(patch("loops.diagnostics.doctor.matrix_speed", lambda config: 1.0))
        os.chdir(place)
        try:
            yield
        finally:
            os.chdir(before)
