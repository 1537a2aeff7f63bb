"""Malformed input to every reader: `python -m benchmarks.fuzz [--inputs 1000000] [--only READER]`.

Every input must be read, and then keep the reader's promises, or be refused in one sentence, within 10 s and
700 MB. Inputs are damaged files and changed trees, all from `--seed`. Each reader has a process of its own.
A failing input is kept in tests/faults/failures as a test. Writes results/fuzz.json.
"""

from __future__ import annotations

import bz2
import contextlib
import copy
import gzip
import hashlib
import json
import lzma
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
import yaml
import zstandard

from agent.corpora.load import CorpusConfig, load_corpus
from agent.corpora.passages import PassagesConfig, split
from agent.errors import LONGEST_SENTENCE, BasinError
from agent.judging.gold import every_gold_labels
from agent.pointer.imported import load_topic_model, read_examples, read_weights
from agent.steering.control_vector import read_control_vector
from agent.types import Document, document_id
from benchmarks.results import RESULTS, write_results
from loops.config import RunConfig, load_config, parse_config
from loops.evaluation.membership import suite as membership
from tests.planted.planted_files import control_vector, epub_book, parquet_tables, topic_tensors

FAILURES = Path(__file__).parents[1] / "tests" / "faults" / "failures"
SECONDS, MEGABYTES, MAPPED, MOST_FAILURES = 10.0, 700, 3 << 30, 20
"""Time and memory of one input, bytes that a process may map beyond its start, and failures kept of a reader."""
KINDS = ("traceback", "hang", "memory", "promise", "sentence")
Check = Callable[[bytes, Path], None]
Maker = Callable[[random.Random], bytes]


class Failed(Exception):
    """An input that was not survived; the message begins with one of `KINDS`."""


class TooSlow(BaseException):
    """Not an Exception, so that no reader catches it."""


