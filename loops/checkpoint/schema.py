"""The format of stored files, and the digest that shows a file is what was written.

A round's manifest carries the format and a digest of each file. Every other JSON file carries both
itself: `sealed` adds `schema` and `sha256`, and `unsealed` checks and removes them.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.files.checked import MEGABYTE, DamagedError, parse_json, read_inside

SCHEMA = 14
"""The only format that this version reads. Raise it when other code would misread a file."""
DIGEST = "sha256"
MOST = 64 * MEGABYTE
"""Maximum size of a sealed file."""


class OtherFormatError(DamagedError):
    """The file is whole, but of a format that this version does not read."""


def digest_of(tree: Any) -> str:
    """SHA-256 of a JSON tree, independent of its layout."""
    text = json.dumps(tree, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def sealed(tree: Mapping[str, Any]) -> bytes:
    """A JSON file with its format and a digest of the rest; infinity and NaN become null."""
    plain = {"schema": SCHEMA, **json.loads(json.dumps(_finite(tree)))}
    text = json.dumps({**plain, DIGEST: digest_of(plain)}, indent=1, ensure_ascii=False)
    return (text + "\n").encode("utf-8", errors="surrogatepass")


def unsealed(content: bytes, name: str) -> dict[str, Any]:
    """The tree that `sealed` wrote.

    Raises:
        OtherFormatError: an older or newer version wrote it.
        DamagedError: it is no JSON object, or not what was written.
    """
    tree = parse_json(content, name)
    if not isinstance(tree, dict):
        raise DamagedError(f"{name} is not a JSON object")
    check_schema(tree.get("schema"), name)
    check_digest(tree, name)
    return {key: value for key, value in tree.items() if key not in ("schema", DIGEST)}


def check_schema(schema: Any, name: str) -> None:
    """Refuse every format except `SCHEMA`; raises as `unsealed`."""
    if type(schema) is not int or schema < 1:
        raise DamagedError(f"{name} has no format number")
    if schema < SCHEMA:
        raise OtherFormatError(
            f"{name} was written by an older Basin (format {schema}, this one reads {SCHEMA}): start the run anew"
        )
    if schema > SCHEMA:
        raise OtherFormatError(
            f"{name} was written by a newer Basin (format {schema}, this one reads {SCHEMA}): upgrade Basin"
        )


def check_digest(tree: Mapping[str, Any], name: str) -> None:
    """Raise `DamagedError` for a tree without its digest, or with another's."""
    if tree.get(DIGEST) != digest_of({key: value for key, value in tree.items() if key != DIGEST}):
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
