"""Faults: each a case of its own, injected for real, with the sentence that is expected and what must not be lost."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.torture import kept, kills
from benchmarks.torture.ground import settings, write_config
from benchmarks.torture.lives import Ended, Moment, Nursery
from loops.monitor.progress import Progress

SMALL = {
    "generation": {"samples": 6, "new_tokens": 12, "prompt_words": 5, "batch_size": 3},
    "rounds": 2,
}
"""Less is written than for kills: a fault is in one place, and whether the rest goes on is seen as well."""
NEVER = ("Traceback", "--- Logging error ---")


class Failed(Exception):
    """What a case found that must not be, as a sentence."""


class Skipped(Exception):
    """Why a fault cannot be injected on this machine."""


@dataclass
class Bench:
    """What cases work with: a folder of their own, processes, and what an undisturbed run makes."""

    folder: Path
    nursery: Nursery
    case: str = ""
    known: dict[str, kills.Undisturbed] = field(default_factory=dict)
    said: str = ""

    def config(self, method: str = "vector", name: str = "", **changes: Any) -> Path:
        """A small run's configuration, as a file."""
        tree = settings(self.folder.parent, method, **SMALL)
        for key, value in changes.items():
            tree[key] = {**tree.get(key, {}), **value} if isinstance(value, dict) else value
        return write_config(self.folder / f"{name or method}.yaml", tree)

    def live(
        self,
        *command: str,
        plan: dict[str, Any] | None = None,
        moment: Moment | None = None,
        **environment: str,
    ) -> Ended:
        """A `basin` command in this case's own cache; its output is kept for the report."""
        plan = {"keep_every": kills.KEEP_EVERY, **(plan or {})}
        ended = self.nursery.live(command, {**self.places, **environment}, plan, moment)
        self.said += ended.said
        return ended

    @property
    def places(self) -> dict[str, str]:
        return kills.places(self.folder, self.case)

    @property
    def run(self) -> Path:
        return self.folder / "runs" / self.case

    def begin(self, method: str = "vector", **options: Any) -> Ended:
        return self.live("run", str(self.config(method)), "--name", self.case, **options)

    def resume(self, **options: Any) -> Ended:
        return self.live("resume", self.case, **options)

    def expected(self, method: str = "vector") -> kills.Undisturbed:
        """What this method's small run makes undisturbed."""
        if method not in self.known:
            self.config(method)
            self.known[method] = kills.undisturbed(self.nursery.live, self.folder, method)
        return self.known[method]

    def begin_and_kill(self, method: str, call: str, number: int, **place: Any) -> Ended:
        """Begin a run and kill it at an exact place; `Failed` where it does not come there."""
        ended = self.begin(method, plan={"die": {"call": call, "number": number, **place}})
        if ended.status != -signal.SIGKILL:
            raise Failed(f"did not come to {call} number {number}: status {ended.status}")
        return ended

    def must_refuse(self, ended: Ended, sentence: str, status: int = 1) -> None:
        """It ended with that status and one sentence that matches, and no traceback."""
        text = " ".join(ended.said.split())
        if ended.status != status:
            raise Failed(f"status {ended.status} instead of {status}: {text[-400:]}")
        if not re.search(sentence, text):
            raise Failed(f"said nothing like {sentence!r}: {text[-400:]}")

    def must_be_whole(self, ended: Ended, method: str = "vector") -> None:
        """It came to its end, with the bytes of an undisturbed run and nothing left lying about."""
        if ended.status:
            raise Failed(f"did not come to its end: {' '.join(ended.said.split())[-400:]}")
        if different := kills.differences(self.expected(method).files, kills.contents(self.run)):
            raise Failed(f"other bytes than undisturbed: {', '.join(different[:4])}")
        if left := kills.leftovers(self.run, self.folder / "caches" / self.case):
            raise Failed(f"left behind: {', '.join(left[:4])}")


Case = Callable[[Bench], str]
"""Raises `Failed` or `Skipped`; gives what was seen, as a phrase."""


def cases() -> dict[str, Case]:
    """Every case by what goes wrong in it."""
    from benchmarks.torture import faults_disk, faults_network, faults_numbers, faults_process

    return {
        **faults_disk.CASES,
        **faults_process.CASES,
        **faults_numbers.CASES,
        **faults_network.CASES,
    }


def inject_all(folder: Path, progress: Progress, names: list[str] | None = None) -> None:
    """Every case that has not been tried yet; its row is kept."""
    done = {row["fault"] for row in kept.rows(folder, "faults") if row["survived"]}
    wanted = {
        name: case for name, case in cases().items() if name not in done and (not names or name in names)
    }
    if not wanted:
        return
    place = folder / "faults"
    place.mkdir(exist_ok=True)
    with Nursery(place / "nursery") as nursery:
        bench = Bench(place, nursery)
        for number, (name, case) in enumerate(wanted.items()):
            progress.say(f"faults: {number} of {len(wanted)} faults")
            row = inject(bench, name, case)
            if row:
                kept.add(folder, "faults", [row])
                progress.say(f"{name}: {'survived' if row['survived'] else 'NOT survived'}, {row['seen']}")
            else:
                progress.say(f"{name}: cannot be injected here")
        progress.say(f"faults: {len(wanted)} of {len(wanted)} faults")


def inject(bench: Bench, name: str, case: Case) -> dict[str, Any] | None:
    """One case: its row, or None where this machine does not let it be injected."""
    bench.case, bench.said = re.sub(r"\W+", "-", name), ""
    kills.forget(bench.folder, bench.case)
    begin = time.monotonic()
    try:
        seen, survived = case(bench), True
        if ugly := [each for each in NEVER if each in bench.said]:
            raise Failed(f"{ugly[0]} in what was said")
    except Skipped:
        return None
    except Failed as failure:
        seen, survived = str(failure), False
        (bench.folder / f"{bench.case}.txt").write_text(bench.said)
    if survived:
        with contextlib.suppress(OSError):
            kills.forget(bench.folder, bench.case)
            shutil.rmtree(bench.folder / "mounts" / bench.case, ignore_errors=True)
    return {"fault": name, "survived": survived, "seen": seen, "seconds": round(time.monotonic() - begin, 1)}
