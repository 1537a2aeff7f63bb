"""What stored JSON may hold, told by predicates: a table must have exactly its fields, each of its kind.

`agent.plain_files.parse_json` has refused NaN, infinity and numbers of more than 64 bits by then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agent.plain_files import DamagedError

Check = Callable[[Any], bool]

ROUNDING = 1e-6
"""Means of memberships may be above 1 by what sums round."""
MOST_WHOLE = (1 << 63) - 1


def is_text(value: Any) -> bool:
    return isinstance(value, str)


def is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def is_number(value: Any) -> bool:
    return type(value) in (int, float)


def is_whole(value: Any) -> bool:
    """A whole number from 0 to what 64 bits hold."""
    return type(value) is int and 0 <= value <= MOST_WHOLE


def is_share(value: Any) -> bool:
    return is_number(value) and 0 <= value <= 1 + ROUNDING


def is_positive(value: Any) -> bool:
    return is_number(value) and value > 0


def is_not_negative(value: Any) -> bool:
    return is_number(value) and value >= 0


def is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(is_text, value))


def is_pairs(value: Any) -> bool:
    """A list of pairs of numbers."""
    return isinstance(value, list) and all(
        isinstance(each, list) and len(each) == 2 and all(map(is_number, each)) for each in value
    )


def is_plain(value: Any) -> bool:
    """What a round's numbers may be."""
    return value is None or is_flag(value) or is_number(value) or is_text(value)


def optional(check: Check) -> Check:
    return lambda value: value is None or check(value)


def one_of(*values: str) -> Check:
    return lambda value: isinstance(value, str) and value in values


def table(
    tree: Any, fields: Mapping[str, Check], name: str, may_lack: Mapping[str, Check] | None = None
) -> dict[str, Any]:
    """The tree, which has every field of `fields` and no other but those of `may_lack`, each as its check wants it.

    Raises:
        DamagedError: naming the field.
    """
    if not isinstance(tree, dict):
        raise DamagedError(f"{name} is no table of names and values")
    known = {**fields, **(may_lack or {})}
    for key in fields:
        if key not in tree:
            raise DamagedError(f"{name} lacks {key}")
    for key, value in tree.items():
        if key not in known:
            raise DamagedError(f"{name} has {key[:80]!r}, which is nothing of ours")
        if not known[key](value):
            raise DamagedError(f"{name} has a {key} that cannot be meant ({_shown(value)})")
    return tree


def table_of(tree: Any, check: Check, name: str) -> dict[str, Any]:
    """A tree of any names whose values are all as the check wants them; raises as `table`."""
    if not isinstance(tree, dict):
        raise DamagedError(f"{name} is no table of names and values")
    return table(tree, dict.fromkeys(tree, check), name)


def rows(tree: Any, fields: Mapping[str, Check], name: str) -> list[dict[str, Any]]:
    """A list of tables; raises as `table`."""
    if not isinstance(tree, list):
        raise DamagedError(f"{name} is no list")
    return [table(row, fields, f"{name}, row {number},") for number, row in enumerate(tree, 1)]


def _shown(value: Any) -> str:
    """A value in a sentence: whole where it is short, else its kind."""
    if value is None or isinstance(value, int | float):
        return str(value)
    return repr(value[:40]) if isinstance(value, str) else f"a {type(value).__name__}"
