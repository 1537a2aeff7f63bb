"""Memory of corpora larger than is held: `python -m benchmarks.streaming`.

A JSONL file of made-up words by Zipf's law; beyond 50 MB its beginning is repeated. Writes results/streaming.json.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from agent.corpora.load import CorpusConfig, iter_documents, load_corpus
from agent.pointer.lda import fit_stream
from agent.pointer.topic_model import TopicsConfig
from benchmarks.results import RESULTS, resident, with_earlier, write_results

WORDS, WORDS_A_DOCUMENT, DOCUMENTS_AT_ONCE = 200_000, 800, 500
SAMPLE = 2000
FRESH = 50 << 20
"""Bytes of different documents."""
STAGES = {
    "sample": "2,000 documents by reservoir",
    "topics": "LDA on all, online, one pass",
    "whole": "all in memory",
}


def generate(path: Path, size: int) -> int:
    """Write about `size` bytes of documents; gives how many."""
    chance = np.random.default_rng(0)
    words = np.array([_word(number) for number in range(WORDS)])
    weights = 1 / (np.arange(WORDS) + 3)
    steps = np.cumsum(weights / weights.sum())
    documents = 0
    with path.open("w", encoding="utf-8") as file:
        while file.tell() < min(size, FRESH):
            drawn = np.searchsorted(steps, chance.random((DOCUMENTS_AT_ONCE, WORDS_A_DOCUMENT)))
            for row in words[np.minimum(drawn, WORDS - 1)]:
                file.write(json.dumps({"text": " ".join(row), "title": f"Document {documents}"}) + "\n")
                documents += 1
    fresh = path.read_bytes()
    with path.open("ab") as file:
        for _ in range(round(size / len(fresh)) - 1):
            file.write(fresh)
    return documents * max(round(size / len(fresh)), 1)


def _word(number: int) -> str:
    """A made-up word of consonants and vowels, different for every number."""
    letters = ""
    number += 21 * 5
    while number:
        number, consonant = divmod(number, 21)
        number, vowel = divmod(number, 5)
        letters += "bcdfghjklmnpqrstvwxyz"[consonant] + "aeiou"[vowel]
    return letters


def stage(name: str, path: Path) -> dict[str, int]:
    """Run one stage in this process: megabytes before and at the peak, seconds, and documents or words found."""
    before, begin = resident("VmRSS"), time.perf_counter()
    config = CorpusConfig(source=str(path), sample=None if name == "whole" else SAMPLE)
    if name == "topics":
        topics = TopicsConfig(count=10, passes=1, fit_on="all")
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            model = fit_stream(
                lambda: (each.text for each in iter_documents(config)), topics, 0, Path(folder)
            )
        found = len(model.vocabulary)
    else:
        found = len(load_corpus(config))
    return {
        "found": found,
        "before_mb": before >> 20,
        "peak_mb": resident("VmHWM") >> 20,
        "seconds": round(time.perf_counter() - begin),
    }


def main(
    megabytes: Annotated[list[int] | None, typer.Option(help="Size of the file; may be repeated.")] = None,
    topics_up_to: Annotated[int, typer.Option(help="Megabytes; larger files are only sampled.")] = 250,
    whole_up_to: Annotated[int, typer.Option(help="Megabytes; smaller files are also held whole.")] = 1000,
    folder: Annotated[Path | None, typer.Option(help="Where the file is made and deleted.")] = None,
    child: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Measure every stage in a process of its own, and write results/streaming.json."""
    if child:
        print(json.dumps(stage(child, folder or Path())))
        return
    rows = []
    for size in megabytes or [60, 250, 1000, 2000]:
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            path = Path(scratch) / "corpus.jsonl"
            about = {"documents": generate(path, size << 20), "file_mb": path.stat().st_size >> 20}
            limits = {"topics": topics_up_to, "whole": whole_up_to}
            for name in (name for name in STAGES if size <= limits.get(name, size)):
                command = [sys.executable, "-m", "benchmarks.streaming"]
                command += ["--child", name, "--folder", str(path)]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                rows.append({"tool": STAGES[name], **about, **json.loads(done.stdout.splitlines()[-1])})
                print(rows[-1], file=sys.stderr, flush=True)
    kept = sorted(with_earlier(rows, _measured, RESULTS / "streaming.json"), key=_measured)
    write_results("streaming", kept, ["python", "-m", "benchmarks.streaming", *sys.argv[1:]])


def _measured(row: Mapping[str, Any]) -> tuple[int, int]:
    """What a row is of: how large the file, and which stage."""
    return row["file_mb"], [*STAGES.values()].index(row["tool"])


if __name__ == "__main__":
    typer.run(main)
