"""What stored JSON may hold, told by predicates: a table must have exactly its fields, each of its kind.

`agent.files.checked.parse_json` has refused NaN, infinity and numbers of more than 64 bits by then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agent.files.checked import DamagedError
from loops.checkpoint import fields as check

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


CONCEPT = {
    "round": check.is_whole,
    "size": check.is_share,
    "size_curve": check.is_pairs,
    "nats_per_token": check.is_not_negative,
    "readout": lambda value: value is None or isinstance(value, dict),
}
MANNER = {"norm_preserving": check.is_flag, "gate": lambda value: value is None or isinstance(value, dict)}
GATED = {
    "layer": check.is_whole,
    "outside": check.is_number,
    "centre": check.is_number,
    "width": check.is_positive,
}
READOUT = {
    **dict.fromkeys(("bias", "trust", "pointer_centre", "threshold"), check.is_number),
    "scale": check.is_positive,
}
SAMPLE = {
    "kind": check.one_of("steered", "base", "degenerate"),
    "prompt": check.is_text,
    "text": check.is_text,
    "seed": check.is_whole,
    "membership": check.is_share,
    "coherent": check.optional(check.is_flag),
    "loss": check.optional(check.is_number),
}
METRICS = {
    **dict.fromkeys(("drift", "contraction"), check.optional(check.is_not_negative)),
    **dict.fromkeys(
        ("agreement", "base_agreement", "coherence", "repetitive", "broken"), check.optional(check.is_share)
    ),
    **dict.fromkeys(("no_concept", "collapsed"), check.optional(check.is_text)),
    **dict.fromkeys(("size", "base_coherence"), check.optional(check.is_share)),
    **dict.fromkeys(("round", "topic", "members"), check.is_whole),
    "nats_per_token": check.is_not_negative,
}
"""What a number that the loop or a table reads may be; others may be any plain value."""


def checked_numbers(number: int, tree: Any) -> dict[str, Any]:
    """What round.json of a round says; raises `DamagedError` where that cannot be meant."""
    numbers = check.table_of(tree, check.is_plain, "round.json")
    known = {key: METRICS[key] for key in numbers if key in METRICS}
    check.table({key: numbers[key] for key in known}, known, "round.json")
    if numbers.get("round", number) != number:
        raise DamagedError(f"round.json is that of round {numbers['round']}")
    return numbers
