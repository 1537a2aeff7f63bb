"""Everything that may happen to a run's files: by chance (bits, ends, whole files) and on purpose (with hashes that fit).

`damages(run)` lists them for a run of at least three rounds; `become(...)` says what reading a damaged copy comes to.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from agent.errors import BasinError
from benchmarks.torture import forging
from loops import encoding
from loops.store import RunStore

Outcome = Literal["refused", "told", "unharmed", "silent"]
"""A sentence and no result; a result and a sentence; all that was there before; something else, and nobody was told."""


@dataclass(frozen=True)
class Damage:
    """Something done to a copy of a run."""

    name: str
    apply: Callable[[Path], None]
    kind: str = "by chance"
    """`by chance`, `between rounds`, `manifest` or `forged`: those with hashes that fit."""


def damages(run: Path) -> list[Damage]:
    """Several hundred, each with a name of its own and the same every time."""
    newest = max(int(folder.name[6:]) for folder in run.glob("round_*"))
    kinds = {
        "by chance": _by_chance(run),
        "between rounds": _between_rounds(newest),
        "manifest": _of_manifests(newest),
        "forged": _on_purpose(run, newest),
    }
    return [replace(damage, kind=kind) for kind, found in kinds.items() for damage in found]


@dataclass(frozen=True)
class Reading:
    """All that a run says, in bytes, and what was told on the way."""

    contents: Mapping[str, bytes]
    told: tuple[str, ...]


def read_all(run: Path) -> Reading:
    """Everything of a run that a command may read. Raises `BasinError` where something is refused."""
    told: list[str] = []
    store = RunStore.open(run)
    contents = {"config": store.config.model_dump_json().encode(), "about": repr(store.about).encode()}
    told += store.remarks
    told += [f"round {number} is broken" for number in store.broken()]
    for number in range(max(store.every(), default=-1) + 1):
        for name, content in encoding.encode_round(store.load_kept(number)).items():
            contents[f"{number}/{name}"] = content
    contents |= encoding.encode_passages(store.load_passages())
    contents |= encoding.encode_pointer(store.load_pointer())
    if (certificate := store.load_certificate(told.append)) is not None:
        contents["certificate"] = json.dumps(certificate).encode()
    return Reading(contents, tuple(told))


def become(run: Path, whole: Reading) -> tuple[Outcome, str]:
    """What reading a damaged run comes to, and the sentence. Whatever is raised but `BasinError` is a failure of ours."""
    try:
        found = read_all(run)
    except BasinError as error:
        return "refused", str(error)
    if found.told:
        return "told", found.told[0]
    # A run that has not ended has no certificate either: one that is deleted is not loaded.
    missing = whole.contents.keys() - found.contents.keys() - {"certificate"}
    same = not missing and all(whole.contents.get(name) == each for name, each in found.contents.items())
    return ("unharmed" if same else "silent"), ""


def _by_chance(run: Path) -> list[Damage]:
    """To every file: bits, ends, and the whole of it."""
    found = []
    for file in sorted(each for each in run.rglob("*") if each.is_file() and each.suffix != ".log"):
        name, size = file.relative_to(run).as_posix(), file.stat().st_size
        for place in sorted({0, 8, size // 3, size // 2, size - 2}):
            found.append(Damage(f"bit {place % 8} of byte {place} of {name}", partial(_flip, name, place)))
        for what, change in (
            ("cut in half", lambda content: content[: len(content) // 2]),
            ("without its last byte", lambda content: content[:-1]),
            ("emptied", lambda content: b""),
            ("zeros of its length", lambda content: bytes(len(content))),
            ("there twice over", lambda content: content * 2),
        ):
            found.append(Damage(f"{name} {what}", partial(_rewrite, name, change)))
        for what, change in (
            ("deleted", lambda path: path.unlink()),
            ("a folder", _as_folder),
            ("a link to its copy", _as_link),
            ("a pipe", _as_pipe),
        ):
            found.append(Damage(f"{name} {what}", partial(_replace, name, change)))
    return found


def _between_rounds(newest: int) -> list[Damage]:
    """Files and folders of one round in another's place."""
    files = (
        "concept.json",
        "samples.json",
        "tensors.safetensors",
        "round.json",
        "cost.json",
        "manifest.json",
    )
    found = [
        Damage(
            f"{name} of rounds {newest - 1} and {newest} swapped", partial(_swap, newest - 1, newest, name)
        )
        for name in files
    ]
    found += [
        Damage(f"rounds {first} and {second} swapped", partial(_swap, first, second, ""))
        for first, second in ((newest - 1, newest), (0, 1))
    ]
    found += [
        Damage(f"round {source} copied over round {target}", partial(_copy, source, target))
        for source, target in ((newest - 1, newest), (newest, newest - 1), (0, newest))
    ]
    found += [
        Damage(f"round {number} is gone", lambda run, at=number: shutil.rmtree(_round(run, at)))
        for number in range(newest)
    ]
    for what, change in (("a file", _folder_as_file), ("a link to its copy", _as_link), ("empty", _emptied)):
        found += [
            Damage(f"round {number} is {what}", lambda run, at=number, do=change: do(_round(run, at)))
            for number in (0, newest)
        ]
    # A round of another run, whole in itself: only what its neighbours know of it tells.
    found.append(Damage(f"round {newest - 1} of another run", partial(_of_another_run, newest - 1)))
    return found


