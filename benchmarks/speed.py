"""Recording, steered generation and training beside other libraries: `python -m benchmarks.speed`.

All tools of a stage take turns in one process, with one model, the same texts and threads. `--rivals FOLDER` names
a site-packages folder with the other libraries. Writes results/speed.json; a stage replaces its own rows.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import numpy as np
import torch
import transformers

from agent.hub.pinned_packages import cache_root
from agent.hub.quiet import quiet_transformers
from agent.language_model.activation_cache import record_cached
from agent.language_model.decoding.config import GenerationConfig
from agent.language_model.load import LanguageModelConfig
from agent.language_model.model import LanguageModel
from agent.steering.vector import SteeringVector
from benchmarks import speed_rivals
from benchmarks.results import RESULTS, resident, with_earlier, write_results

STAGES = ("record", "write", "overhead", "teach", "threads")
ORDER = [*STAGES[:4], "threads: record", "threads: write", "growth: record"]
GROWTH = (1000, 4000, 16_000, 64_000)
WORDS = (
    "the old man walked slowly down a street and said that he had never seen such house before because it was dark "
    "when they came home from river with their dogs who would not stay while she looked at him for some time"
)


CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
"""On a shared machine, on one thread, CPU seconds: others slow them too, but do not stop them."""
SPAN = 0.4
"""Seconds over which a rate of the machine is measured."""

Row = dict[str, float | int | str | None]


@dataclass(frozen=True)
class Limit:
    """What this machine can do at most, per second."""

    operations: float
    bytes: float

    def reading(self, parameters: int) -> float:
        """Tokens per second of a forward pass over many tokens at once."""
        return self.operations / (2 * parameters)

    def writing(self, parameters: int, weight_bytes: int, batch: int) -> float:
        """Tokens per second of a decoding step: the slower of its products and of reading all weights."""
        return batch / max(2 * parameters * batch / self.operations, weight_bytes / self.bytes)


def measured_limit(dtype: torch.dtype, device: torch.device, clock: Callable[[], float]) -> Limit:
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
    repeats: int,
    clock: Callable[[], float],
    shared: Row,
    limit: float | None = None,
) -> list[Row]:
    """A row per tool; each returns the tokens it handled.

    Tools take turns in an order drawn anew, so that a busy minute meets all of them. A tool that fails says so
    in its row and is not tried again.
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
            print(f"{shared.get('stage')}: {name}, {turn + 1} of {repeats}", file=sys.stderr)
    rates = {name: tokens[name] / statistics.median(times) for name, times in seconds.items() if times}
    rows: list[Row] = []
    for name in tools:
        row: Row = {**shared, "tool": name, "tokens": tokens.get(name)}
        if name in rates:
            row |= {
                "seconds_median": round(statistics.median(seconds[name]), 3),
                "tokens_per_second": round(rates[name], 1),
                "ratio_to_ours": round(rates["basin"] / rates[name], 2) if "basin" in rates else None,
                "share_of_limit": round(rates[name] / limit, 3) if limit else None,
                "peak_gb": round(peaks[name], 2),
            }
        rows.append(row | ({"note": notes[name]} if name in notes else {}))
    return rows


