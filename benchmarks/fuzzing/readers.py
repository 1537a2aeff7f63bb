"""Checks of the readers of corpora, settings and labels: what they take in has to be what they promise."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml
import zstandard

from agent.corpora.load import CorpusConfig, load_corpus
from agent.corpora.passages import PassagesConfig, split
from agent.errors import BasinError
from agent.judging.gold import GoldLabels, every_gold_labels
from agent.types import Document, PassageSet, document_id
from benchmarks.fuzzing.watching import Check, Failed
from loops.config import RunConfig, load_config, parse_config
from loops.evaluation.generation.suite import load_generation_suite
from loops.evaluation.membership.suite import load_suite

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": lambda content: gzip.compress(content, 1, mtime=0),
    ".xz": lambda content: lzma.compress(content, preset=0),
    ".bz2": lambda content: bz2.compress(content, 1),
    ".zst": lambda content: zstandard.ZstdCompressor(level=1).compress(content),
}


def require(holds: bool, promise: str) -> None:
    if not holds:
        raise Failed("promise", promise)


def corpus_file(name: str) -> Check:
    """A check of the reader for files of this name."""

    def check(content: bytes, folder: Path) -> None:
        path = folder / name
        path.write_bytes(content)
        _read(path)

    return check


def packed(name: str) -> Check:
    """The same, of the content packed as the name says."""
    inner = corpus_file(name)
    pack = PACKERS[Path(name).suffix]
    return lambda content, folder: inner(pack(content), folder)


def folder_of_files(content: bytes, folder: Path) -> None:
    """Entries as JSON: (path, kind, content), kinds being file, folder, link, pipe."""
    corpus = folder / "corpus"
    shutil.rmtree(corpus, ignore_errors=True)
    corpus.mkdir()
    (folder / "outside.txt").write_text("Not of the corpus.")
    for path, kind, inner in json.loads(content):
        _make(corpus, path, kind, inner)
    for document in _read(corpus):
        require("Not of the corpus" not in document.text, "nothing outside the folder is read")


def passages(content: bytes, folder: Path) -> None:
    """Documents, parted by form feeds, are cut into passages."""
    texts = [
        *content.decode("utf-8", "replace").split("\f"),
        "Another text, so that there are two.",
        "And a third.",
    ]
    require_passages(split([Document(document_id(text), text) for text in texts], SHORT))


def settings(content: bytes, folder: Path) -> None:
    """A configuration file; after a form feed, overrides as on the command line."""
    text, *overrides = content.split(b"\f")
    path = folder / "run.yaml"
    path.write_bytes(text)
    config = load_config(path, [each.decode("utf-8", "surrogateescape") for each in overrides])
    require(isinstance(config, RunConfig), "settings are a RunConfig")
    kept = json.loads(json.dumps(config.model_dump(mode="json"), allow_nan=False))
    require(parse_config(kept, "stored") == config, "what is stored reads back the same")


def suite(content: bytes, folder: Path) -> None:
    path = folder / "suite.yaml"
    path.write_bytes(content)
    require(len(load_suite(path)) > 0, "a suite has corpora")


def generation_suite(content: bytes, folder: Path) -> None:
    path = folder / "suite.yaml"
    path.write_bytes(content)
    require(len(load_generation_suite(path)) > 0, "a suite has corpora")


def gold_file(content: bytes, folder: Path) -> None:
    """A file that says where the labels of a small corpus are."""
    path = folder / "gold.yaml"
    path.write_bytes(content)
    _label(LABELLED, path, folder)


def gold_labels(content: bytes, folder: Path) -> None:
    """Labels of all kinds in the records, of which a good gold file speaks."""
    path = folder / "gold.yaml"
    path.write_text(
        yaml.safe_dump({"labelled.jsonl": [{"field": "kind", "positive": "yes"}, {"leave_out": "odd"}]})
    )
    _label(content, path, folder)


SHORT = PassagesConfig(words=10, minimum_words=1)
LABELLED = "".join(
    json.dumps({"text": f"Text of number {number}.", "kind": ["no", "yes"][number % 2], "label": number > 1})
    + "\n"
    for number in range(4)
).encode()


def _read(source: Path) -> list[Document]:
    try:
        documents = load_corpus(CorpusConfig(source=str(source)))
    except BasinError as error:
        require(source.name in str(error), f"a refusal names the file: {error}")
        raise
    require_documents(documents)
    try:
        found = split(documents, SHORT)
    except BasinError:  # too few, too short: said of the corpus as a whole
        return documents
    require_passages(found)
    return documents


def require_documents(documents: Sequence[Document]) -> None:
    require(len(documents) > 0, "a corpus has documents")
    for document in documents:
        require_text(document.text)
        require(document.id == document_id(document.text), "an identifier is of its text")
        for shown in (document.title, document.author):
            require_text(shown)
            require("\n" not in shown and "\x1b" not in shown, "what is shown is on one line")


def require_passages(found: PassageSet) -> None:
    for name, entries in (("document", found.documents), ("passage", found.passages)):
        require(
            len({each.id for each in entries}) == len(entries), f"every {name} has an identifier of its own"
        )
    require(all(passage.text.strip() for passage in found.passages), "no passage is empty")
    require(set(found.document_of) == set(range(len(found.documents))), "every document has a passage")


def require_text(text: Any) -> None:
    require(isinstance(text, str) and "\0" not in text, "text is text")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Failed("promise", "text can be written") from None


def _label(content: bytes, gold: Path, folder: Path) -> None:
    path = folder / "labelled.jsonl"
    path.write_bytes(content)
    config = CorpusConfig(source=str(path))
    documents, said = load_corpus(config), []
    for labels in every_gold_labels(config, documents, said.append, gold):
        require(
            isinstance(labels, GoldLabels) and len(labels.labels) == len(documents),
            "every document has a label",
        )
        require(len(set(labels.labels[labels.counted])) == 2, "labels tell documents apart")
    require(all(each.isprintable() and len(each) < 400 for each in said), "what is said is a sentence")


def _make(corpus: Path, name: str, kind: str, inner: str) -> None:
    """An entry of a folder, where the file system has room for it; never outside the folder, whatever links are there."""
    path = corpus / name.lstrip("/")
    try:
        real = os.path.realpath(path.parent)
        if (
            ".." in path.parts
            or not f"{real}/".startswith(f"{os.path.realpath(corpus)}/")
            or os.path.lexists(path)
        ):
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "folder":
            path.mkdir(exist_ok=True)
        elif kind == "link":
            path.symlink_to(inner or ".")
        elif kind == "pipe":
            os.mkfifo(path)
        else:
            path.write_bytes(inner.encode("latin-1", "replace"))
    except (OSError, ValueError):
        return