def _of_manifests(newest: int) -> list[Damage]:
    """Manifests that name what they must not, with a digest that fits."""

    def entries(
        change: Callable[[dict[str, Any]], dict[str, Any]],
    ) -> Callable[[dict[str, Any]], dict[str, Any]]:
        return lambda tree: {**tree, "files": change(dict(tree["files"]))}

    def named(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
        return entries(lambda files: {**files, name: {"bytes": 4, "sha256": "0" * 64}})

    def sized(size: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
        return entries(lambda files: {**files, "samples.json": {**files["samples.json"], "bytes": size}})

    changes: dict[str, Callable[[dict[str, Any]], Any]] = {
        f"names {name!r}": named(name)
        for name in (
            *(
                "/etc/passwd",
                "../run.json",
                "adapter/../../run.json",
                "..",
                ".",
                "",
                "a//b",
                "./samples.json",
            ),
            *(
                "manifest.json",
                ".hidden",
                "a/b/c/d/e",
                "back\\slash",
                "new\nline",
                "x" * 300,
                "C:/windows",
                "more.json",
            ),
        )
    }
    changes |= {
        f"has {size!r} bytes": sized(size) for size in (-1, 0, 10**15, 10**18, 1.5, True, "12", None, [])
    }
    changes |= {
        f"is of format {schema!r}": lambda tree, s=schema: {**tree, "schema": s}
        for schema in (6, 99, 2, 0, -1)
    }
    changes |= {
        f"is of format {schema!r}": lambda tree, s=schema: {**tree, "schema": s}
        for schema in ("5", None, 5.0)
    }
    changes |= {
        f"is of round {number!r}": lambda tree, n=number: {**tree, "round": n}
        for number in (0, 7, -1, "1", None)
    }
    changes |= {
        f"follows {what!r}": lambda tree, w=what: {**tree, "follows": w} for what in ("0" * 64, 7, [])
    }
    changes |= {
        "has no files": lambda tree: {**tree, "files": {}},
        "has files as a list": lambda tree: {**tree, "files": list(tree["files"])},
        "has an entry that is none": entries(lambda files: {**files, "samples.json": 7}),
        "has a digest that is none": entries(
            lambda files: {**files, "samples.json": {**files["samples.json"], "sha256": "z" * 64}}
        ),
        "lacks the samples": entries(lambda files: {k: v for k, v in files.items() if k != "samples.json"}),
        "lacks the arrays": entries(
            lambda files: {k: v for k, v in files.items() if k != "tensors.safetensors"}
        ),
        "names a thousand files": entries(
            lambda files: files | {f"f{at}.json": {"bytes": 0, "sha256": "0" * 64} for at in range(1000)}
        ),
        "says that it was pruned": lambda tree: {**tree, "pruned": {"manifest": "0" * 64}},
        "is a list": lambda tree: [tree],
        "is null": lambda tree: None,
    }
    return [
        Damage(f"the manifest of round {newest} {name}", partial(_forge_manifest, newest, change))
        for name, change in changes.items()
    ]


def _on_purpose(run: Path, newest: int) -> list[Damage]:
    """Contents that are wrong, in files whose hashes fit."""
    found = []
    for name, content in _evil_json().items():
        for file in ("round.json", "concept.json", "samples.json", "cost.json"):
            found.append(Damage(f"forged {file}: {name}", partial(_forge, newest, file, content)))
        for file in ("passages.json", "topic.json"):
            found.append(Damage(f"forged {file}: {name}", partial(_forge, 0, file, content)))
    for file, changes in _evil_changes().items():
        at = 0 if file in ("passages.json", "topic.json") else newest
        found += [
            Damage(f"forged {file}: {name}", partial(_forge_json, at, file, change))
            for name, change in changes.items()
        ]
    for name, change in _evil_arrays().items():
        found.append(
            Damage(f"forged arrays: {name}", partial(_forge_arrays, newest, change, "tensors.safetensors"))
        )
    for name, change in _evil_topics().items():
        found.append(Damage(f"forged topics: {name}", partial(_forge_arrays, 0, change, "topic.safetensors")))
    for name, content in _evil_headers().items():
        found.append(
            Damage(f"forged header: {name}", partial(_forge, newest, "tensors.safetensors", content))
        )
    with_adapter = [folder for folder in sorted(run.glob("round_*")) if (folder / "adapter").is_dir()]
    if with_adapter:
        at = int(with_adapter[-1].name[6:])
        for name, change in _evil_adapters().items():
            found.append(
                Damage(
                    f"forged adapter: {name}", partial(_forge_json, at, "adapter/adapter_config.json", change)
                )
            )
        weights = "adapter/adapter_model.safetensors"
        found += [
            Damage("forged adapter: no weights", partial(_forge, at, weights, None)),
            Damage(
                "forged adapter: a pickle beside it",
                partial(_forge, at, "adapter/adapter_model.bin", b"\x80\x04."),
            ),
            Damage(
                "forged adapter: weights that are not finite",
                partial(
                    _forge_arrays, at, lambda arrays: {k: v * np.nan for k, v in arrays.items()}, weights
                ),
            ),
        ]
    return found


def _evil_json() -> dict[str, bytes]:
    """What is no JSON that can be meant, whatever should be there."""
    return {
        "nested a hundred thousand deep": b"[" * 100_000 + b"]" * 100_000,
        "objects nested": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        "a number of ten thousand digits": b'{"a": ' + b"9" * 10_000 + b"}",
        "beyond what floats hold": b'{"a": 1e999}',
        "NaN": b'{"a": NaN}',
        "a key twice": b'{"a": 1, "a": 2}',
        "bytes that are no text": b'{"a": "\xff\xfe"}',
        "a list": b"[1, 2]",
        "null": b"null",
        "empty": b"",
        "a pickle": b"\x80\x04cos\nsystem\n.",
    }


def _evil_changes() -> dict[str, dict[str, Callable[[Any], Any]]]:
    def put(**fields: Any) -> Callable[[Any], Any]:
        return lambda tree: {**tree, **fields}

    def without(name: str) -> Callable[[Any], Any]:
        return lambda tree: {key: value for key, value in tree.items() if key != name}

    def first(**fields: Any) -> Callable[[Any], Any]:
        return lambda rows: [{**rows[0], **fields}, *rows[1:]]

    def readout(**fields: Any) -> Callable[[Any], Any]:
        return lambda tree: {**tree, "readout": {**tree["readout"], **fields}}

    def passage(**fields: Any) -> Callable[[Any], Any]:
        return lambda tree: {**tree, "passages": [{**tree["passages"][0], **fields}, *tree["passages"][1:]]}

    return {
        "round.json": {
            "drift a text": put(drift="0.1"),
            "drift negative": put(drift=-0.5),
            "size above 1": put(size=3.5),
            "collapsed a number": put(collapsed=1),
            "a list in it": put(more=[1]),
            "another round's": put(round=1_000),
        },
        "concept.json": {
            "size above 1": put(size=2.0),
            "size a text": put(size="large"),
            "another round's": put(round=0),
            "no readout": put(readout=None),
            "no round": without("round"),
            "a field too many": put(weights=[1]),
            "a curve of triples": put(size_curve=[[1, 2, 3]]),
            "scale 0": readout(scale=0.0),
            "bias a list": readout(bias=[1.0]),
            "nats negative": put(nats_per_token=-1.0),
            "a gate without direction": put(
                manner={
                    "norm_preserving": True,
                    "gate": {"layer": 9, "outside": 0.0, "centre": 0.0, "width": 1.0, "extra": 1},
                }
            ),
        },
        "samples.json": {
            "one too many": lambda rows: [*rows, rows[0]],
            "one too few": lambda rows: rows[1:],
            "an unknown kind": first(kind="stolen"),
            "a membership of 7": first(membership=7.0),
            "a seed that is a text": first(seed="1"),
            "a seed of 100 bits": first(seed=2**100),
            "a text that is a list": first(text=["a"]),
            "coherent a number": first(coherent=1),
            "a field too many": first(code="import os"),
        },
        "cost.json": {"negative": put(record=-1.0), "a text": put(record="long")},
        "passages.json": {
            "a document that is not there": passage(document=99),
            "a negative document": passage(document=-1),
            "a text that is a number": passage(text=7),
            "two of one id": lambda tree: {**tree, "passages": [tree["passages"][1], *tree["passages"][1:]]},
            "one too few": lambda tree: {**tree, "passages": tree["passages"][1:]},
            "none": lambda tree: {**tree, "passages": []},
            "documents without titles": lambda tree: {**tree, "documents": [{"id": "a"}]},
        },
        "topic.json": {
            "a topic that is not there": put(topic=99),
            "a topic that is negative": put(topic=-1),
            "a word too few": lambda tree: {**tree, "vocabulary": tree["vocabulary"][1:]},
            "a word twice": lambda tree: {
                **tree,
                "vocabulary": [tree["vocabulary"][1], *tree["vocabulary"][1:]],
            },
            "words that are numbers": lambda tree: {**tree, "vocabulary": [1 for _ in tree["vocabulary"]]},
        },
    }


def _evil_arrays() -> dict[str, Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]]:
    def put(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[dict[str, np.ndarray]], dict]:
        return lambda arrays: {**arrays, name: change(arrays[name])}

    def each_vector(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[dict[str, np.ndarray]], dict]:
        return lambda arrays: {k: change(v) if k.startswith("vector.") else v for k, v in arrays.items()}

    return {
        "a membership above 1": put("membership", lambda each: each + 2),
        "a membership below 0": put("membership", lambda each: each - 2),
        "a membership that is no number": put("membership", lambda each: each * np.nan),
        "infinite log-odds": put("single", lambda each: each * np.inf),
        "a passage too few": put("pooled", lambda each: each[1:]),
        "a passage too few everywhere": lambda arrays: {
            k: v[1:] if k in ("membership", "single", "pooled", "evidence") else v for k, v in arrays.items()
        },
        "memberships in a square": put("membership", lambda each: np.outer(each, each)),
        "memberships as whole numbers": put("membership", lambda each: each.astype(np.int64)),
        "no memberships": lambda arrays: {k: v for k, v in arrays.items() if k != "membership"},
        "no readout": lambda arrays: {k: v for k, v in arrays.items() if k != "readout.weights"},
        "a readout of another width": put("readout.weights", lambda each: each[:, 1:]),
        "a readout of another layer": put("readout.weights", lambda each: np.concatenate([each, each])),
        "a readout without numbers": put("readout.weights", lambda each: each * np.nan),
        "activations of a text too few": put("activations", lambda each: each[1:]),
        "activations of another width": put("activations", lambda each: each[..., 1:]),
        "activations that are infinite": put("activations", lambda each: each + np.inf),
        "an array that is nothing of ours": lambda arrays: {**arrays, "payload": np.zeros(3)},
        "a vector at no layer": lambda arrays: {**arrays, "vector.layer_x": np.zeros(4, np.float32)},
        "a vector at layer 0": lambda arrays: {**arrays, "vector.layer_0": np.zeros(4, np.float32)},
        "vectors of another width": each_vector(lambda each: each[1:]),
        "vectors without numbers": each_vector(lambda each: each * np.nan),
        "vectors of no width": each_vector(lambda each: each[:0]),
        "none": lambda arrays: {},
    }


def _evil_topics() -> dict[str, Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]]:
    def put(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[dict[str, np.ndarray]], dict]:
        return lambda arrays: {**arrays, name: change(arrays[name])}

    return {
        "negative counts": put("topic_word_counts", lambda each: -each),
        "no counts of a topic": put("topic_word_counts", lambda each: each * 0),
        "a word too few": put("topic_word_counts", lambda each: each[:, 1:]),
        "an alpha of 0": put("alpha", lambda each: each * 0),
        "an alpha too few": put("alpha", lambda each: each[1:]),
        "counts that are not finite": put("topic_word_counts", lambda each: each * np.inf),
    }