def reset_peak() -> None:
    """Let the peak of memory begin anew, where the system can."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_gigabytes() -> float:
    """Of this process since `reset_peak`."""
    try:
        return resident("VmHWM") / 1e9
    except (OSError, RuntimeError):
        return float("nan")


@contextmanager
def without_recordings() -> Iterator[Path]:
    """`BASIN_CACHE` names a folder that links to all of the real cache but its activations, and goes with the block."""
    real = cache_root()
    with TemporaryDirectory(prefix="basin-speed-") as folder:
        for part in real.iterdir() if real.is_dir() else ():
            if part.is_dir() and part.name != "activations":
                Path(folder, part.name).symlink_to(part, target_is_directory=True)
        with patch.dict(os.environ, BASIN_CACHE=folder):
            yield Path(folder)


class Bench:
    """One model and how it is measured."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.clock = CLOCKS[options.clock]
        self.model = LanguageModel.load(LanguageModelConfig(name=options.model, dtype=options.dtype))
        with quiet_transformers():  # what is built once is built before
            self.model.record(passages(1))
            self.model.generate(openings(2), [0, 1], GenerationConfig(new_tokens=2))
        self.dtype = self.model.output.head.weight.dtype
        self.limit = measured_limit(self.dtype, self.model.device, self.clock)
        blocks = self.model.blocks
        self.parameters = sum(weight.numel() for weight in blocks.parameters())
        self.head = self.model.output.head.weight.numel()
        dtype, threads = str(self.dtype).removeprefix("torch."), torch.get_num_threads()
        self.shared: Row = {"device": str(self.model.device), "model": options.model, "dtype": dtype}
        self.shared |= {"threads": threads, "clock": options.clock, "repeats": options.repeats}

    def record(self) -> list[Row]:
        texts = passages(self.options.passages)
        depth = self.model.layers[-1] / self.model.depth
        limit = self.limit.reading(int(self.parameters * depth))
        tools = speed_rivals.recorders(self.model, texts)
        return self._compare("record", tools, limit, passages=len(texts))

    def write(self) -> list[Row]:
        rows = []
        for batch in self.options.batch:
            config = GenerationConfig(new_tokens=self.options.tokens, batch_size=batch)
            tools = speed_rivals.writers(self.model, openings(batch), config, self._vector())
            if self.options.llama:
                tools["llama.cpp"] = speed_rivals.llama_writer(
                    self.model, openings(batch), config, self._vector()
                )
            rows += self._compare("write", tools, self._writing_limit(batch), batch=batch)
        return rows

    def overhead(self) -> list[Row]:
        rows = []
        for batch in self.options.batch:
            config = GenerationConfig(new_tokens=self.options.tokens, batch_size=batch)
            vectors = {"basin": self._vector(), "basin, not steered": None}
            vectors["basin, a vector per text"] = [self._vector(seed) for seed in range(batch)]
            tools = {
                name: lambda vector=vector: self._written(openings(batch), config, vector)  # noqa: B023
                for name, vector in vectors.items()
            }
            rows += self._compare("overhead", tools, self._writing_limit(batch), batch=batch)
        return rows

    def teach(self) -> list[Row]:
        # Few weights are trained; the others take part in the way back as much as in the way there.
        tools = speed_rivals.teachers(self.model, passages(self.options.passages))
        limit = self.limit.reading(2 * (self.parameters + self.head))
        return self._compare("teach", tools, limit, passages=self.options.passages)

    def threads(self) -> list[Row]:
        """The same work on one thread and on all, by wall clock."""
        most, rows = torch.get_num_threads(), []
        texts, count = passages(self.options.passages), self.options.batch[0]
        config = GenerationConfig(new_tokens=self.options.tokens, batch_size=count)
        tools = {
            "threads: record": reading(self.model, texts, self.model.record),
            "threads: write": lambda: self._written(openings(count), config, self._vector()),
        }
        try:
            for threads in sorted({1, most}):
                torch.set_num_threads(threads)
                for stage, work in tools.items():
                    size = {"batch": count} if stage.endswith("write") else {"passages": len(texts)}
                    rows += self._compare(stage, {"basin": work}, None, threads=threads, clock="wall", **size)
        finally:
            torch.set_num_threads(most)
        return rows

    def growth(self) -> list[Row]:
        """A small random model records up to 64,000 passages, once, into an empty cache."""
        model, rows = random_model(self.model, 128, 4), []

        def read(texts: Sequence[str]) -> None:
            with without_recordings():
                record_cached(model, texts)

        for count in (count for count in GROWTH if count <= self.options.most):
            shared = {"stage": "growth: record", **self.shared, "repeats": 1, "passages": count}
            tools = {"basin": reading(model, passages(count), read)}
            rows += compare(tools, 1, self.clock, shared, None)
        return [row | {"model": "random", "dtype": "float32"} for row in rows]

    def _vector(self, seed: int = 0) -> SteeringVector:
        generator = torch.Generator().manual_seed(seed)
        return SteeringVector(
            {layer: 0.1 * torch.randn(self.model.width, generator=generator) for layer in self.model.layers}
        )

    def _written(self, prompts: Sequence[str], config: GenerationConfig, vector: object) -> int:
        self.model.generate(prompts, range(len(prompts)), config, vector)
        return len(prompts) * config.new_tokens

    def _writing_limit(self, batch: int) -> float:
        parameters = self.parameters + self.head
        return self.limit.writing(parameters, parameters * self.dtype.itemsize, batch)

    def _compare(self, stage: str, tools: dict, limit: float | None, **setting: int | str) -> list[Row]:
        shared = {"stage": stage, **self.shared, **setting}
        tools = {
            name: work for name, work in tools.items() if not self.options.tool or name in self.options.tool
        }
        with quiet_transformers():
            return compare(tools, self.options.repeats, CLOCKS[shared["clock"]], shared, limit)


