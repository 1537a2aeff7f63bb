"""Checks of stored JSON: a table has exactly its fields, and each field passes its predicate.

`agent.files.checked.parse_json` has already refused NaN, infinity and numbers beyond 64 bits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agent.errors import quoted
from agent.files.checked import DamagedError

Check = Callable[[Any], bool]

ROUNDING = 1e-6
"""Rounding may lift a mean of memberships above 1 by this much."""
MOST_WHOLE = (1 << 63) - 1


def is_text(value: Any) -> bool:
    return isinstance(value, str)


def is_table(value: Any) -> bool:
    return isinstance(value, dict)


def is_list(value: Any) -> bool:
    return isinstance(value, list)


def is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def is_number(value: Any) -> bool:
    return type(value) in (int, float)


def is_whole(value: Any) -> bool:
    """A non-negative integer of 64 bits."""
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
    return isinstance(value, list) and all(
        isinstance(each, list) and len(each) == 2 and all(map(is_number, each)) for each in value
    )


def is_plain(value: Any) -> bool:
    return value is None or is_flag(value) or is_number(value) or is_text(value)


def nullable(check: Check) -> Check:
    return lambda value: value is None or check(value)


def one_of(*values: str) -> Check:
    return lambda value: isinstance(value, str) and value in values


def table(
    tree: Any, fields: Mapping[str, Check], name: str, optional: Mapping[str, Check] | None = None
) -> dict[str, Any]:
    """The tree, if it has all of `fields`, nothing else except `optional`, and all checks pass.

    Raises:
        DamagedError: naming the field.
    """
    if not isinstance(tree, dict):
        raise DamagedError(f"{name} is no table of names and values")
    known = {**fields, **(optional or {})}
    if missing := fields.keys() - tree.keys():
        raise DamagedError(f"{name} lacks {min(missing)}")
    for key, value in tree.items():
        if key not in known:
            raise DamagedError(f"{name} has {key[:80]!r}, which is unknown")
        if not known[key](value):
            raise DamagedError(f"{name} has an impossible {key} ({quoted(value)})")
    return tree


def table_of(tree: Any, check: Check, name: str) -> dict[str, Any]:
    """A tree of any names whose values all pass the check; raises as `table`."""
    return table(tree, dict.fromkeys(tree if isinstance(tree, dict) else (), check), name)


def rows(tree: Any, fields: Mapping[str, Check], name: str) -> list[dict[str, Any]]:
    """A list of tables; raises as `table`."""
    if not isinstance(tree, list):
        raise DamagedError(f"{name} is no list")
    return [table(row, fields, f"{name}, row {number},") for number, row in enumerate(tree, 1)]


CONCEPT = {
    "round": is_whole,
    "size": is_share,
    "size_curve": is_pairs,
    "nats_per_token": is_not_negative,
    "readout": nullable(is_table),
}
MODE = {"norm_preserving": is_flag, "gate": nullable(is_table)}
GATE = {
    "layer": is_whole,
    "outside": is_number,
    "centre": is_number,
    "width": is_positive,
}
READOUT = {
    **dict.fromkeys(("bias", "trust", "pointer_centre", "threshold"), is_number),
    "scale": is_positive,
}
SAMPLE = {
    "kind": one_of("steered", "base", "degenerate"),
    "prompt": is_text,
    "text": is_text,
    "seed": is_whole,
    "membership": is_share,
    "coherent": nullable(is_flag),
    "loss": nullable(is_number),
}
PASSAGE = {
    **dict.fromkeys(("id", "text"), is_text),
    **dict.fromkeys(("document", "position"), is_whole),
}
SHARES = ("agreement", "base_agreement", "coherence", "base_coherence", "repetitive", "broken", "size")
METRICS = {
    **dict.fromkeys(("drift", "contraction"), nullable(is_not_negative)),
    **dict.fromkeys(SHARES, nullable(is_share)),
    **dict.fromkeys(("no_concept", "collapsed"), nullable(is_text)),
    **dict.fromkeys(("round", "topic", "members"), is_whole),
    "nats_per_token": is_not_negative,
}
"""Checks of the metrics that the loop or a table reads; others may be any plain value."""


def check_metrics(number: int, tree: Any) -> dict[str, Any]:
    """The contents of round.json; raises `DamagedError` for impossible values."""
    metrics = table_of(tree, is_plain, "round.json")
    table(metrics, {}, "round.json", {key: METRICS.get(key, is_plain) for key in metrics})
    if metrics.get("round", number) != number:
        raise DamagedError(f"round.json is that of round {metrics['round']}")
    return metrics
