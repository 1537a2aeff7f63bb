"""Signals, terminals, clocks, a second process on one run, and workers that are killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.torture.faults import Bench, Failed, Skipped
from benchmarks.torture.kills import Inside
from benchmarks.torture.lives import ONE_THREAD, ROOT, Sight, fresh

GRACE = 20.0
"""Seconds that schedulers give between SIGTERM and SIGKILL at the least."""


class Tell:
    """Does something to a process that waits at an exact place, once, and lets it go on."""

    def __init__(self, what: Callable[[Sight], object]) -> None:
        self.what = what
        self.at: float | None = None

    def __call__(self, life: Sight) -> bool:
        if self.at is None and life.stopped:
            self.at = time.monotonic()
            self.what(life)
            with contextlib.suppress(ProcessLookupError):
                os.kill(life.pid, signal.SIGCONT)
        return False

    def must_have(self) -> float:
        """When it was done; `Failed` where the process never came to the place."""
        if self.at is None:
            raise Failed("it did not come to the place")
        return self.at


def waits(call: str, number: int, after: bool = False, match: str = "") -> dict[str, Any]:
    """A plan by which a process stops at a place."""
    return {"die": {"call": call, "number": number, "after": after, "match": match, "signal": signal.SIGSTOP}}


def told_to_end(method: str, plan: dict[str, Any]) -> Callable[[Bench], str]:
    """SIGTERM, as schedulers send it: everything is kept within the time of grace, and it says how to go on."""

    def case(bench: Bench) -> str:
        bench.expected(method)
        tell = Tell(lambda life: os.kill(life.pid, signal.SIGTERM))
        ended = bench.begin(method, plan=plan, moment=tell)
        if (took := time.monotonic() - tell.must_have()) > GRACE:
            raise Failed(f"took {took:.1f} s to end")
        bench.must_refuse(ended, r"Stopped\. .*`basin resume", status=143)
        bench.must_be_whole(bench.resume(), method)
        return f"ended with status 143 after {took:.1f} s, and went on to the same bytes"

    return case


WRITES = waits("rename", 5, after=True, match="/written/")
"""In the middle of what a round writes: round 0 has four such files, as over-steered passages are written, too."""


def terminal_hangs_up(bench: Bench) -> str:
    """A real terminal whose other end is closed: its session is sent SIGHUP, and nothing can be printed any more."""
    bench.expected()
    ours, theirs = os.openpty()
    plan = {"terminal": os.ttyname(theirs), **WRITES}
    tell = Tell(lambda life: os.close(ours))
    ended = bench.begin(plan=plan, moment=tell)
    os.close(theirs)
    tell.must_have()
    if ended.status != 129:
        raise Failed(f"status {ended.status} instead of 129")
    bench.must_be_whole(bench.resume())
    return "ended with status 129, and went on to the same bytes"


def terminal_hangs_up_under_nohup(bench: Bench) -> str:
    bench.expected()
    ours, theirs = os.openpty()
    plan = {"terminal": os.ttyname(theirs), "nohup": True, **WRITES}
    tell = Tell(lambda life: os.close(ours))
    ended = bench.begin(plan=plan, moment=tell)
    os.close(theirs)
    tell.must_have()
    bench.must_be_whole(ended)
    return "worked on to its end without a terminal"


def second_process(bench: Bench) -> str:
    """A second process is refused while the first lives; the lock is free as soon as the first is killed."""
    bench.expected()
    found: list[subprocess.CompletedProcess] = []

    def another(life: Sight) -> None:
        command = [sys.executable, "-m", "loops.cli", "resume", bench.case]
        environment = {**os.environ, **ONE_THREAD, **bench.places}
        found.append(subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True))
        os.kill(life.pid, signal.SIGKILL)

    tell = Tell(another)
    bench.begin(plan=WRITES, moment=tell)
    tell.must_have()
    said = found[0].stdout + found[0].stderr
    if found[0].returncode != 1 or "Another process is writing" not in said:
        raise Failed(f"the second process ended with {found[0].returncode}: {said[-300:]}")
    bench.must_be_whole(bench.resume())
    return (
        "the second was refused in a sentence; after SIGKILL of the first the run went on to the same bytes"
    )


def clock_jumps_back(bench: Bench) -> str:
    """libfaketime sets the wall clock, and the times of files, back by ten years in the middle of a round."""
    library = next(iter(Path("/usr/lib").rglob("faketime/libfaketime.so.1")), None)
    if library is None:
        raise Skipped("libfaketime is not installed (apt install faketime)")
    bench.expected("adapter")
    clock = bench.folder / f"{bench.case}.clock"
    clock.write_text("+0")
    environment = {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1",
        **bench.places,
    }
    command = ("run", str(bench.config("adapter")), "--name", bench.case)
    plan = {"keep_every": 0.0, **waits("rename", 2, after=True, match="whole.json")}
    back = Tell(lambda life: clock.write_text("-10y"))
    dies = Inside("training", 2)
    place = bench.folder / "fresh"
    ended = fresh(place, command, environment, plan, lambda life: back(life) or dies(life))
    back.must_have()
    if ended.status != -signal.SIGKILL:
        raise Failed(f"was not killed: {ended.said[-300:]}")
    ended = fresh(place, ("resume", bench.case), environment, {"keep_every": 0.0})
    bench.said += ended.said
    bench.must_be_whole(ended, "adapter")
    return "set back by ten years while an adapter was trained, killed, resumed: the same bytes"


def killed_worker_in_a_map(bench: Bench) -> str:
    """`basin map --workers 2` on the tiny model; one worker is killed at its work."""
    config = bench.config(map={"starts": {"noise": [0.5]}, "rounds": 4})
    victims: list[int] = []

    def kill_one(life: Sight) -> bool:
        workers = [pid for pid in _children(life.pid) if b"spawn_main" in _command(pid)]
        if not victims and len(workers) >= 2:
            time.sleep(0.5)
            victims.append(workers[0])
            os.kill(workers[0], signal.SIGKILL)
        return False

    ended = bench.live("map", str(config), "--name", bench.case, "--workers", "2", moment=kill_one)
    if not victims:
        raise Failed(f"no worker was seen: {' '.join(ended.said.split())[-300:]}")
    if ended.status:
        raise Failed(f"did not come to its end: {' '.join(ended.said.split())[-300:]}")
    return "what it had in hand was tried again, and the map came to its end"


def killed_ray_worker(bench: Bench) -> str:
    """Ray on this machine; a worker kills itself at its first try."""
    try:
        import ray  # noqa: F401
    except ImportError as error:
        raise Skipped("ray is not installed") from error
    place = bench.folder / "mounts" / bench.case
    place.mkdir(parents=True, exist_ok=True)
    code = (
        "import sys; from benchmarks.torture.faults_process import dies_once; from loops.sweeping import sweep; found = {};"
        "sweep(dies_once, sys.argv[1], {'a': 1, 'b': 2, 'c': 3}, found.__setitem__, workers=2, ray_address='local', say=print);"
        "sys.exit(found != {'a': 2, 'b': 4, 'c': 6})"
    )
    environment = {**os.environ, **ONE_THREAD, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(place)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    if "Ray did not start" in done.stderr:
        raise Skipped("Ray does not start here")
    if done.returncode:
        raise Failed(f"status {done.returncode}: {(done.stdout + done.stderr)[-400:]}")
    if not (place / "died").exists():
        raise Failed("no worker died")
    return "its piece was tried again, and all results came in"


def dies_once(place: str, number: int) -> int:
    """Twice the number; the first process that is asked kills itself."""
    try:
        os.close(os.open(Path(place, "died"), os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return 2 * number
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def _children(pid: int) -> list[int]:
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


CASES = {
    "SIGTERM while it writes": told_to_end("vector", WRITES),
    "SIGTERM while it re-clusters": told_to_end("vector", waits("re-clustering", 2)),
    "SIGTERM while it trains": told_to_end("adapter", waits("rename", 2, match="whole.json")),
    "SIGTERM while it saves": told_to_end("vector", waits("rename", 1, match="/round_001")),
    "terminal hangs up": terminal_hangs_up,
    "terminal hangs up under nohup": terminal_hangs_up_under_nohup,
    "second process on one run": second_process,
    "clock jumps back": clock_jumps_back,
    "killed worker in a map": killed_worker_in_a_map,
    "killed Ray worker": killed_ray_worker,
}
