"""Kill, starve and damage real runs of a tiny model: `python -m benchmarks.torture [--kills 300] [--only PART]`.

A run that is killed again and again must end with the bytes of an undisturbed one. After any other fault
it must refuse in one sentence and lose nothing. A damaged file must never be used without a word.
Every command runs in a forked process, which a small hook can stop at an exact rename or sync.
"""

from __future__ import annotations

import ctypes
import importlib
import multiprocessing
import os
import random
import re
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.results import RESULTS, with_earlier, write_results
from loops.checkpoint.find import checkpoints_folder
from tests.planted.planted_damage import damages, outcome_of, read_all
from tests.planted.planted_project import METHODS, make_project, settings, write_config

Row = dict[str, Any]
STAGES = {"/topics/": "topics", "/activations/": "reading", "/written/": "generation"}
STAGES |= {"/read/": "recording", "/checkpoint-": "training", "/round_": "saving"}
"""Units of work by a part of the file name that completes them."""
MOST_KILLS, MOST_LIVES, LONGEST, GRACE = 10, 40, 600, 20
"""Kills of one run, processes of one run, seconds of one process, and seconds between SIGTERM and its end."""
SMALL = {"generation": {"samples": 6, "new_tokens": 12, "prompt_words": 5, "batch_size": 3}, "rounds": 2}


class Failed(Exception):
    """A run that did not survive, as a sentence."""


@dataclass
class Stop:
    """An exact place: before or after the so-manieth rename, or sync, of a matching file."""

    number: int
    match: str = ""
    after: bool = False
    call: str = "rename"
    act: Callable[[], object] = partial(signal.raise_signal, signal.SIGKILL)


@dataclass(frozen=True)
class Ended:
    """How a process ended: a negative status is a signal; `lost` counts seconds since the last completed unit."""

    status: int
    seconds: float
    stage: str
    lost: float
    output: str
    stages: Counter[str]


def live(
    arguments: Sequence[str],
    log: Path,
    *,
    stop: Stop | None = None,
    after: float = LONGEST,
    prepare: Callable[[], object] = lambda: None,
) -> Ended:
    """Run one `basin` command in a forked process that calls `prepare`, and kill it `after` so many seconds."""
    marks, begin, killed = log.with_suffix(".marks"), time.monotonic(), 0.0
    marks.write_text(f"{begin} starting\n")
    if (pid := os.fork()) == 0:
        _child(arguments, log, prepare, partial(_hook, marks, stop))
    while (found := os.waitpid(pid, os.WNOHANG))[0] == 0:
        if not killed and time.monotonic() - begin > after:
            killed = time.monotonic()
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.004)
    end, status = killed or time.monotonic(), os.waitstatus_to_exitcode(found[1])
    units = [line.split(maxsplit=1) for line in marks.read_text().splitlines()]
    stages, output = Counter(name for _, name in units[1:]), log.read_text(errors="replace")
    return Ended(status, end - begin, units[-1][1], end - float(units[-1][0]), output, stages)


