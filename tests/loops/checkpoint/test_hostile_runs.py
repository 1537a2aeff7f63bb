"""Malicious runs: each command reports one sentence, and nothing outside is changed or executed."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import planted_forgery as forging
import pytest
import torch
import typer.testing
from planted_run import contents, save_rounds

from agent.errors import BasinError
from loops.checkpoint.store import RunStore
from loops.cli.main import app
from loops.config import parse_config

SECONDS = 120
"""A command that takes longer hangs."""
NOWHERE = "/nonexistent/model"
COMMANDS: dict[str, tuple[str, ...]] = {
    "inspect": ("inspect", "evil"),
    "inspect a round": ("inspect", "evil", "--round", "2"),
    "verify": ("verify", "evil"),
    "generate": ("generate", "evil"),
    "measure": ("measure", "evil"),
    "match": ("match", "evil", "--in", "embedder"),
    "stitch": ("stitch", "evil", "--to", NOWHERE),
    "fork": ("fork", "evil", "--name", "fork-of-evil"),
    "follow": ("inspect", "evil", "--follow"),
    "report": ("report", "evil"),
    "topics": ("topics", "evil", "--topic", "0"),
    "resume": ("resume", "evil"),
}


def _trapped(place: Path) -> bytes:
    return pickle.dumps(forging.Trap(place / "outside" / "trapped"))


def _link(name: str, to: str = "outside/precious.txt") -> Callable[[Path], None]:
    """A link out of the run in the place of a file or folder."""

    def make(run: Path) -> None:
        path = run / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        path.symlink_to(run.parents[1] / to)

    return make


def _pipe(name: str) -> Callable[[Path], None]:
    def make(run: Path) -> None:
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).unlink(missing_ok=True)
        os.mkfifo(run / name)

    return make


def _sparse(name: str) -> Callable[[Path], None]:
    """A sparse file of a terabyte."""

    def make(run: Path) -> None:
        with (run / name).open("r+b") as file:
            file.truncate(1 << 40)

    return make


def _settings(**changes: object) -> Callable[[Path], None]:
    """Settings changed in both places."""

    def make(run: Path) -> None:
        def change(tree: dict) -> dict:
            given = {key: {**tree[key], **value} for key, value in changes.items()}
            return {**tree, **given}

        forging.seal_again(run / "run.json", lambda tree: {**tree, "config": change(tree["config"])})
        forging.forge_json(run, 0, "config.json", change)

    return make


def _named(name: str) -> Callable[[Path], None]:
    """The manifest of the newest round names a file outside, with its true hash."""

    def make(run: Path) -> None:
        content = (run.parents[1] / "outside" / "precious.txt").read_bytes()
        entry = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        named = name.replace("OUTSIDE", str(run.parents[1] / "outside"))
        forging.forge_manifest(run, 2, lambda tree: {**tree, "files": {**tree["files"], named: entry}})

    return make


def _pickles(run: Path) -> None:
    """Pickles where trainers and model libraries look for them."""
    place = run / ".training" / "lora" / "0123456789ab" / "checkpoint-3"
    place.mkdir(parents=True)
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin", "adapter_model.bin"):
        (place / name).write_bytes(_trapped(run.parents[1]))
    for name in ("run.pkl", "config.pkl", "certificate.pkl"):
        (run / name).write_bytes(_trapped(run.parents[1]))
    (run / "round_002" / "adapter" / "adapter_model.bin").write_bytes(_trapped(run.parents[1]))
    (run / "round_002" / "tensors.safetensors").write_bytes(_trapped(run.parents[1]))


def _own_model(run: Path) -> None:
    """A model folder inside the run, with code and a pickle for weights."""
    model = run / "model"
    model.mkdir()
    trapped, code = run.parents[1] / "outside" / "trapped", "evil.Evil"
    about = {"model_type": "evil", "auto_map": {"AutoConfig": code, "AutoModelForCausalLM": code}}
    (model / "config.json").write_text(json.dumps(about))
    (model / "evil.py").write_text(f"open({str(trapped)!r}, 'w')\nclass Evil: pass\n")
    torch.save({"a": forging.Trap(trapped)}, model / "pytorch_model.bin")
    _settings(language_model={"name": str(model)})(run)


def _trusting_model(run: Path) -> None:
    _own_model(run)
    _settings(language_model={"name": str(run / "model"), "trust_remote_code": True})(run)


def _importing_adapter(run: Path) -> None:
    (run / "evil.py").write_text(f"open({str(run.parents[1] / 'outside' / 'trapped')!r}, 'w')\n")
    evil = {"megatron_config": {"a": 1}, "megatron_core": "evil"}
    forging.forge_json(run, 2, "adapter/adapter_config.json", lambda tree: {**tree, **evil})


def _escapes(run: Path) -> None:
    """Texts that would steer a terminal or a page."""
    evil = "\x1b]0;owned\x07\x1b[2J<script>alert(1)</script>[red]\u202e"

    def retitled(tree: dict) -> dict:
        return {**tree, "documents": [{**each, "title": evil} for each in tree["documents"]]}

    forging.forge_json(run, 0, "passages.json", retitled)
    forging.forge_json(run, 2, "samples.json", lambda rows: [{**row, "text": evil} for row in rows])


def _deep(run: Path) -> None:
    (run / "run.json").write_bytes(b'{"schema":10,"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}")


def _other_types(run: Path) -> None:
    forging.seal_again(run / "run.json", lambda tree: {**tree, "created": ["now"], "versions": 7})


BESIDE_ROUNDS = ["run.json", "run.log", "progress.json", "certificate.json"]
IN_A_ROUND = ["round_002/manifest.json", "round_002/tensors.safetensors"]
LINKS_TO_A_FILE = [
    *BESIDE_ROUNDS,
    "measurements.json",
    "report.html",
    "round_002/samples.json",
]
LINKS_TO_A_FOLDER = ["round_002", "round_002/adapter", "matches", "stitches", "events", "page", ".training"]
LINKS_TO_A_FOLDER += [".training/teach", ".training/written"]
HARM: dict[str, Callable[[Path], None]] = {
    **{f"{name} is a link out": _link(name) for name in LINKS_TO_A_FILE},
    "a draft of the log is a link out": _link(f".run.log.tmp-{os.getpid()}"),
    **{f"{name} is a link to a folder outside": _link(name, "outside") for name in LINKS_TO_A_FOLDER},
    **{f"{name} is a pipe": _pipe(name) for name in BESIDE_ROUNDS + IN_A_ROUND},
    **{f"{name} is a terabyte": _sparse(name) for name in ["run.json", *IN_A_ROUND]},
    "run.json is the zeros of the machine": _link("run.json", "/dev/zero"),
    "the log is a terabyte": lambda run: ((run / "run.log").write_bytes(b""), _sparse("run.log")(run)),
    "a manifest names a file outside": _named("OUTSIDE/precious.txt"),
    "a manifest climbs out": _named("../../../outside/precious.txt"),
    "pickles everywhere": _pickles,
    "a model of its own": _own_model,
    "a model of its own that is trusted": _trusting_model,
    "an adapter that imports": _importing_adapter,
    "texts that steer terminals": _escapes,
    "run.json nested": _deep,
    "run.json of other types": _other_types,
    "numbers that are texts": lambda run: forging.forge_json(
        run, 2, "round.json", lambda tree: {**tree, "drift": "0"}
    ),
    "memberships that are no numbers": lambda run: forging.forge_arrays(
        run, 2, lambda arrays: {**arrays, "membership": arrays["membership"] * np.nan}, "tensors.safetensors"
    ),
}


@contextmanager
def in_time() -> Iterator[None]:
    def hangs(*_: object) -> None:
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def place(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of runs and one beside it that no command may change, without network."""
    runs, outside = tmp_path / "runs", tmp_path / "outside"
    outside.mkdir()
    (outside / "precious.txt").write_text("mine\n")
    (outside / "inner").mkdir()
    (outside / "inner" / "more.txt").write_text("mine too\n")
    monkeypatch.setenv("BASIN_CHECKPOINTS", str(runs))
    monkeypatch.setenv("BASIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    refused = Mock(side_effect=BasinError("Nothing is fetched in tests."))
    monkeypatch.setattr("agent.hub.pinned_packages._run_client", refused)
    monkeypatch.chdir(tmp_path)
    if not (planted := tmp_path_factory.getbasetemp() / "evil").exists():
        models = {"language_model": {"name": NOWHERE}, "coherence": {"model": None}}
        store = RunStore.create(planted, parse_config({"corpus": {"source": "somewhere"}, **models}, "test"))
        save_rounds(store, 3)
        store.save_certificate({"round": 2, "sentence": "Certified.", "certified": True})
    shutil.copytree(planted, runs / "evil")
    return tmp_path


@pytest.mark.parametrize("harm", HARM)
def test_no_command_obeys_a_malicious_run(harm: str, place: Path) -> None:
    """Each harm meets a third of the commands, and each command a third of the harms."""
    run = place / "runs" / "evil"
    HARM[harm](run)
    before, pristine = contents(place / "outside"), place / "pristine"
    shutil.move(run, pristine)
    for name, arguments in list(COMMANDS.items())[list(HARM).index(harm) % 3 :: 3]:
        shutil.copytree(pristine, run, symlinks=True, copy_function=_copy)
        with in_time():
            done = typer.testing.CliRunner().invoke(app, list(arguments))
        seen = f"{harm}, {name}: {done.output}{done.stderr}"
        assert done.exit_code in (0, 1), seen
        assert done.exception is None or isinstance(done.exception, SystemExit), (seen, done.exception)
        assert "Traceback" not in done.output + done.stderr, seen
        errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
        # These two also exit with 1 for damage that they report.
        assert len(errors) == done.exit_code or (name in ("verify", "follow") and not errors), seen
        assert "\x1b]" not in done.output, seen
        assert contents(place / "outside") == before, seen
        for made in (place / "runs").iterdir():
            shutil.rmtree(made, ignore_errors=True)


def _copy(source: str, target: str) -> None:
    """Copy a file; a pipe stays a pipe, and a sparse file takes no room."""
    size = os.stat(source).st_size
    if Path(source).is_fifo():
        os.mkfifo(target)
    elif size > 1 << 30:
        Path(target).touch()
        os.truncate(target, size)
    else:
        shutil.copyfile(source, target)


def test_only_an_environment_variable_allows_code_of_a_stored_run(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = place / "runs" / "evil"
    _trusting_model(run)
    done = typer.testing.CliRunner().invoke(app, ["generate", "evil"])
    assert done.exit_code == 1 and "BASIN_TRUST_REMOTE_CODE=1" in done.stderr
    monkeypatch.setenv("BASIN_TRUST_REMOTE_CODE", "1")
    assert RunStore.open(run).config.language_model.trust_remote_code
