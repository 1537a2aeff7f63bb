"""Real processes that are told to end, and whose terminal or reader goes away."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
WORK = """
import sys, time
from loops.cli.signals import clean_shutdown, exit_status, detach_output
detach_output()
with clean_shutdown():
    try:
        print("ready", flush=True)
        time.sleep(60)
    except KeyboardInterrupt as stop:
        open(sys.argv[1], "w").write("kept")
        print("stopped", flush=True)
        {then}
        sys.exit(exit_status(stop))
"""


def heeding() -> None:
    """Whoever runs the tests may ignore signals (nohup, a shell's background), and a child inherits that."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def begun(
    tmp_path: Path, code: str, before: Callable[[], object] = heeding, **how: object
) -> subprocess.Popen:
    command = [sys.executable, "-c", code, str(tmp_path / "kept")]
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "preexec_fn": before} | how
    return subprocess.Popen(command, cwd=ROOT, **how)


def ready(tmp_path: Path, then: str = "", **how: object) -> subprocess.Popen:
    process = begun(tmp_path, WORK.format(then=then), **how)
    assert process.stdout.readline() == b"ready\n"
    return process


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)]
)
def test_a_signal_ends_it_with_everything_kept(tmp_path, number, status):
    process = ready(tmp_path)
    process.send_signal(number)
    assert process.wait(20) == status
    assert (tmp_path / "kept").read_text() == "kept" and process.stderr.read() == b""


def test_a_second_signal_ends_it_at_once(tmp_path):
    process = ready(tmp_path, then="time.sleep(60)")
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == b"stopped\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == -signal.SIGTERM


def test_signals_ignored_as_under_nohup_stay_ignored(tmp_path):
    process = ready(tmp_path, before=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    assert process.poll() is None
    process.kill()


PRINTS = """
import sys
from loops.cli.signals import detach_output
detach_output()
for number in range(20000):
    print("a line that nobody reads", number, flush=True)
open(sys.argv[1], "w").write("kept")
"""


def test_a_reader_that_goes_away_does_not_end_the_work(tmp_path):
    process = begun(tmp_path, PRINTS)
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(30) == 0 and process.stderr.read() == b""
    assert (tmp_path / "kept").read_text() == "kept"


def test_a_terminal_that_hangs_up_does_not_end_the_work(tmp_path):
    ours, theirs = os.openpty()
    process = begun(tmp_path, PRINTS, stdout=theirs, stderr=theirs, start_new_session=True, preexec_fn=None)
    os.close(theirs)
    os.read(ours, 100)
    os.close(ours)  # from now on writing gives EIO
    assert process.wait(30) == 0
    assert (tmp_path / "kept").read_text() == "kept"
