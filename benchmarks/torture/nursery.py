"""`python -m benchmarks.torture.nursery`: imports what a run needs, then forks a process for every order it reads.

An order is a line of JSON. It answers with the process's id, and when the process has ended with its status. It has one
thread while it forks, or a child could inherit a lock that nobody holds.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import signal
import struct
import sys
import traceback
from typing import Any

from benchmarks.torture.hook import arm


def main() -> None:
    _end_with_parent()
    for module in (
        "loops.cli.main",
        "loops.refine",
        "loops.report.terminal",
        "agent.adapting.adapt",
        "matplotlib.pyplot",
    ):
        importlib.import_module(module)  # for every child
    gc.collect()
    gc.freeze()  # a child that looks for garbage need not copy what is not its own
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            _live(order)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _end_with_parent() -> None:
    """A torture that is stopped leaves no process behind, not even one that it had stopped itself."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _live(order: dict[str, Any]) -> None:
    """Run a command as `basin` does, and end without what only the parent should do at its end."""
    status = 1
    try:
        _end_with_parent()
        os.setsid()
        out = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        nothing, plan = os.open(os.devnull, os.O_RDONLY), order["plan"]
        for source, target in ((nothing, 0), (out, 1), (out, 2)):
            os.dup2(source, target)
        os.environ.update(order["environment"])
        _place(plan)
        arm(plan)
        sys.argv = ["basin", *order["arguments"]]
        from loops.cli.main import main as basin

        basin()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _place(plan: dict[str, Any]) -> None:
    """The surroundings of a life: its terminal, the signals it heeds, and who runs it."""
    if terminal := plan.get("terminal"):
        device = os.open(terminal, os.O_RDWR)  # the first that a session's leader opens is its own
        for target in (0, 1, 2):
            os.dup2(device, target)
    # Python's own streams still think of what was there before.
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
    heed = signal.SIG_IGN if plan.get("nohup") else signal.SIG_DFL
    signal.signal(signal.SIGHUP, heed)  # whoever runs the torture may ignore it, and a child inherits that
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if plan.get("powerless"):
        _drop_power()


def _drop_power() -> None:
    """Root without any capability: permissions hold for it as for anybody, while it still reads what is its own."""
    header = struct.pack("Ii", 0x20080522, 0)  # version 3 of capset's structures, this process
    if ctypes.CDLL(None, use_errno=True).capset(header, bytes(24)):
        raise OSError(ctypes.get_errno(), "capset")


if __name__ == "__main__":
    main()
