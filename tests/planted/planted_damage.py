"""Damage to a stored run: by chance to every file, between rounds, and forged contents with hashes that fit."""

import json
import os
import shutil
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from agent.errors import BasinError
from loops.checkpoint import encode
from loops.checkpoint.store import RunStore
from tests.planted.planted_forgery import forge, forge_arrays, forge_json, forge_manifest, round_folder
from tests.planted.planted_log import listening

KEPT = (".json", ".safetensors")
Outcome = Literal["refused", "warned", "unharmed", "silent"]
"""An error; a result and a warning; the same contents as before; other contents without a warning."""


@dataclass(frozen=True)
class Damage:
    """One change to a copy of a run."""

    kind: str
    name: str
    apply: Callable[[Path], object]


@dataclass(frozen=True)
class Reading:
    """All contents of a run in bytes, and the warnings while reading."""

    contents: Mapping[str, bytes]
    warnings: tuple[str, ...]


def read_all(run: Path) -> Reading:
    """Everything of a run that a command may read. Raises `BasinError` for what is refused."""
    warnings: list[str] = []
    store = RunStore.open(run)
    contents = {"config": store.config.model_dump_json().encode(), "about": repr(store.about).encode()}
    warnings += [store.warning] if store.warning else []
    warnings += [f"round {number} is broken" for number in store.damaged()]
    for number in range(max([*store.rounds(), *store.damaged()], default=-1) + 1):
        for name, content in encode.encode_round(store.load(number)).items():
            contents[f"{number}/{name}"] = content
    contents |= encode.encode_passages(store.load_passages())
    contents |= encode.encode_pointer(store.load_pointer())
    with listening() as heard:
        if (certificate := store.load_certificate()) is not None:
            contents["certificate"] = json.dumps(certificate).encode()
    warnings += heard.messages
    return Reading(contents, tuple(warnings))


def outcome_of(run: Path, whole: Reading) -> tuple[Outcome, str]:
    """What reading a damaged run comes to, with the error or warning. Any other exception is a failure of ours."""
    try:
        found = read_all(run)
    except BasinError as error:
        return "refused", str(error)
    if found.warnings:
        return "warned", found.warnings[0]
    # A run that has not ended has no certificate either.
    missing = whole.contents.keys() - found.contents.keys() - {"certificate"}
    same = not missing and all(whole.contents.get(name) == each for name, each in found.contents.items())
    return ("unharmed" if same else "silent"), ""


def damages(run: Path) -> list[Damage]:
    """Several hundred, each with a name of its own and the same every time; for runs of at least three rounds."""
    newest = max(int(folder.name[6:]) for folder in run.glob("round_*"))
    adapted = [int(folder.parent.name[6:]) for folder in run.glob("round_*/adapter")]
    return [*_by_chance(run), *_between_rounds(newest), *_forged(newest, max(adapted))]


