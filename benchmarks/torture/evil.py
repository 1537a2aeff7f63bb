"""What a file of a run may say that cannot be meant: for each kind of file, what is wrong and how it comes about."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

import numpy as np


def manifests() -> dict[str, Callable[[dict[str, Any]], Any]]:
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
    return changes


def no_json() -> dict[str, bytes]:
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


def changes() -> dict[str, dict[str, Callable[[Any], Any]]]:
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


def arrays() -> dict[str, Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]]:
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


def topics() -> dict[str, Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]]:
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


def headers() -> dict[str, bytes]:
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


def adapters() -> dict[str, Callable[[Any], Any]]:
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