def reading(
    model: LanguageModel, texts: Sequence[str], read: Callable[[Sequence[str]], object]
) -> Callable[[], int]:
    """Work that reads the texts; their tokens are counted before and not timed."""
    tokens = speed_rivals.counted(model, texts)

    def work() -> int:
        read(texts)
        return tokens

    return work


def passages(count: int) -> list[str]:
    """Made-up texts of 90 to 200 words, out of order of length."""
    generator = np.random.default_rng(0)
    return [" ".join(generator.choice(WORDS.split(), int(generator.integers(90, 200)))) for _ in range(count)]


def openings(count: int) -> list[str]:
    """Prompts of nine words."""
    generator = np.random.default_rng(1)
    return [" ".join(generator.choice(WORDS.split(), 9)) for _ in range(count)]


def random_model(like: LanguageModel, width: int, depth: int) -> LanguageModel:
    """A Llama of random weights that reads with the tokenizer of `like`."""
    shape = {"hidden_size": width, "intermediate_size": 3 * width, "num_hidden_layers": depth}
    shape |= {"num_attention_heads": width // 32, "num_key_value_heads": width // 64}
    config = transformers.LlamaConfig(len(like.tokenizer), max_position_embeddings=2048, **shape)
    torch.manual_seed(0)
    made = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    return LanguageModel(made, like.tokenizer, LanguageModelConfig(name="random"))


def merged(rows: Sequence[Row], path: Path = RESULTS / "speed.json") -> list[Row]:
    """The rows, and of an earlier run those that measured something else."""
    size = ("batch", "passages")
    kept = with_earlier(
        rows, lambda row: tuple(row.get(name) for name in ("stage", "device", "dtype", *size)), path
    )
    return sorted(
        kept,
        key=lambda row: (ORDER.index(row["stage"]), row["dtype"], *(row.get(name) or 0 for name in size)),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    stages = [*STAGES, "growth"]
    parser.add_argument("--stage", action="append", choices=stages, help="all but the last")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--dtype", choices=["auto", "float32", "bfloat16"], default="auto")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall", help="cpu: seconds of this process")
    parser.add_argument("--batch", type=int, action="append", help="texts written at a time; 32 and 256")
    parser.add_argument("--passages", type=int, default=2000, help="to record and to train with")
    parser.add_argument("--most", type=int, default=GROWTH[-1], help="passages that growth goes up to")
    parser.add_argument("--tokens", type=int, default=128, help="generated per text")
    parser.add_argument("--rivals", help="a site-packages folder with the other libraries")
    parser.add_argument("--tool", action="append", help="only these, by the names in the rows")
    parser.add_argument("--llama", action="store_true", help="llama.cpp too, where it can be imported")
    options = parser.parse_args(arguments)
    options.batch = options.batch or [32, 256]
    if options.rivals:
        sys.path.append(options.rivals)  # last: what is installed here stays what it is
    bench, rows = Bench(options), []
    for stage in options.stage or STAGES:
        rows += getattr(bench, stage)()
    if options.tool and not rows:
        raise SystemExit(f"Error: no stage that ran has a tool called {' or '.join(options.tool)}.")
    if rows:
        command = ["python", "-m", "benchmarks.speed", *(sys.argv[1:] if arguments is None else arguments)]
        write_results("speed", merged(rows), command)


if __name__ == "__main__":
    main()
