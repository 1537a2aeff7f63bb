"""Older formats in the terms of the newest one, a step at a time, in memory: what lies on the disk stays as it is.

| format | what it brought |
| --- | --- |
| 3 | the oldest that is read |
| 4 | adapters (`adapter/`), lists of what changed hands (`exchanged.json`), manners of steering; a round of format 3 has none |
| 5 | manifests name the round before them and carry a digest of themselves, as files beside the rounds do; pruned rounds |

`tests/loops/stored_runs/` keeps a small run of every format, written by the code of its time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from loops.checkpoint.schema import SCHEMA

Files = dict[str, bytes]
Tree = dict[str, Any]


def migrated(schema: int, files: Mapping[str, bytes]) -> Files:
    """A round's files, or some of them, as the newest format has them; settings apart, see `migrated_settings`."""
    current = dict(files)
    for version in range(schema, SCHEMA):
        current = STEPS[version](current)
    return current


def migrated_settings(tree: Tree) -> Tree:
    """A stored configuration under today's names. Settings that came later take their defaults, which are what was done."""
    for rename in RENAMED:
        tree = rename(tree)
    return tree


def _nothing_to_do(files: Files) -> Files:
    """What came with the next format is optional there, and was absent here."""
    return files


def _adapter_nats(tree: Tree) -> Tree:
    """The first runs with adapters, of format 4, steered them with the whole budget or not at all."""
    updating = tree.get("updating")
    if not isinstance(updating, dict) or "adapter_steered" not in updating:
        return tree
    updating = dict(updating)
    steered = updating.pop("adapter_steered")
    nats = updating.get("budget_nats", 0.1) if steered else 0.0
    return {**tree, "updating": {"adapter_nats": nats, **updating}}


STEPS: Mapping[int, Callable[[Files], Files]] = {3: _nothing_to_do, 4: _nothing_to_do}
"""From each format to the next."""
RENAMED: tuple[Callable[[Tree], Tree], ...] = (_adapter_nats,)
"""Settings that have gone since format 3, oldest first."""
