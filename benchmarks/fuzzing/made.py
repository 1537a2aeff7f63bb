"""Inputs that have a structure: folders, settings, labels, columns, made from a source of chance.

The chance may be a seeded generator's or Hypothesis's own, which then knows how to make a failing input smaller.
"""

from __future__ import annotations

import copy
import io
import json
import random
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from loops.config import RunConfig

CONFIGS = Path(__file__).parents[2] / "configs"
ODD_TEXTS = (
    "",
    " ",
    "a",
    "\0",
    "\ufeff",
    "é" * 40,
    "a" * 5000,
    "\ud800",
    "\x1b[2J",
    "a\nb",
    "..",
    "/",
    "~nobody/x",
    "{}",
    "'",
)
ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 10**17, 10**30, -(10**30), 1.5, -0.0, 1e308),
    *(
        float("inf"),
        float("-inf"),
        float("nan"),
        [],
        {},
        [[]],
        [None],
        {"a": 1},
        [1, 2, 3],
        "auto",
        "null",
        "1",
    ),
    *ODD_TEXTS[:-6],
)
NAMES = (
    "a.txt",
    "b.md",
    "c",
    ".hidden.txt",
    "d e.TXT",
    "\xff.txt",
    "n" * 250 + ".txt",
    "x\ny.txt",
    "e/f.txt",
    "e/g/h.md",
    "page.html",
    "book.epub",
    "rows.jsonl",
    "e",
)
TARGETS = (
    "",
    ".",
    "..",
    "../outside.txt",
    "a.txt",
    "/dev/zero",
    "/dev/null",
    "/etc",
    "nowhere",
    "e",
    "loop.txt",
    "/proc/self/mem",
)
CONTENTS: tuple[str, ...] = (
    "",
    "A text.",
    "caf\xe9",
    "\0\1",
    "\xef\xbb\xbfMarked.",
    "\xff\xfea\0",
    "one\rtwo",
    "word " * 300,
    '{"text": "A row."}\n',
)


def folder_entries(draw: random.Random) -> bytes:
    """Files, folders, links and pipes with odd names, some of them deep."""
    entries = []
    for _ in range(draw.randrange(6)):
        name = (
            draw.choice(NAMES) if draw.random() < 0.9 else "d/" * draw.choice((3, 99, 101, 400)) + "deep.txt"
        )
        kind = draw.choice(("file", "file", "file", "folder", "link", "pipe"))
        entries.append((name, kind, draw.choice(TARGETS if kind == "link" else CONTENTS)))
    return json.dumps(entries).encode()


@cache
def _trees(pattern: str) -> list[Any]:
    found = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(CONFIGS.glob(pattern))]
    return [tree for tree in found if tree]


@cache
def _run_trees() -> list[Any]:
    whole = RunConfig.model_validate({"corpus": {"source": "brown-fiction"}}).model_dump(mode="json")
    return [whole, *(tree for tree in _trees("*.yaml") if isinstance(tree, dict) and "corpus" in tree)]


def run_settings(draw: random.Random) -> bytes:
    """A configuration of ours with some keys dropped, renamed, given another type or an extreme value, and overrides."""
    tree = copy.deepcopy(draw.choice(_run_trees()))
    for _ in range(draw.randrange(4)):
        tree = _changed(tree, draw)
    written = [_as_yaml(tree, draw)]
    for _ in range(draw.choice((0, 0, 1, 2))):
        key = ".".join(draw.choice(_keys(tree) or ["rounds"]).split("/"))
        value = draw.choice(ODD_VALUES)
        written.append(
            f"{key}{draw.choice(('=', '=', '=', '', '.x=', '=='))}{_scalar(value)}".encode("utf-8", "replace")
        )
    return b"\f".join(written)


def suite_settings(draw: random.Random) -> bytes:
    return _as_yaml(_several_changes(draw, ("suite.yaml", "suite_second.yaml")), draw)


def generation_settings(draw: random.Random) -> bytes:
    return _as_yaml(_several_changes(draw, ("generation.yaml",)), draw)


def gold_settings(draw: random.Random) -> bytes:
    tree = {
        "labelled.jsonl": [{"field": "kind", "positive": "yes", "concept": "kind"}, {"leave_out": "label"}]
    }
    for _ in range(1 + draw.randrange(3)):
        tree = _changed(tree, draw)
    return _as_yaml(tree, draw)