def _by_chance(run: Path) -> Iterator[Damage]:
    for file in sorted(each for each in run.rglob("*") if each.is_file() and each.suffix in KEPT):
        name, size = file.relative_to(run).as_posix(), file.stat().st_size
        for place in sorted({0, 8, size // 3, size // 2, size - 2}):
            what = f"{name} with bit {place % 8} of byte {place} flipped"
            yield Damage("by chance", what, partial(_on, name, partial(_flip, place=place)))
        for what, change in CHANGES.items():
            yield Damage("by chance", f"{name} {what}", partial(_on, name, change))


def _on(name: str, change: Callable[[Path], object], run: Path) -> None:
    change(run / name)


def _flip(file: Path, place: int) -> None:
    content = bytearray(file.read_bytes())
    content[place % len(content)] ^= 1 << place % 8
    file.write_bytes(content)


def _as_link(path: Path) -> None:
    """Moved out of the run, with a link left in its place."""
    parent = path.parents[1] if path.is_dir() else path.parent
    outside = parent / f".outside-{path.name}"
    path.rename(outside)
    path.symlink_to(outside)


CHANGES: dict[str, Callable[[Path], object]] = {
    "cut in half": lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
    "without its last byte": lambda file: file.write_bytes(file.read_bytes()[:-1]),
    "emptied": lambda file: file.write_bytes(b""),
    "of zeros": lambda file: file.write_bytes(bytes(file.stat().st_size)),
    "twice over": lambda file: file.write_bytes(file.read_bytes() * 2),
    "deleted": lambda file: file.unlink(),
    "as a folder": lambda file: (file.unlink(), file.mkdir()),
    "as a link to its copy": _as_link,
    "as a pipe": lambda file: (file.unlink(), os.mkfifo(file)),
}


def _between_rounds(newest: int) -> Iterator[Damage]:
    stems = ("concept", "samples", "round", "cost", "manifest")
    names = ("", "tensors.safetensors", *(f"{stem}.json" for stem in stems))
    changes = {f"all {name} of the newest two swapped": partial(_swap, newest, name) for name in names}
    for source, target in ((newest - 1, newest), (newest, newest - 1), (0, newest)):
        changes[f"round {source} copied over round {target}"] = partial(_copy, source, target)
    for number in range(newest + 1):
        name = round_folder(Path(), number).name
        if number < newest:
            changes[f"{name} deleted"] = partial(_on, name, shutil.rmtree)
        changes[f"{name} as a link to its copy"] = partial(_on, name, _as_link)
    return (Damage("between rounds", name, change) for name, change in changes.items())


def _swap(newest: int, name: str, run: Path) -> None:
    one, other = (round_folder(run, number) / name for number in (newest - 1, newest))
    one.rename(run / "between")
    other.rename(one)
    (run / "between").rename(other)


def _copy(source: int, target: int, run: Path) -> None:
    shutil.rmtree(round_folder(run, target))
    shutil.copytree(round_folder(run, source), round_folder(run, target))


def _forged(newest: int, adapted: int) -> Iterator[Damage]:
    """Contents that cannot be meant, in files whose hashes fit."""
    rounds = {"passages.json": 0, "topic.json": 0, "adapter/adapter_config.json": adapted}
    rounds |= {"topic.safetensors": 0, "adapter/adapter_model.safetensors": adapted}
    changes: dict[str, Callable[[Path], object]] = {}
    for name, change in MANIFESTS.items():
        changes[f"manifest {name}"] = partial(forge_manifest, number=newest, change=change)
    for what, content in NO_JSON.items():
        for file in ("round.json", "samples.json", "topic.json"):
            number = rounds.get(file, newest)
            changes[f"{file} {what}"] = partial(forge, number=number, name=file, content=content)
    for forger, table, suffix in ((forge_json, TREES, ""), (forge_arrays, ARRAYS, ".safetensors")):
        for (stem, name), change in table.items():
            number = rounds.get(file := stem + suffix, newest)
            changes[f"{file} with {name}"] = partial(forger, number=number, change=change, name=file)
    for name, content in HEADERS.items():
        file = "tensors.safetensors"
        changes[f"header {name}"] = partial(forge, number=newest, name=file, content=content)
    return (Damage("forged", name, change) for name, change in changes.items())


def _put(**fields: Any) -> Callable[[Any], Any]:
    return lambda tree: {**tree, **fields}


def _first(key: str = "", **fields: Any) -> Callable[[Any], Any]:
    """Other fields of the first row, of a list or of the list at a key."""

    def change(tree: Any) -> Any:
        first, *rest = tree[key] if key else tree
        rows = [{**first, **fields}, *rest]
        return {**tree, key: rows} if key else rows

    return change


def _entry(name: str, **fields: Any) -> Callable[[Any], Any]:
    default = {"bytes": 4, "sha256": "0" * 64}

    def change(tree: Any) -> Any:
        return {**tree, "files": {**tree["files"], name: {**tree["files"].get(name, default), **fields}}}

    return change


def _array(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Any], Any]:
    return lambda arrays: {
        key: change(each) if key.startswith(name) else each for key, each in arrays.items()
    }


def _header(length: int | None = None, header: bytes = b"", **entry: Any) -> bytes:
    about = {"membership": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16], **entry}}
    header = header or json.dumps(about).encode()
    return struct.pack("<Q", len(header) if length is None else length) + header + bytes(16)