def _evil_headers() -> dict[str, bytes]:
    """Safetensors files whose header lies."""

    def file(header: bytes, data: bytes = b"", length: int | None = None) -> bytes:
        return struct.pack("<Q", len(header) if length is None else length) + header + data

    def tensor(**about: Any) -> bytes:
        entry = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16], **about}
        return file(json.dumps({"membership": entry}).encode(), bytes(16))

    return {
        "longer than the file": file(b"{}", length=10**9),
        "longer than memory": file(b"{}", length=2**63),
        "of no length": file(b"", length=0),
        "no JSON": file(b"hello!"),
        "nested": file(b'{"a":' * 5_000 + b"1" + b"}" * 5_000),
        "a key twice": file(b'{"a": 1, "a": 2}'),
        "a shape of more than there is": tensor(shape=[10**9]),
        "a shape that overflows": tensor(shape=[2**40, 2**40]),
        "a negative shape": tensor(shape=[-4]),
        "offsets outside": tensor(data_offsets=[0, 10**12]),
        "offsets backwards": tensor(data_offsets=[16, 0]),
        "another type than there is": tensor(dtype="F99"),
        "a type of other sizes": tensor(dtype="F64"),
        "a gap": tensor(data_offsets=[4, 20]),
        "metadata that are no texts": file(b'{"__metadata__": {"a": [1]}}'),
        "a pickle": b"\x80\x04cos\nsystem\n(S'true'\ntR.",
    }


