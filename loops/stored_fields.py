"""What the JSON files of a round hold, field by field: for whoever reads them, with or without the arrays beside them."""

from __future__ import annotations

from typing import Any

from agent.plain_files import DamagedError
from loops import checking as check

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
    "kind": check.one_of("steered", "base", "oversteered"),
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
