"""Which format stored files have, and how a file says that it is what was written.

Every JSON file that a run keeps either lies in a round, whose manifest carries the format and a digest of each file, or carries
both itself: `sealed` adds `schema` and `sha256`, `unsealed` takes them off again and checks them.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.files.checked import MEGABYTE, DamagedError, parse_json, read_inside

SCHEMA = 5
"""Raise when the format changes so that older code would misread it; `migrations.py` reads the last one."""
OLDEST = 3
"""Formats 1 and 2 were never in a run that anybody has: they are refused."""
DIGEST = "sha256"
MOST = 64 * MEGABYTE
"""Of a sealed file."""


class NewerError(DamagedError):
    """A newer Basin wrote it: nothing is wrong with it, but this one cannot read it."""


def digest_of(tree: Any) -> str:
    """SHA-256 of what a JSON tree says, however it is laid out."""
    text = json.dumps(tree, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def sealed(tree: Mapping[str, Any]) -> bytes:
    """A JSON file that carries its format and a digest of the rest; what is no finite number becomes null."""
    plain = {"schema": SCHEMA, **json.loads(json.dumps(_finite(tree)))}
    text = json.dumps({**plain, DIGEST: digest_of(plain)}, indent=1, ensure_ascii=False)
    return (text + "\n").encode("utf-8", errors="surrogatepass")


def unsealed(content: bytes, name: str) -> dict[str, Any]:
    """What `sealed` was given; files from before format 5 carry neither format nor digest, and are taken as they are.

    Raises:
        NewerError: a newer Basin wrote it.
        DamagedError: it is no JSON object, or not what was written.
    """
    tree = parse_json(content, name)
    if not isinstance(tree, dict):
        raise DamagedError(f"{name} is no table of names and values")
    schema = tree.pop("schema", None)
    check_schema(schema, name)
    check_digest(tree if schema is None else {"schema": schema, **tree}, name, required=schema == SCHEMA)
    tree.pop(DIGEST, None)
    return tree


def check_schema(schema: Any, name: str) -> None:
    """Refuse a format that this Basin does not read; None, for a file that does not say, passes."""
    if schema is None:
        return
    if type(schema) is not int or schema < 1:
        raise DamagedError(f"{name} has no format number")
    if schema > SCHEMA:
        raise NewerError(
            f"{name} is a newer Basin's (format {schema}, this one reads up to {SCHEMA}): upgrade Basin"
        )


def check_digest(tree: Mapping[str, Any], name: str, required: bool) -> None:
    """Refuse a tree whose digest is of something else, or is missing where every writer has put one."""
    claimed = tree.get(DIGEST)
    if claimed is None and not required:
        return
    if claimed != digest_of({key: value for key, value in tree.items() if key != DIGEST}):
        raise DamagedError(f"{name} is not what was written")


def read_sealed(root: Path, name: str, most: int = MOST) -> dict[str, Any]:
    """A sealed file inside a folder; raises as `unsealed` and `read_inside`."""
    return unsealed(read_inside(root, name, most), name)


def _finite(tree: Any) -> Any:
    if isinstance(tree, float):
        return tree if math.isfinite(tree) else None
    if isinstance(tree, Mapping):
        return {key: _finite(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_finite(value) for value in tree]
    return tree