def labelled_records(draw: random.Random) -> bytes:
    lines = []
    for number in range(1 + draw.randrange(5)):
        record = {
            "text": f"Text {number}",
            "kind": draw.choice(("yes", "no", *ODD_VALUES)),
            "label": draw.choice(ODD_VALUES),
        }
        if draw.random() < 0.2:
            del record[draw.choice(("kind", "label"))]
        if draw.random() < 0.3:
            record["odd"] = draw.choice(ODD_VALUES)
        lines.append(json.dumps(record))
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def parquet_file(draw: random.Random) -> bytes:
    """A table of columns of many types, written in many ways, sometimes damaged."""
    rows = draw.choice((0, 1, 3, 70))
    columns = {}
    for name in draw.sample(
        ("text", "title", "author", "tags", "a.b", "when", "text.x", ""), draw.randrange(1, 6)
    ):
        columns[name] = draw.choice(COLUMNS)(rows, draw)
    columns.setdefault("text", _texts(rows, draw))
    options = {
        "compression": draw.choice(("none", "snappy", "gzip", "zstd", "brotli", "lz4")),
        "use_dictionary": draw.random() < 0.5,
        "data_page_version": draw.choice(("1.0", "2.0")),
        "version": draw.choice(("1.0", "2.4", "2.6")),
        "row_group_size": draw.choice((1, 7, 1000)),
        "write_statistics": draw.random() < 0.5,
        "write_page_checksum": draw.random() < 0.5,
        "write_page_index": draw.random() < 0.2,
        "data_page_size": draw.choice((1, 100, 1 << 20)),
    }
    sink = io.BytesIO()
    try:
        pq.write_table(pa.table(columns), sink, **options)
    except (pa.ArrowException, ValueError, TypeError):  # not every type goes into every version
        pq.write_table(pa.table({"text": _texts(rows, draw)}), sink)
    return sink.getvalue()


def _texts(rows: int, draw: random.Random) -> pa.Array:
    return pa.array(
        [draw.choice(("A text of some words.", "", None, "B" * 3000, f"Number {n}")) for n in range(rows)],
        pa.string(),
    )


COLUMNS: tuple[Callable[[int, random.Random], pa.Array], ...] = (
    _texts,
    lambda rows, draw: _texts(rows, draw).dictionary_encode(),
    lambda rows, draw: _texts(rows, draw).cast(pa.large_string()),
    lambda rows, draw: pa.array([b"\xff\xfe\0"] * rows, pa.binary()),
    lambda rows, draw: pa.array(
        [draw.choice(([], None, ["a", None], ["x"] * 50)) for _ in range(rows)], pa.list_(pa.string())
    ),
    lambda rows, draw: pa.array([[1, 2]] * rows, pa.large_list(pa.int64())),
    lambda rows, draw: pa.array([{"b": 1, "c": "d"}] * rows, pa.struct({"b": pa.int64(), "c": pa.string()})),
    lambda rows, draw: pa.array([[("k", "v")]] * rows, pa.map_(pa.string(), pa.string())),
    lambda rows, draw: pa.array([2**62 + 1] * rows, pa.int64()).view(pa.timestamp("us")),
    lambda rows, draw: pa.array([2**62 + 1] * rows, pa.int64()).view(pa.timestamp("ns")),
    lambda rows, draw: pa.array([2**31 - 1] * rows, pa.int32()).view(pa.date32()),
    lambda rows, draw: pa.array([float("nan")] * rows, pa.float64()),
    lambda rows, draw: pa.nulls(rows),
    lambda rows, draw: pa.array([True] * rows),
    lambda rows, draw: pa.array([2**64 - 1] * rows, pa.uint64()),
)


def _several_changes(draw: random.Random, names: tuple[str, ...]) -> Any:
    tree = copy.deepcopy(_trees(draw.choice(names))[0])
    for _ in range(draw.randrange(4)):
        tree = _changed(tree, draw)
    return tree


def _changed(tree: Any, draw: random.Random) -> Any:
    """The tree with one thing in it dropped, renamed, doubled or replaced."""
    places = list(_places(tree))
    odd = copy.deepcopy(draw.choice(ODD_VALUES))
    if not places or draw.random() < 0.02:
        return odd
    holder, key = draw.choice(places)
    what = draw.randrange(6)
    if what == 0:
        del holder[key]
    elif what == 1 and isinstance(holder, dict):
        holder[draw.choice((f"{key}s", str(key)[:-1], str(key).upper(), draw.choice(ODD_TEXTS), 7, None))] = (
            holder.pop(key)
        )
    elif what == 2 and isinstance(holder, list):
        holder.append(copy.deepcopy(holder[key]))
    elif what == 3 and isinstance(holder, dict):
        holder[draw.choice(("labels", "rounds", draw.choice(ODD_TEXTS)))] = odd
    else:
        holder[key] = odd
    return tree


def _places(tree: Any) -> Any:
    """(mapping or list, key) of everything in a tree."""
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in list(pairs):
        yield tree, key
        yield from _places(value)


def _keys(tree: Any, above: str = "") -> list[str]:
    if not isinstance(tree, dict):
        return []
    return [
        name for key, value in tree.items() for name in (f"{above}{key}", *_keys(value, f"{above}{key}/"))
    ]


def _as_yaml(tree: Any, draw: random.Random) -> bytes:
    text = yaml.safe_dump(
        tree, allow_unicode=True, sort_keys=False, default_flow_style=draw.choice((None, False, True))
    )
    if draw.random() < 0.1:  # a line that is there twice, or is gone
        lines = text.splitlines(keepends=True)
        lines.insert(draw.randrange(len(lines) + 1), draw.choice(lines))
        text = "".join(lines)
    return text.encode("utf-8", "surrogatepass")


def _scalar(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("\n...\n").strip()