def _evil_adapters() -> dict[str, Callable[[Any], Any]]:
    """Settings that would make PEFT import what somebody names, or search for hours."""

    def put(**fields: Any) -> Callable[[Any], Any]:
        return lambda tree: {**tree, **fields}

    return {
        "imports a module": put(megatron_config={"a": 1}, megatron_core="evil"),
        "imports a class": put(auto_mapping={"base_model_class": "Evil", "parent_library": "evil"}),
        "a pattern": put(target_modules="(a+)+$"),
        "other weights": put(init_lora_weights="pissa"),
        "more modules": put(modules_to_save=["lm_head"]),
        "no rank": put(r=0),
        "a rank of millions": put(r=10**7),
        "a dropout of 2": put(lora_dropout=2.0),
        "another kind": put(peft_type="PREFIX_TUNING"),
    }


def _round(run: Path, number: int) -> Path:
    return run / f"round_{number:03d}"


def _flip(name: str, place: int, run: Path) -> None:
    content = bytearray((run / name).read_bytes())
    content[place % len(content)] ^= 1 << place % 8
    (run / name).write_bytes(content)


def _rewrite(name: str, change: Callable[[bytes], bytes], run: Path) -> None:
    (run / name).write_bytes(change((run / name).read_bytes()))


def _replace(name: str, change: Callable[[Path], None], run: Path) -> None:
    change(run / name)


