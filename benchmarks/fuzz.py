"""`python -m benchmarks.fuzz`: malformed input to every reader, a million times; none may end in a traceback.

Every input has to be read, and then to be what the reader promises, or refused in one sentence; within 10 s and 700 MB. Inputs
are damaged real files, made structures and what Hypothesis draws, all from `--seed`, so that a run can be repeated. Each reader
is fed in a process of its own: one that dies is a failure, too. A failing input is made smaller and kept in
tests/faults/failures, where it stays as a test. Writes results/fuzz.json, a row for every reader.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.fuzzing.targets import TARGETS
from benchmarks.fuzzing.working import Record, Tally, keep, work
from benchmarks.results import RESULTS, with_earlier, write_results

FAILURES = Path(__file__).parents[1] / "tests" / "faults" / "failures"
LOOK = 0.2
"""Seconds between two looks at the workers."""
STUCK = 600
"""Looks without a new input after which a worker is ended: what it is at cannot be interrupted."""
MOST_DEATHS = 20
LIFE = 20_000
"""Inputs after which a worker makes room for a fresh one: Arrow loses some KB with every damaged stream."""


def main(
    inputs: Annotated[int, typer.Option(min=1, help="How many, of all readers together.")] = 1_000_000,
    seconds: Annotated[
        float, typer.Option(min=1, help="At most, of all readers together, for one worker.")
    ] = 36_000,
    workers: Annotated[int, typer.Option(min=1, help="Processes at a time.")] = 1,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    only: Annotated[
        list[str] | None, typer.Option(metavar="READER", help="Only this one; may be repeated.")
    ] = None,
    results: Annotated[Path, typer.Option(help="Folder for fuzz.json.")] = RESULTS,
    failures: Annotated[Path, typer.Option(help="Folder for failing inputs.")] = FAILURES,
) -> None:
    """Fuzz the readers, and write down what became of it."""
    if unknown := [name for name in only or () if name not in TARGETS]:
        raise SystemExit(f"There is no reader {unknown[0]!r}; choose among {', '.join(TARGETS)}.")
    chosen = [TARGETS[name] for name in only or TARGETS]
    whole = sum(target.weight for target in chosen)
    jobs = [
        Job(
            target.name,
            seed,
            int(inputs * target.weight / whole) + 1,
            seconds * target.weight / whole,
            failures,
        )
        for target in chosen
    ]
    waiting, running = list(jobs), []
    while waiting or running:
        while waiting and len(running) < workers:
            running.append(waiting.pop(0))
            running[-1].begin()
        time.sleep(LOOK)
        running = [job for job in running if job.goes_on()]
    tallies = [job.total for job in jobs]
    rows = [_row(target.name, tally) for target, tally in zip(chosen, tallies, strict=True)]
    rows = _with_sum(with_earlier(rows, lambda row: row["tool"], results / "fuzz.json"))
    write_results("fuzz", rows, ["python", "-m", "benchmarks.fuzz", *sys.argv[1:]], results)
    failed = sum(len(tally.failures) for tally in tallies)
    print(f"{sum(tally.inputs for tally in tallies):,} inputs, {failed} failures", file=sys.stderr)
    raise SystemExit(failed > 0)


class Job:
    """Feeds one reader from worker processes, one after the other."""

    def __init__(self, name: str, seed: int, inputs: int, seconds: float, failures: Path) -> None:
        self.name, self.seed, self.inputs, self.seconds, self.failures = name, seed, inputs, seconds, failures
        self.total, self.deaths = Tally(), 0

    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.record, self.result = (Path(self.folder.name) / name for name in ("record", "tally.json"))
        self.seen, self.looks, self.begun = -1, 0, time.monotonic()
        Record(self.record)
        # Forked, since what readers import takes seconds to load.
        self.process = multiprocessing.get_context("fork").Process(target=self._work)
        self.process.start()

    def _work(self) -> None:
        left = self.seconds - self.total.seconds
        first = self.total.inputs
        last = min(first + LIFE, self.inputs)
        tally = work(self.name, self.seed, first, last, left, self.record, self.failures)
        self.result.write_text(json.dumps(asdict(tally)))

    def goes_on(self) -> bool:
        """Whether there is more to wait for; a worker that came to no new input for long is ended."""
        if self.process.is_alive():
            done = Record(self.record).read()[0]
            # Looks and not seconds: whoever stops this process for a while stops its workers, too.
            self.seen, self.looks = done, self.looks + 1 if done == self.seen else 0
            if self.looks > STUCK:
                self.process.kill()
            return True
        self.process.join()
        died = not self.result.exists()
        self.total = _sum(
            [self.total, self._of_the_dead() if died else Tally(**json.loads(self.result.read_text()))]
        )
        self.folder.cleanup()
        self.deaths += died
        if (
            self.deaths < MOST_DEATHS
            and self.total.inputs < self.inputs
            and self.total.seconds < self.seconds
        ):
            self.begin()
            return True
        print(
            f"{self.name}: {self.total.inputs:,} inputs, {self.total.seconds:.0f} s",
            file=sys.stderr,
            flush=True,
        )
        return False

    def _of_the_dead(self) -> Tally:
        done, read, refused, content = Record(self.record).read()
        path = keep(self.name, "crash", content, self.failures)
        print(
            f"{self.name}: a worker died ({self.process.exitcode}): kept as {path.name}",
            file=sys.stderr,
            flush=True,
        )
        return Tally(
            done + 1,
            read,
            refused,
            {f"crash: status {self.process.exitcode}, {path.name}": path.name},
            time.monotonic() - self.begun,
        )


def _sum(tallies: list[Tally]) -> Tally:
    total = Tally()
    for each in tallies:
        total.inputs += each.inputs
        total.read += each.read
        total.refused += each.refused
        total.failures |= each.failures
        total.seconds += each.seconds
        total.cpu_seconds += each.cpu_seconds
        total.peak_mb = max(total.peak_mb, each.peak_mb)
    return total


Row = dict[str, Any]


def _row(name: str, tally: Tally) -> Row:
    kinds = [failure.partition(":")[0] for failure in tally.failures]
    return {
        "tool": name,
        "fuzz_inputs": tally.inputs,
        "read": tally.read,
        "refused": tally.refused,
        "tracebacks": kinds.count("traceback"),
        "crashes": kinds.count("crash"),
        "hangs": kinds.count("hang"),
        "over_memory": kinds.count("memory"),
        "broken_promises": kinds.count("promise") + kinds.count("sentence"),
        "seconds": round(tally.seconds, 1),
        "rate": round(tally.inputs / max(tally.seconds, 1e-9), 1),
        "cpu_seconds": round(tally.cpu_seconds, 1),
        "rate_per_cpu_second": round(tally.inputs / max(tally.cpu_seconds, 1e-9), 1),
        "peak_mb": round(tally.peak_mb),
    }


def _with_sum(rows: list[Row]) -> list[Row]:
    """Rows of readers in their order, and their sum."""
    rows = sorted(
        (row for row in rows if row["tool"] in TARGETS), key=lambda row: list(TARGETS).index(row["tool"])
    )
    whole: Row = {"tool": "all"}
    for name in rows[0]:
        if name not in ("tool", "rate", "rate_per_cpu_second", "peak_mb"):
            whole[name] = sum(row[name] for row in rows)
    whole["rate"] = round(whole["fuzz_inputs"] / max(whole["seconds"], 1e-9), 1)
    whole["rate_per_cpu_second"] = round(whole["fuzz_inputs"] / max(whole["cpu_seconds"], 1e-9), 1)
    whole["peak_mb"] = max(row["peak_mb"] for row in rows)
    return [*rows, whole]


if __name__ == "__main__":
    typer.run(main)