def survive(check: Check, content: bytes, folder: Path) -> str:
    """`read` or `refused`. Raises `Failed`."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    signal.signal(signal.SIGALRM, _ring)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        check(content, folder)
        outcome = "read"
    except BasinError as error:
        text, outcome = str(error), "refused"
        if not (text.isprintable() and 10 < len(text) <= LONGEST_SENTENCE and text[-1] in ".?!"):
            raise Failed(f"sentence: no sentence: {text[:200]!r}") from None
    except TooSlow:
        raise Failed(f"hang: more than {SECONDS:.0f} s") from None
    except Failed:
        raise
    except (Exception, SystemExit) as error:
        place = [each for each in traceback.extract_tb(error.__traceback__) if __file__ != each.filename][-1:]
        raise Failed(f"traceback: {type(error).__name__}: {str(error)[:120]} {place}") from error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    if (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 > MEGABYTES:
        raise Failed(f"memory: more than {MEGABYTES} MB")
    return outcome


def _ring(*_: object) -> None:
    raise TooSlow


def keep(target: str, content: bytes, folder: Path) -> str:
    path = folder / target / hashlib.sha256(content).hexdigest()[:10]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path.name


def require(holds: object, promise: str) -> None:
    if not holds:
        raise Failed(f"promise: {promise}")


def require_text(*texts: str) -> None:
    require(
        all(text == text.encode(errors="ignore").decode().replace("\0", "") for text in texts), "text is text"
    )


def corpus_file(name: str, pack: Callable[[bytes], bytes] = bytes) -> Check:
    """A check of the corpus reader for files of this name, of content that is packed first."""
    inner = reader(name, read_corpus)
    return lambda content, folder: inner(pack(content), folder)


def read_corpus(source: Path) -> list[Document]:
    try:
        documents = load_corpus(CorpusConfig(source=str(source)))
    except BasinError as error:
        require(source.name in str(error), f"a refusal names the file: {error}")
        raise
    require(documents, "a corpus has documents")
    for document in documents:
        require_text(document.text, document.title, document.author)
        require(document.id == document_id(document.text), "an identifier is of its text")
        require("\n" not in document.title + document.author, "a title is one line")
    with contextlib.suppress(BasinError):  # too few or too short for passages
        found = split(documents, PassagesConfig(words=10, minimum_words=1))
        require(len({each.id for each in found.passages}) == len(found.passages), "passages have identifiers")
        require(all(each.text.strip() for each in found.passages), "no passage is empty")
        require(set(found.document_of) == set(range(len(found.documents))), "every document has a passage")
    return documents


def folder_of_files(content: bytes, folder: Path) -> None:
    """Files, folders, links and pipes, drawn with the input as seed."""
    corpus, draw = folder / "corpus", random.Random(content)
    shutil.rmtree(corpus, ignore_errors=True)
    corpus.mkdir()
    (folder / "outside.txt").write_text("Not of the corpus.")
    makers = {"folder": os.mkdir, "pipe": os.mkfifo}
    for _ in range(draw.randrange(6)):
        path, (kind, inner) = corpus / draw.choice(NAMES), draw.choice(ENTRIES)
        with contextlib.suppress(
            OSError, ValueError
        ):  # names that are there or that the file system does not take
            if kind == "file" and not os.path.lexists(path):
                path.write_bytes(inner.encode("latin-1"))
            elif kind != "file":
                makers.get(kind, partial(os.symlink, inner))(path)
    for document in read_corpus(corpus):
        require("Not of the corpus" not in document.text, "nothing outside the folder is read")


def settings(content: bytes, folder: Path) -> None:
    """A configuration file; after form feeds, overrides."""
    text, *overrides = content.split(b"\f")
    (folder / "run.yaml").write_bytes(text)
    config = load_config(folder / "run.yaml", [each.decode("utf-8", "surrogateescape") for each in overrides])
    stored = json.loads(json.dumps(config.model_dump(mode="json"), allow_nan=False))
    require(parse_config(stored, "stored") == config, "stored settings read back the same")


def reader(name: str, read: Callable[[Path], object]) -> Check:
    """A check of a reader of one file."""

    def check(content: bytes, folder: Path) -> None:
        (folder / name).write_bytes(content)
        read(folder / name)

    return check


def labels(content: bytes, folder: Path) -> None:
    """A gold file, a form feed, and the records that it labels."""
    gold, _, records = content.partition(b"\f")
    (folder / "gold.yaml").write_bytes(gold)
    (folder / "labelled.jsonl").write_bytes(records or LABELLED)
    config = CorpusConfig(source=str(folder / "labelled.jsonl"))
    documents = load_corpus(config)
    for found in every_gold_labels(config, documents, gold_file=folder / "gold.yaml"):
        require(len(found.labels) == len(documents), "every document has a label")
        require(len(set(found.labels[found.counted])) == 2, "labels tell documents apart")


def topics(path: Path) -> None:
    found = load_topic_model(path)
    require_text(*found.vocabulary)
    counts, alpha = found.topic_word_counts, found.alpha
    require(counts.shape == (len(alpha), len(found.vocabulary)), "a row a topic, a column a word")
    require(np.isfinite(counts).all() and (counts > 0).all() and (alpha > 0).all(), "counts are positive")
    require(np.isfinite(found.infer(("murder inspector harvest", ""))).all(), "texts have weights")


def directions(path: Path) -> None:
    found = read_control_vector(path).directions
    require(found and all(row.isfinite().all() for row in found.values()), "directions are finite")


def weights(path: Path) -> None:
    found = read_weights(path, "weight", CORPUS, CORPUS)
    require(found.shape == (2,) and ((found >= 0) & (found <= 1)).all(), "two weights in [0, 1]")


# fmt: off
LABELLED = b"".join(b'{"text": "Text %d.", "kind": "%s"}\n' % (at, (b"no", b"yes")[at % 2]) for at in range(4))
RECORDS = (
    LABELLED, b'{"text": "One. Two.", "title": "T", "author": "A"}\n{"text": "Three."}\n',
    b'\xef\xbb\xbf{"text": "A \\u00e9 \\ud83d\\ude00", "n": [1, 2.5, null, {"a": true}]}\r\n\n{"text": "B"}',
)
TEXTS = ("Once upon a time.\n\nThere was “a” text.\n".encode(), b"\xef\xbb\xbfMarked.\r\nTwo.\rThree.", b"a " * 200)
PAGES = (
    b"<html><head><title>A &amp; B</title></head><body><h1>One</h1><p>Two <b>three</b></p></body></html>",
    b'<?xml version="1.0" encoding="utf-8"?><html><p>Text.<br/>More.&#x1b;</p><script>x</script></html>',
    b"<p>*** START OF THE PROJECT GUTENBERG EBOOK A ***<p>Text.<!-- a --><p>*** END OF THE PROJECT GUTENBERG EBOOK",
)
TOKENS = [
    *b"NaN|-Infinity|1e999|-1|null|true|~|&a |*a|<<: |!!python/object/apply:os.system [id]|--- |2001-99-99".split(b"|"),
    *rb"""../|/dev/zero|<p|]]>|&#x|{|}|[|]|,|:|- |'|"|\|\u0000|\ud800|"text": """.split(b"|"), b"[" * 3000, b'{"a":' * 3000,
    b"\0", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\xed\xa0\x80", b"\r", b"\n", b"\x1b[31m", b"9" * 5000, b"a" * 3000,
]
ODD: list[Any] = [
    None, True, 0, -1, 1, 2, 10**30, 1.5, 1e308, float("inf"), float("nan"), [], {}, [[]], [None], {"a": 1}, [1, 2],
    "auto", "1", "", " ", "\0", "é" * 40, "a" * 5000, "\ud800", "\x1b[2J", "a\nb", "..", "~nobody/x",
]
NAMES = ("a.txt", "b.md", ".c.txt", "\xff.txt", "e/f.txt", "g" * 300, "x\ny.txt", "page.html", "rows.jsonl", "e")
ENTRIES = (("file", "A text."), ("file", "caf\xe9"), ("file", "\0\1"), ("file", '{"text": "A"}'), ("folder", ""),
                  ("link", "../outside.txt"), ("link", "/dev/zero"), ("link", "a.txt"), ("pipe", ""))
