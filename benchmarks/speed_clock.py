"""How speed is measured: interleaved repeats of several tools, medians, memory, and what the machine could do at most."""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.resident import resident

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
"""On a shared machine, on one thread, CPU seconds: others slow them too, but do not stop them."""
SPAN = 0.4
"""Seconds over which a rate of the machine is measured."""

Row = dict[str, float | int | str | None]


@dataclass(frozen=True)
class Limit:
    """What a processor can do at most, measured in the same run."""

    operations: float
    """Of a matrix product as large as a small model's, per second."""
    bytes: float
    """Read and written, per second."""

    def reading(self, parameters: int) -> float:
        """Tokens per second of a forward pass over many tokens at once."""
        return self.operations / (2 * parameters)

    def writing(self, parameters: int, weight_bytes: int, batch: int) -> float:
        """Tokens per second of a decoding step: its products, or reading all weights once, whichever takes longer."""
        return batch / max(2 * parameters * batch / self.operations, weight_bytes / self.bytes)


def measured_limit(dtype: torch.dtype, device: torch.device, clock: Callable[[], float]) -> Limit:
    """The best of some tries: what a machine can do is what it did once."""
    left, right = (torch.randn(shape, device=device).to(dtype) for shape in ((2048, 576), (576, 1536)))
    large = torch.ones(2**26, dtype=torch.uint8, device=device)
    target = torch.empty_like(large)
    product = _best(lambda: float((left @ right)[0, 0]), clock)
    copy = _best(lambda: int(target.copy_(large)[0]), clock)
    return Limit(2 * left.numel() * right.shape[1] / product, 2 * large.numel() / copy)


def _best(work: Callable[[], object], clock: Callable[[], float]) -> float:
    work()
    end, times = clock() + SPAN, []
    while clock() < end or len(times) < 5:
        begin = clock()
        work()
        times.append(clock() - begin)
    return min(times)


def compare(
    tools: Mapping[str, Callable[[], int]],
    ours: str,
    repeats: int,
    clock: Callable[[], float],
    shared: Row,
    limit: float | None = None,
) -> list[Row]:
    """A row per tool; each returns the tokens it handled. Tools take turns, so that a busy minute meets all of them, in an
    order drawn anew each time, so that none always follows the same other.

    A tool that fails says so in its row, and is not tried again.
    """
    seconds: dict[str, list[float]] = {name: [] for name in tools}
    tokens: dict[str, int] = {}
    peaks: dict[str, float] = {}
    notes: dict[str, str] = {}
    for turn in range(repeats):
        for name in random.Random(turn).sample(list(tools), len(tools)):
            if name in notes:
                continue
            reset_peak()
            begin = clock()
            try:
                tokens[name] = tools[name]()
            except Exception as error:  # whatever somebody else's library raises
                notes[name] = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:120]}"
                continue
            seconds[name].append(clock() - begin)
            peaks[name] = max(peaks.get(name, 0.0), peak_gigabytes())
            print(
                f"{shared.get('stage')}: {name}, {turn + 1} of {repeats}, {seconds[name][-1]:.2f} s",
                file=sys.stderr,
            )
    rates = {name: tokens[name] / statistics.median(times) for name, times in seconds.items() if times}
    rows: list[Row] = []
    for name in tools:
        row: Row = {**shared, "tool": name, "tokens": tokens.get(name)}
        if name in rates:
            row |= {
                "seconds_median": round(statistics.median(seconds[name]), 3),
                "tokens_per_second": round(rates[name], 1),
                "ratio_to_ours": round(rates[ours] / rates[name], 2) if ours in rates else None,
                "share_of_limit": round(rates[name] / limit, 3) if limit else None,
                "peak_gb": round(peaks[name], 2),
            }
        rows.append(row | ({"note": notes[name]} if name in notes else {}))
    return rows


def reset_peak() -> None:
    """Let the peak of memory begin anew, where the system can."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def peak_gigabytes() -> float:
    """Since `reset_peak`: of the accelerator where there is one, else of this process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e9
    try:
        return resident("VmHWM") / 1e9
    except (OSError, RuntimeError):
        return float("nan")
