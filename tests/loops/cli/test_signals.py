"""Real processes that get a signal, or whose terminal goes away."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

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


def default_signals() -> None:
    """Undo what a child inherits from nohup or a shell's background job: ignored signals."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def begun(tmp_path: Path, code: str, **how: object) -> subprocess.Popen:
    command, pipe = [sys.executable, "-c", code, str(tmp_path / "kept")], subprocess.PIPE
    how = {"stdout": pipe, "stderr": pipe, "preexec_fn": default_signals} | how
    return subprocess.Popen(command, cwd=ROOT, **how)


def ready(tmp_path: Path, then: str = "", **how: object) -> subprocess.Popen:
    process = begun(tmp_path, WORK.format(then=then), **how)
    assert process.stdout.readline() == b"ready\n"
    return process


def test_a_first_signal_keeps_everything_and_a_second_ends_at_once(tmp_path):
    process = ready(tmp_path, then="time.sleep(60)")
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == b"stopped\n" and (tmp_path / "kept").read_text() == "kept"
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == -signal.SIGTERM


def test_signals_ignored_as_under_nohup_stay_ignored(tmp_path):
    process = ready(tmp_path, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
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


def test_a_terminal_that_hangs_up_does_not_end_the_work(tmp_path):
    ours, theirs = os.openpty()
    process = begun(tmp_path, PRINTS, stdout=theirs, stderr=theirs, start_new_session=True, preexec_fn=None)
    os.close(theirs)
    os.read(ours, 100)
    os.close(ours)  # from now on writing gives EIO
    assert process.wait(30) == 0
    assert (tmp_path / "kept").read_text() == "kept"