GOLD = {"labelled.jsonl": [{"field": "kind", "positive": "yes", "concept": "kind"}, {"leave_out": "label"}]}
WEIGHTS = [{"title": "A", "weight": 0.5}, {"title": "B", "weight": 0}]
CORPUS = tuple(Document(document_id(text), text, title) for title, text in (("A", "One."), ("B", "Two.")))


def damaged(draw: random.Random, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds with one to eight changes of its bytes."""
    content = bytearray(draw.choice(seeds))
    for _ in range(1 + int(draw.expovariate(0.6)) % 8):
        at, length = draw.randrange(len(content) + 1), min(int(draw.expovariate(0.1)) + 1, len(content))
        match draw.randrange(5):
            case 0 if at < len(content):
                content[at] ^= 1 << draw.randrange(8)
            case 1:
                content[at : at + draw.choice((0, length))] = draw.choice(TOKENS)
            case 2:
                del content[at : at + length]
            case 3:
                content[at:at] = content[at : at + length] * draw.choice((1, 2, 20))
            case 4:
                content[at:at] = draw.choice(seeds)[:length]
    return bytes(content)


def changed(tree: Any, write: Callable[[Any], bytes]) -> Maker:
    """Makes a tree with up to seven entries dropped, renamed, doubled or replaced by an odd value."""

    def make(draw: random.Random) -> bytes:
        found = copy.deepcopy(tree)
        for _ in range(draw.randrange(8)):
            holder, key = draw.choice(list(_places(found)) or [([None], 0)])
            what, odd = draw.randrange(4), copy.deepcopy(draw.choice(ODD))
            if what == 0:
                del holder[key]
            elif what == 1 and isinstance(holder, dict):
                holder[draw.choice((f"{key}s", str(key)[:-1], "labels", 7, None))] = holder.pop(key)
            else:
                holder[key] = odd if what != 2 else [holder[key], odd]
        return write(found)

    return make


def _places(tree: Any) -> Iterable[tuple[Any, Any]]:
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in list(pairs):
        yield tree, key
        yield from _places(value)


def as_json(tree: Any) -> bytes:
    return json.dumps(tree).encode()


def as_yaml(tree: Any) -> bytes:
    return yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "surrogatepass")


@dataclass(frozen=True)
class Target:
    """One reader: its check, whole inputs, a maker of structures, and its share of all inputs."""

    check: Check
    begin: tuple[bytes, ...] = ()
    make: Maker | None = None
    weight: float = 1.0

    def input(self, seed: int, number: int) -> bytes:
        """The input of this number: the same each time."""
        draw = random.Random(f"{seed}/{number}")
        made = self.make(draw) if self.make and (not self.begin or draw.random() < 0.6) else b""
        return made if made and draw.random() < 0.6 else damaged(draw, (made,) if made else self.begin)


PACKERS: dict[str, Callable[[bytes], bytes]] = {"bz2": bz2.compress, "zst": zstandard.compress}
PACKERS |= {"gz": partial(gzip.compress, mtime=0), "xz": partial(lzma.compress, preset=0)}
SUITE = yaml.safe_load(membership.SUITE_FILE.read_bytes())
RUN = RunConfig.model_validate({"corpus": {"source": "brown-fiction"}}).model_dump(mode="json")
# fmt: off
TARGETS = {
    "text": Target(corpus_file("story.txt"), TEXTS, weight=3),
    "jsonl": Target(corpus_file("records.jsonl"), RECORDS, weight=4),
    **{f"jsonl.{key}": Target(corpus_file(f"r.jsonl.{key}", pack), RECORDS) for key, pack in PACKERS.items()},
    **{f"package.{key}": Target(corpus_file(f"r.jsonl.{key}"), tuple(map(pack, RECORDS))) for key, pack in PACKERS.items()},
    "parquet": Target(corpus_file("table.parquet"), parquet_tables()),
    "folder": Target(folder_of_files, (b"seed",), weight=0.3),
    "html": Target(corpus_file("page.html"), PAGES, weight=2),
    "epub": Target(corpus_file("book.epub"), (epub_book(),)),
    "settings": Target(settings, (b"corpus: {source: brown-fiction}\nrounds: 2\fseed=1",), changed(RUN, as_yaml), 0.1),
    "suite": Target(reader("s.yaml", membership.load_suite), (), changed(SUITE, as_yaml), 0.05),
    "gold_file": Target(labels, (), changed(GOLD, as_yaml), 0.2),
    "gold_labels": Target(labels, (as_yaml(GOLD) + b"\f" + LABELLED,), weight=0.2),
    "control_vector": Target(reader("v.gguf", directions), (control_vector(),), weight=0.3),
    "topic_model.safetensors": Target(reader("t.safetensors", topics), (topic_tensors(),), weight=0.5),
    "weights.json": Target(reader("w.json", weights), (b"[0, 0.5]",), changed(WEIGHTS, as_json), 0.5),
    "weights.jsonl": Target(reader("w.jsonl", weights), (b"\n".join(map(as_json, WEIGHTS)),), weight=0.5),
    "examples": Target(reader("e.txt", read_examples), TEXTS, weight=0.3),
}
# fmt: on


def work(name: str, seed: int, numbers: range, counts: Any, current: Path, failures: Path) -> None:
    """Feed one reader inputs of these numbers; the counts and the current input outlive this process."""
    limit = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + MAPPED
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    target, seen = TARGETS[name], set[str]()
    for number in numbers:
        content = target.input(seed, number)
        current.write_bytes(content)
        counts[0] += 1
        try:
            counts[1 if survive(target.check, content, current.parent) == "read" else 2] += 1
        except Failed as failure:
            counts[3 + KINDS.index(str(failure).partition(":")[0])] += 1
            if str(failure) not in seen and len(seen) < MOST_FAILURES:
                seen.add(str(failure))
                print(
                    f"{name}: {failure}: kept as {keep(name, content, failures)}", file=sys.stderr, flush=True
                )


def feed(name: str, seed: int, inputs: int, failures: Path) -> dict[str, Any]:
    """A row for one reader, fed by one process after another where they die."""
    begin, context = time.monotonic(), multiprocessing.get_context("fork")
    counts, deaths = context.Array("q", 3 + len(KINDS)), 0
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        current = Path(folder, "current")
        while counts[0] < inputs and deaths < MOST_FAILURES:
            numbers = range(counts[0], min(counts[0] + 20_000, inputs))  # Arrow loses memory with every input
            process = context.Process(target=work, args=(name, seed, numbers, counts, current, failures))
            process.start()
            process.join()
            if process.exitcode:
                deaths += 1
                kept = keep(name, current.read_bytes(), failures)
                print(f"{name}: status {process.exitcode}: kept as {kept}", file=sys.stderr)
    row = dict(zip(("inputs", "read", "refused", *KINDS), counts[:], strict=True))
    return {"tool": name, **row, "crash": deaths, "seconds": round(time.monotonic() - begin, 1)}


def main(
    inputs: Annotated[int, typer.Option(min=1, help="Of all readers together.")] = 1_000_000,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    only: Annotated[list[str] | None, typer.Option(metavar="READER", help="May be repeated.")] = None,
    results: Annotated[Path, typer.Option(help="Folder for fuzz.json.")] = RESULTS,
    failures: Annotated[Path, typer.Option(help="Folder for failing inputs.")] = FAILURES,
) -> None:
    """Fuzz the readers, and count what became of the inputs."""
    chosen = only or list(TARGETS)
    whole = sum(TARGETS[name].weight for name in chosen)
    rows = [feed(name, seed, int(inputs * TARGETS[name].weight / whole) + 1, failures) for name in chosen]
    total = {key: round(sum(row[key] for row in rows), 1) for key in rows[0] if key != "tool"}
    rows.append({"tool": "all", **total})
    write_results("fuzz", rows, ["python", "-m", "benchmarks.fuzz", *sys.argv[1:]], results)
    for each in rows:
        print(", ".join(f"{key} {value}" for key, value in each.items()))
    raise SystemExit(any(total[kind] for kind in (*KINDS, "crash")))


if __name__ == "__main__":
    typer.run(main)
