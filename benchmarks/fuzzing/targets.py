"""Every reader that is fuzzed: how it is checked, and where its inputs come from."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from hypothesis import strategies as st

from benchmarks.fuzzing import books, commands, drawn, made, pointers, readers
from benchmarks.fuzzing.mutation import TOKENS, mutated
from benchmarks.fuzzing.watching import Check

SEEDS = 40
"""Inputs made before damaging begins."""


@dataclass(frozen=True)
class Target:
    """One reader."""

    name: str
    check: Check
    strategy: st.SearchStrategy[bytes]
    make: Callable[[random.Random], bytes] | None = None
    """Makes whole inputs of the right structure."""
    begin: tuple[bytes, ...] = ()
    """Whole inputs that damaging starts from, besides what `make` makes."""
    damaged: float = 1.0
    """Share of inputs that are damaged bytes; the others come from `make`."""
    weight: float = 1.0
    """Share of all inputs, in proportion to the others'."""

    def input(self, seed: int, number: int) -> bytes:
        """The input of this number: the same each time."""
        draw = random.Random(f"{self.name}/{seed}/{number}")
        if self.make and draw.random() >= self.damaged:
            return self.make(draw)
        return mutated(self.seeds, TOKENS, seed, number)

    @cached_property
    def seeds(self) -> tuple[bytes, ...]:
        draw = random.Random(self.name)
        return self.begin + tuple(self.make(draw) for _ in range(SEEDS if self.make else 0))


RECORDS = (
    readers.LABELLED,
    b'{"text": "One. Two.", "title": "T", "author": "A"}\n{"text": "Three."}\n',
    b'\xef\xbb\xbf{"text": "A \\u00e9 \\ud83d\\ude00", "n": [1, 2.5, null, {"a": true}]}\r\n\n{"text": "B"}',
)
TEXTS = (
    "Once upon a time.\n\nThere was “a” text.\n".encode(),
    b"\xef\xbb\xbfMarked.\r\nTwo.\rThree.",
    b"a " * 200,
)
PAGES = (
    b"<html><head><title>A &amp; B</title></head><body><h1>One</h1><p>Two <b>three</b></p></body></html>",
    b'<?xml version="1.0" encoding="utf-8"?><html><body epub:type="bodymatter"><p>Text.<br/>More.</p></body></html>',
    b"<p>*** START OF THE PROJECT GUTENBERG EBOOK A ***<p>Text.<p>*** END OF THE PROJECT GUTENBERG EBOOK A ***",
)


def _packed(suffix: str, weight: float) -> list[Target]:
    """A packed JSONL file: damage to what is packed, and damage to the package."""
    pack = readers.PACKERS[suffix]
    name = f"records.jsonl{suffix}"
    packages = tuple(pack(each) for each in RECORDS) + (
        pack(RECORDS[0]) + pack(RECORDS[1]),
        pack(b"a" * 100_000),
    )
    return [
        Target(f"jsonl{suffix}", readers.packed(name), drawn.jsonl, begin=RECORDS, weight=weight),
        Target(
            f"package{suffix}",
            readers.corpus_file(name),
            st.binary(max_size=60),
            begin=packages,
            weight=weight,
        ),
    ]


READERS = (
    Target("text", readers.corpus_file("story.txt"), drawn.text_file, begin=TEXTS, weight=3),
    Target("jsonl", readers.corpus_file("records.jsonl"), drawn.jsonl, begin=RECORDS, weight=4),
    *_packed(".gz", 1),
    *_packed(".xz", 1),
    *_packed(".bz2", 1),
    *_packed(".zst", 1),
    Target(
        "parquet",
        readers.corpus_file("table.parquet"),
        drawn.from_chance(made.parquet_file),
        made.parquet_file,
        damaged=0.8,
        weight=1,
    ),
    Target(
        "folder",
        readers.folder_of_files,
        drawn.from_chance(made.folder_entries),
        made.folder_entries,
        damaged=0,
        weight=0.3,
    ),
    Target(
        "html",
        readers.corpus_file("page.html"),
        drawn.from_chance(books.web_page),
        books.web_page,
        begin=PAGES,
        damaged=0.5,
        weight=2,
    ),
    Target(
        "epub",
        readers.corpus_file("book.epub"),
        drawn.from_chance(books.epub_file),
        books.epub_file,
        damaged=0.7,
        weight=1,
    ),
    Target("passages", readers.passages, drawn.passages, begin=TEXTS, weight=1),
)
SETTINGS = (
    Target(
        "settings",
        readers.settings,
        drawn.from_chance(made.run_settings),
        made.run_settings,
        damaged=0.4,
        weight=0.1,
    ),
    Target(
        "suite",
        readers.suite,
        drawn.from_chance(made.suite_settings),
        made.suite_settings,
        damaged=0.5,
        weight=0.05,
    ),
    Target(
        "generation_suite",
        readers.generation_suite,
        drawn.from_chance(made.generation_settings),
        made.generation_settings,
        damaged=0.5,
        weight=0.05,
    ),
    Target(
        "gold_file",
        readers.gold_file,
        drawn.from_chance(made.gold_settings),
        made.gold_settings,
        damaged=0.5,
        weight=0.2,
    ),
    Target(
        "gold_labels",
        readers.gold_labels,
        drawn.from_chance(made.labelled_records),
        made.labelled_records,
        damaged=0.5,
        weight=0.2,
    ),
)


def _from_elsewhere(
    name: str, check: Check, make: Callable[[random.Random], bytes], weight: float, damaged: float = 0.6
) -> Target:
    return Target(name, check, drawn.from_chance(make), make, damaged=damaged, weight=weight)


POINTERS = (
    _from_elsewhere("control_vector", pointers.control_vector, pointers.vector_file, 0.3, 0.8),
    _from_elsewhere("topic_model.json", pointers.topic_model("topics.json"), pointers.topic_tree, 0.5),
    _from_elsewhere(
        "topic_model.safetensors", pointers.topic_model("topics.safetensors"), pointers.topic_tensors, 0.5
    ),
    _from_elsewhere("weights.json", pointers.weights("weights.json"), pointers.weight_list, 0.5),
    _from_elsewhere("weights.jsonl", pointers.weights("weights.jsonl"), pointers.weight_lines, 0.5),
    Target("examples", pointers.examples, drawn.text_file, begin=TEXTS, weight=0.3),
)
COMMANDS = (
    Target(
        "commands",
        commands.run_command,
        drawn.from_chance(commands.arguments),
        commands.arguments,
        damaged=0,
        weight=0.05,
    ),
)
TARGETS = {target.name: target for target in (*READERS, *SETTINGS, *POINTERS, *COMMANDS)}