def _as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _as_link(path: Path) -> None:
    """Moved out of the run, with a link left in its place."""
    outside = (
        path.parents[1] / f"outside-{path.name}" if path.is_dir() else path.with_name(f".outside-{path.name}")
    )
    path.rename(outside)
    path.symlink_to(outside)


def _as_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder_as_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_bytes(b"a round was here")


def _emptied(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def _swap(first: int, second: int, name: str, run: Path) -> None:
    one, other, between = _round(run, first) / name, _round(run, second) / name, run / "between"
    one.rename(between)
    other.rename(one)
    between.rename(other)


def _copy(source: int, target: int, run: Path) -> None:
    shutil.rmtree(_round(run, target))
    shutil.copytree(_round(run, source), _round(run, target))


def _of_another_run(number: int, run: Path) -> None:
    """Another cost, as a second run of the same configuration has: whole in itself."""
    folder, name = _round(run, number), "cost.json"
    tree = json.loads((folder / "manifest.json").read_bytes())
    content = json.dumps({**json.loads((folder / name).read_bytes()), "other": 1.0}).encode()
    (folder / name).write_bytes(content)
    tree["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    forging.write_manifest(run, number, tree)


def _forge(number: int, name: str, content: bytes | None, run: Path) -> None:
    forging.forge(run, number, name, content)


def _forge_json(number: int, name: str, change: Callable[[Any], Any], run: Path) -> None:
    forging.forge_json(run, number, name, change)


def _forge_arrays(number: int, change: Callable[[dict[str, np.ndarray]], Any], name: str, run: Path) -> None:
    forging.forge_arrays(run, number, change, name)


def _forge_manifest(number: int, change: Callable[[dict[str, Any]], Any], run: Path) -> None:
    forging.forge_manifest(run, number, change)
