"""`python -m benchmarks.streaming`: how much memory a corpus takes that is larger than is held. Writes results/streaming.json.

A JSONL file of made-up words is generated, whose vocabulary grows as a real one does (Zipf's law over 200,000 words); what is
larger than 50 MB is the first 50 MB again and again, which takes as long to read and is made sooner. Each stage runs in a
process of its own, since a process's peak never falls: what it has before it reads anything, and at its peak.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

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


def stage(name: str, path: Path) -> dict[str, float]:
    """Run one stage in this process; megabytes before and at the peak."""
    from agent.corpora.load import CorpusConfig, iter_documents, load_corpus
    from agent.pointer.lda import fit_stream
    from agent.pointer.topic_model import TopicsConfig

    before, begin = resident("VmRSS") / 2**20, time.perf_counter()
    config = CorpusConfig(source=str(path), sample=None if name == "whole" else SAMPLE)
    if name == "topics":
        topics = TopicsConfig(count=10, passes=1, fit_on="all")
        texts = lambda: (document.text for document in iter_documents(config))  # noqa: E731
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            found = len(fit_stream(texts, topics, 0, Path(folder)).vocabulary)
    else:
        found = len(load_corpus(config))
    return {
        "before_mb": before,
        "peak_mb": resident("VmHWM") / 2**20,
        "seconds": time.perf_counter() - begin,
        "found": found,
    }


def main(
    megabytes: Annotated[list[int] | None, typer.Option(help="Size of the file; may be repeated.")] = None,
    topics_up_to: Annotated[
        int, typer.Option(help="Megabytes; larger files are only sampled: LDA takes time.")
    ] = 250,
    whole_up_to: Annotated[
        int, typer.Option(help="Megabytes; smaller files are also held whole, to compare.")
    ] = 1000,
    folder: Annotated[Path | None, typer.Option(help="Where the file is made, and taken away again.")] = None,
    results: Annotated[Path, typer.Option(help="Folder for streaming.json.")] = RESULTS,
    child: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Measure, and write down what came out."""
    if child:
        print(json.dumps(stage(child, folder or Path())))
        return
    rows = []
    for size in megabytes or [60, 250, 1000, 2000]:
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            path = Path(scratch) / "corpus.jsonl"
            documents = generate(path, size << 20)
            limits = {"topics": topics_up_to, "whole": whole_up_to}
            for name in (name for name in STAGES if size <= limits.get(name, size)):
                command = [
                    sys.executable,
                    "-m",
                    "benchmarks.streaming",
                    "--child",
                    name,
                    "--folder",
                    str(path),
                ]
                done = subprocess.run(
                    command, stdout=subprocess.PIPE, text=True, check=True, env=dict(os.environ)
                )
                found = json.loads(done.stdout.splitlines()[-1])
                rows.append(
                    {
                        "tool": STAGES[name],
                        "file_mb": round(path.stat().st_size / 2**20),
                        "documents": documents,
                        "found": int(found["found"]),
                        "before_mb": round(found["before_mb"]),
                        "peak_mb": round(found["peak_mb"]),
                        "seconds": round(found["seconds"]),
                    }
                )
                print(rows[-1], file=sys.stderr, flush=True)
                kept = with_earlier(rows, _measured, results / "streaming.json")
                write_results(
                    "streaming",
                    sorted(kept, key=_measured),
                    ["python", "-m", "benchmarks.streaming", *sys.argv[1:]],
                    results,
                )


def _measured(row: Mapping[str, Any]) -> tuple[int, int]:
    """What a row is of: how large the file, and which stage."""
    return row["file_mb"], [*STAGES.values()].index(row["tool"])


if __name__ == "__main__":
    typer.run(main)