OUTSIDE = ("/etc/passwd", "../run.json", "adapter/../../run.json", "..", "", "a//b", "manifest.json", ".a")
SIZES = (-1, 0, 10**18, 1.5, True, "12", None)
MANIFESTS = {
    **{f"names {name!r}": _entry(name) for name in (*OUTSIDE, "x" * 300)},
    **{f"has {size!r} bytes": _entry("samples.json", bytes=size) for size in SIZES},
    **{f"is of format {schema!r}": _put(schema=schema) for schema in (99, 0, -1, "5", None)},
    **{f"is of round {number!r}": _put(round=number) for number in (0, 7, -1, "1", None)},
    **{f"follows {what!r}": _put(follows=what) for what in ("0" * 64, 7)},
    "has no files": _put(files={}),
    "has a digest that is none": _entry("samples.json", sha256="z" * 64),
    "is a list": lambda tree: [tree],
    "is null": lambda tree: None,
}
NO_JSON = {
    "nested deeply": b"[" * 100_000 + b"]" * 100_000,
    "with a number of ten thousand digits": b'{"a": ' + b"9" * 10_000 + b"}",
    "with NaN": b'{"a": NaN}',
    "with a key twice": b'{"a": 1, "a": 2}',
    "with bytes that are no text": b'{"a": "\xff\xfe"}',
    "that is a list": b"[1, 2]",
    "that is empty": b"",
    "that is a pickle": b"\x80\x04cos\nsystem\n.",
}
TREES: dict[tuple[str, str], Callable[[Any], Any]] = {
    ("round.json", "a text for the drift"): _put(drift="0.1"),
    ("round.json", "a negative drift"): _put(drift=-0.5),
    ("round.json", "a size above 1"): _put(size=3.5),
    ("round.json", "the number of another round"): _put(round=1_000),
    ("concept.json", "a size above 1"): _put(size=2.0),
    ("concept.json", "no readout"): _put(readout=None),
    ("concept.json", "an unknown field"): _put(weights=[1]),
    ("samples.json", "one too many"): lambda rows: [*rows, rows[0]],
    ("samples.json", "one too few"): lambda rows: rows[1:],
    ("samples.json", "an unknown kind"): _first(kind="stolen"),
    ("samples.json", "a membership of 7"): _first(membership=7.0),
    ("samples.json", "a seed of 100 bits"): _first(seed=2**100),
    ("samples.json", "an unknown field"): _first(code="import os"),
    ("cost.json", "negative seconds"): _put(record=-1.0),
    ("passages.json", "an unknown document"): _first("passages", document=99),
    ("passages.json", "a number as a text"): _first("passages", text=7),
    ("passages.json", "none"): _put(passages=[]),
    ("topic.json", "an unknown topic"): _put(topic=99),
    ("topic.json", "a word too few"): lambda tree: {**tree, "vocabulary": tree["vocabulary"][1:]},
    ("adapter/adapter_config.json", "a module to import"): _put(
        megatron_config={"a": 1}, megatron_core="evil"
    ),
    ("adapter/adapter_config.json", "a slow pattern"): _put(target_modules="(a+)+$"),
    ("adapter/adapter_config.json", "a rank of millions"): _put(r=10**7),
    ("adapter/adapter_config.json", "another kind"): _put(peft_type="PREFIX_TUNING"),
}
ARRAYS = {
    ("tensors", "memberships above 1"): _array("membership", lambda each: each + 2),
    ("tensors", "memberships that are NaN"): _array("membership", lambda each: each * np.nan),
    ("tensors", "infinite log-odds"): _array("single", lambda each: each * np.inf),
    ("tensors", "a passage too few"): _array("pooled", lambda each: each[1:]),
    ("tensors", "whole numbers"): _array("membership", lambda each: each.astype(np.int64)),
    ("tensors", "a narrower readout"): _array("readout.weights", lambda each: each[:, 1:]),
    ("tensors", "infinite activations"): _array("activations", lambda each: each + np.inf),
    ("tensors", "an unknown array"): lambda arrays: {**arrays, "payload": np.zeros(3)},
    ("tensors", "a vector at layer 0"): lambda arrays: {**arrays, "vector.layer_0": np.zeros(4, np.float32)},
    ("tensors", "nothing"): lambda arrays: {},
    ("topic", "negative counts"): _array("topic_word_counts", lambda each: -each),
    ("topic", "an alpha of 0"): _array("alpha", lambda each: each * 0),
    ("adapter/adapter_model", "weights that are NaN"): _array("", lambda each: each * np.nan),
}
HEADERS = {
    "longer than the file": _header(length=10**9),
    "longer than memory": _header(length=2**63),
    "of no length": _header(length=0),
    "that is no JSON": _header(header=b"hello!"),
    "nested": _header(header=b'{"a":' * 5_000 + b"1" + b"}" * 5_000),
    "with a shape that overflows": _header(shape=[2**40, 2**40]),
    "with a negative shape": _header(shape=[-4]),
    "with offsets outside": _header(data_offsets=[0, 10**12]),
    "with an unknown type": _header(dtype="F99"),
    "with a gap": _header(data_offsets=[4, 20]),
}