def _child(arguments: Sequence[str], log: Path, *before: Callable[[], object]) -> None:
    """Become a `basin` process with a session, output and signals of its own. Never returns."""
    status = 1
    try:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: end with the parent
        os.setsid()
        target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(target, 1)
        os.dup2(target, 2)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        for each in before:
            each()
        sys.argv = ["basin", *arguments]
        importlib.import_module("loops.cli.main").main()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def _hook(marks: Path, stop: Stop | None) -> None:
    """Write down every completed unit of work, and act at the place of `stop`."""
    importlib.import_module("agent.adapting.trainer_state").SECONDS_BETWEEN_SAVES = 0.2
    stream, passed = os.open(marks, os.O_WRONLY | os.O_APPEND), 0

    def watched(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def within(*arguments: Any, **options: Any) -> Any:
            nonlocal passed
            target, here = str(arguments[-1]), None
            if stop and stop.call == name and stop.match in target:
                passed += 1
                here = stop.after if passed == stop.number else None
            if stop and here is False:
                stop.act()
            result = call(*arguments, **options)
            stage = next((each for part, each in STAGES.items() if part in target), "")
            if name == "rename" and stage:
                os.write(stream, f"{time.monotonic()} {stage}\n".encode())
            if stop and here:
                stop.act()
            return result

        return within

    os.rename, os.replace = watched("rename", os.rename), watched("rename", os.replace)
    os.fsync = watched("fsync", os.fsync)


@dataclass(frozen=True)
class Bench:
    """One run with a cache of its own."""

    folder: Path
    name: str
    method: str = "vector"
    small: bool = False

    def place(self, kind: str) -> Path:
        return self.folder / kind / self.name

    @property
    def run(self) -> Path:
        return self.place("runs")

    def go(self, prepare: Callable[[], object] = lambda: None, **options: Any) -> Ended:
        """Begin the run, or resume it."""
        tree = settings(self.folder, self.method, **(SMALL if self.small else {}))
        config = write_config(self.folder / f"{self.name}.yaml", tree)
        begun = (self.run / "run.json").exists()
        command = ["resume", self.name] if begun else ["run", str(config), "--name", self.name]

        def within() -> None:
            os.environ.update(BASIN_CHECKPOINTS=str(self.run.parent), BASIN_CACHE=str(self.place("caches")))
            prepare()

        return live(command, self.folder / f"{self.name}.txt", prepare=within, **options)

    def must_refuse(self, ended: Ended, pattern: str) -> None:
        text = " ".join(ended.output.split())
        if ended.status != 1 or not re.search(pattern, text) or "Traceback" in text:
            raise Failed(f"status {ended.status}, expected 1 and {pattern!r}: {text[-300:]}")

    def difference(self, ended: Ended) -> str:
        """What differs from an undisturbed run, or is left behind; empty where all is the same."""
        if ended.status or "Traceback" in ended.output:
            return f"status {ended.status}: {' '.join(ended.output.split())[-300:]}"
        found, expected = contents(self.run), undisturbed(self.folder, self.method, self.small)[0]
        names = {name for name in {*found, *expected} if found.get(name) != expected.get(name)}
        drafts = self.place("caches").rglob(".unfinished-*")
        left = [*self.run.glob(".*"), *self.run.glob("damaged_*"), *drafts]
        return ", ".join(sorted(names | {each.name for each in left}))

    def must_be_whole(self, ended: Ended) -> None:
        if different := self.difference(ended):
            raise Failed(different)

    def forget(self) -> None:
        shutil.rmtree(self.run, ignore_errors=True)
        shutil.rmtree(self.place("caches"), ignore_errors=True)


@cache
def undisturbed(folder: Path, method: str, small: bool) -> tuple[dict[str, bytes], Ended]:
    """Files of an undisturbed run, and how it went."""
    bench = Bench(folder, f"undisturbed-{method}{'-small' * small}", method, small)
    bench.forget()
    if (ended := bench.go()).status:
        raise RuntimeError(f"the undisturbed run failed: {ended.output[-2000:]}")
    return contents(bench.run), ended


def contents(run: Path) -> dict[str, bytes]:
    """Every file that must be the same: all but the cost of rounds and the manifests, which hold its digest."""
    files = [each for each in (*run.glob("round_*/**/*"), run / "certificate.json") if each.is_file()]
    timed = ("cost.json", "manifest.json")
    return {str(each.relative_to(run)): each.read_bytes() for each in files if each.name not in timed}


def kill_run(bench: Bench, dice: random.Random) -> list[Row]:
    """Kill and resume one run until it has had enough; a row for every kill."""
    bench.forget()
    kills: list[Row] = []
    for _ in range(MOST_LIVES):
        ended = bench.go(**_aim(bench, dice)) if len(kills) < MOST_KILLS else bench.go()
        if ended.status != -signal.SIGKILL:
            break
        kills.append({"group": f"{ended.stage}, {bench.method}", "lost": round(ended.lost, 3)})
    different = bench.difference(ended)
    print(f"{len(kills)} kills of {bench.name}: {different or 'the same bytes'}", file=sys.stderr)
    return [{**each, "identical": not different} for each in kills]


def _aim(bench: Bench, dice: random.Random) -> dict[str, Any]:
    """A random moment, a unit of a random stage, or any rename or sync."""
    ended, after = undisturbed(bench.folder, bench.method, False)[1], dice.random() < 0.5
    kind = dice.choices(("moment", "stage", "call"), (4, 4, 2))[0]
    if kind == "moment":
        return {"after": dice.uniform(0.0, 0.6 * ended.seconds)}
    if kind == "stage":
        stage = dice.choice(sorted(ended.stages))
        match = next(part for part, name in STAGES.items() if name == stage)
        return {"stop": Stop(dice.randint(1, ended.stages[stage]), match, after)}
    return {"stop": Stop(dice.randint(1, 16), "", after, dice.choice(("rename", "fsync")))}


def bad_disk(bench: Bench, stop: Stop | None, options: str, pattern: str, where: str = "runs") -> None:
    """A disk that is full or read-only from a place on: refused twice, and the same bytes once it is mended."""
    place = bench.place(where)

    def mount(options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", options, "none", str(place)]
        subprocess.run(command, capture_output=True, check=True)

    place.mkdir(parents=True)
    mount("size=20000k")
    try:
        if stop:
            bench.go(stop=stop)
        mount(f"remount,{options.format(size=shutil.disk_usage(place).used // 1024 + 8)}")
        for _ in range(2):
            bench.must_refuse(bench.go(), pattern)
        mount("remount,rw,size=20000k")
        bench.must_be_whole(bench.go())
    finally:
        subprocess.run(["umount", "-l", str(place)], check=False)


def drop_power() -> None:
    """Root without capabilities, so that permissions hold."""
    ctypes.CDLL(None).capset(struct.pack("Ii", 0x20080522, 0), bytes(24))


def unwritable(bench: Bench, where: str) -> None:
    """A folder of another user: refused in a sentence, and nothing in it changes."""
    folder = bench.place(where)
    bench.go(stop=Stop(1, "/round_", after=True))
    owned = {file: file.stat().st_mtime_ns for file in (folder, *folder.rglob("*"))}
    for file in owned:
        os.chown(file, 65534, 65534)
    bench.must_refuse(bench.go(drop_power), "Permission denied")
    if owned != {file: file.stat().st_mtime_ns for file in (folder, *folder.rglob("*"))}:
        raise Failed("something was changed")
    for file in owned:
        os.chown(file, 0, 0)
    bench.must_be_whole(bench.go())


def signalled(bench: Bench, number: signal.Signals, stop: Stop) -> None:
    """SIGTERM or SIGHUP: ends soon with the shell's status, and goes on to the same bytes."""
    ended = bench.go(stop=replace(stop, act=partial(signal.raise_signal, number)))
    if ended.status != 128 + number or ended.lost > GRACE:
        raise Failed(f"status {ended.status} after {ended.lost:.0f} s: {ended.output[-300:]}")
    bench.must_be_whole(bench.go())


FULL, READ_ONLY = ("size={size}k", "No space left|disk is full|make room"), ("ro", "Read-only file system")
ROUND, STATE, BATCH = Stop(1, "/round_001"), Stop(2, "/checkpoint-"), Stop(5, "/written/")
FAULTS: tuple[tuple[str, str, Callable[..., None], Sequence[Any]], ...] = (
    ("full disk under a round", "vector", bad_disk, (ROUND, *FULL)),
    ("full disk under training", "adapter", bad_disk, (STATE, *FULL)),
    ("full disk under the cache", "vector", bad_disk, (None, *FULL, "caches")),
    ("read-only run", "vector", bad_disk, (ROUND, *READ_ONLY)),
    ("run of another user", "vector", unwritable, ("runs",)),
    ("cache of another user", "vector", unwritable, ("caches",)),
    ("SIGTERM during generation", "vector", signalled, (signal.SIGTERM, BATCH)),
    ("SIGTERM during training", "adapter", signalled, (signal.SIGTERM, STATE)),
    ("SIGTERM during saving", "vector", signalled, (signal.SIGTERM, ROUND)),
    ("SIGHUP during generation", "vector", signalled, (signal.SIGHUP, BATCH)),
)


def inject_all(folder: Path) -> list[Row]:
    return [row for fault in FAULTS for row in inject(folder, *fault)]


def inject(folder: Path, name: str, method: str, fault: Callable[..., None], given: Any) -> list[Row]:
    """One fault: a row, or none where this machine cannot inject it."""
    bench, begin, seen = Bench(folder, name.replace(" ", "-"), method, True), time.monotonic(), ""
    bench.forget()
    undisturbed(folder, method, True)
    try:
        fault(bench, *given)
    except (PermissionError, subprocess.CalledProcessError):  # mounts and owners need root
        return []
    except Failed as failure:
        seen = str(failure)
    print(f"{name}: {seen or 'survived'}", file=sys.stderr)
    return [row("fault", name, 1, int(not seen), seconds=round(time.monotonic() - begin, 1))]


def row(tool: str, name: str, tried: int, survived: int, **more: float) -> Row:
    return {"tool": tool, "name": name, "tried": tried, "survived": survived, **more}


def kill_runs(folder: Path, wanted: int, seed: int) -> list[Row]:
    """Kills of runs of every update method in turn: a row for each stage and method."""
    kills: list[Row] = []
    benches = [Bench(folder, f"killed-{method}", method) for method in METHODS]
    for number in range(wanted):
        if len(kills) < wanted:
            kills += kill_run(benches[number % 3], random.Random(f"{seed} {number}"))
    rows = []
    for name in [*sorted({each["group"] for each in kills}), "all"]:
        group = [each for each in kills if name in (each["group"], "all")]
        lost = [each["lost"] for each in group]
        times = {"lost_s_median": statistics.median(lost), "lost_s_max": max(lost)}
        rows.append(row("kill", name, len(group), sum(each["identical"] for each in group), **times))
    return rows


def damage(folder: Path) -> list[Row]:
    """Copies of a run, damaged in every way: a row for each kind, with what became of them."""
    assert undisturbed(folder, "adapter", False)
    run = folder / "runs" / "undisturbed-adapter"
    whole, kinds = read_all(run), dict[str, Counter[str]]()
    for each in damages(run):
        copy = run.parent / "damaged-copy" / run.name
        shutil.copytree(run, copy)
        each.apply(copy)
        kinds.setdefault(each.kind, Counter())[outcome_of(copy, whole)[0]] += 1
        shutil.rmtree(copy.parent)
    kinds["all"] = sum(kinds.values(), Counter())
    counts = {name: (each.total(), each.total() - each["silent"]) for name, each in kinds.items()}
    return [row("damage", name, *counts[name], **each) for name, each in kinds.items()]


def main(
    kills: Annotated[int, typer.Option(help="Kills, in runs of every update method in turn.")] = 300,
    only: Annotated[list[str] | None, typer.Option(help="kills, faults or damages.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Working folder, on a real disk.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the moments of the kills.")] = 0,
    results: Annotated[Path, typer.Option(help="Folder for torture.json.")] = RESULTS,
) -> None:
    """Torture runs, count what survives, and write results/torture.json."""
    place = (folder or checkpoints_folder() / "torture").resolve()
    # Threads do not survive a fork: this process imports, and computes nothing before the last fork.
    for module in ("loops.cli.main", "loops.refine", "agent.adapting.adapt", "matplotlib.pyplot"):
        importlib.import_module(module)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        pool.apply(make_project, (place,))
    parts = {"kills": partial(kill_runs, place, kills, seed), "faults": partial(inject_all, place)}
    parts["damages"] = partial(damage, place)
    rows: list[Row] = []
    for part in only or parts:
        rows += parts[part]()
        kept = with_earlier(rows, lambda each: each["tool"], results / "torture.json")
        write_results("torture", kept, ["python", "-m", "benchmarks.torture", *sys.argv[1:]], results)
    print(*rows, sep="\n")
    raise SystemExit(any(each["survived"] < each["tried"] for each in rows))


if __name__ == "__main__":
    typer.run(main)
