"""`basin` in a shell: it starts quickly, completes names, and ends with the documented statuses."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer.testing
from planted_run import CONFIG, save_rounds

from loops.checkpoint.store import RunStore
from loops.cli.main import app

ROOT = Path(__file__).resolve().parents[3]
HEAVY = {"torch", "transformers", "numpy", "scipy", "sklearn", "gensim", "pyarrow", "matplotlib"}
"""pydantic is not among them: typer imports it when it parses arguments."""
BASIN = [sys.executable, "-m", "loops.cli"]


@pytest.fixture
def runs(tmp_path, monkeypatch) -> Path:
    """A checkpoints folder with the runs `first` and `second`."""
    monkeypatch.setenv("BASIN_CHECKPOINTS", str(tmp_path))
    for name in ("first", "second"):
        save_rounds(RunStore.create(tmp_path / name, CONFIG), 1)
    return tmp_path


def _basin(**environment: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "COLUMNS": "120", **environment}
    return subprocess.run(BASIN, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("asked", ["--help", "run --help", "report --help", "--show-completion"])
def test_help_loads_nothing_heavy(asked, runs):
    code = (
        "import sys\nfrom loops.cli.main import app\n"
        f"try: app({asked.split()!r}, prog_name='basin')\n"
        "finally: print('LOADED', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    loaded = set(done.stdout.split("LOADED")[-1].split())
    assert "loops.cli.main" in loaded and not loaded & HEAVY


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("basin resume f", ["first"]),
        ("basin report ", ["first", "second"]),
        ("basin run brown", ["brown"]),
        ("basin run configs/runs/lib", ["configs/runs/library.yaml"]),
        ("basin verif", ["verify"]),
    ],
)
def test_names_are_completed(typed, offered, runs):
    word = str(len(typed.split(" ")) - 1)
    done = _basin(_BASIN_COMPLETE="complete_bash", COMP_WORDS=typed, COMP_CWORD=word)
    assert done.stdout.split() == offered


def test_documented_statuses_are_all_tried_here():
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    table = text.split("## Exit statuses")[1].split("\n## ")[0]
    numbers = re.findall(r"^\| (\d+) \| .+ \|$", table, re.MULTILINE)
    assert numbers == ["0", "1", "2", "129", "130", "143"]


@pytest.mark.parametrize(
    ("line", "status"),
    [
        *[(line, 0) for line in ("--help", "--version", "verify first")],
        *[(line, 1) for line in ("inspect frist", "run nowhere.yaml")],
        *[(line, 2) for line in ("run", "run brown --no-such-option", "nonsense", "generate first -n many")],
    ],
)
def test_a_command_ends_with_its_status(line, status, runs):
    done = typer.testing.CliRunner().invoke(app, line.split(), prog_name="basin")
    assert done.exit_code == status and "Traceback" not in done.output, done.output


@pytest.mark.parametrize(
    ("shell", "status", "said", "printed"),
    [
        ("basin > /dev/full", 1, "The output is not complete (No space left on device)", ""),
        ("basin >&-", 0, "", ""),
        ("basin | head -1; exit ${PIPESTATUS[0]}", 0, "", "first"),
        ("COLUMNS=0 basin", 0, "", "first"),
        ("mkdir gone; cd gone; rmdir ../gone; basin", 1, "The working directory no longer exists", ""),
    ],
)
def test_nothing_is_lost_without_a_word(shell, status, said, printed, runs):
    define = f"basin() {{ PYTHONPATH={ROOT} {sys.executable} -m loops.cli inspect {runs / 'first'}; }}\n"
    done = subprocess.run(
        ["bash", "-c", define + shell], cwd=runs, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == status and "Traceback" not in done.stderr, done.stderr
    assert said in done.stderr and printed in done.stdout and bool(said) == bool(done.stderr)


@pytest.mark.parametrize(
    ("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_a_command_with_its_status(sent, status, tmp_path):
    code = (
        "import signal, sys, time, types\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background jobs ignore it
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"  # and under nohup this one
        "from pathlib import Path\n"
        "slow = types.ModuleType('loops.diagnostics.doctor')\n"
        f"slow.examine = lambda *_: (Path({str(tmp_path / 'begun')!r}).touch(), time.sleep(60))\n"
        "sys.modules['loops.diagnostics.doctor'] = slow\n"
        "sys.argv = ['basin', 'doctor']\n"
        "from loops.cli.main import main\nmain()"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "begun").exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(sent)
    _, told = process.communicate(timeout=60)
    assert process.returncode == status and "Stopped." in told and "Traceback" not in told
