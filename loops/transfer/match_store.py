"""What a match found, as rows, as titles on each side, and as a file of the run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from agent.concept import MEMBER
from agent.errors import BasinError
from agent.transfer.matching import sides
from agent.types import PassageSet
from loops.checkpoint.atomic import inner_folder, write_file
from loops.checkpoint.schema import sealed
from loops.checkpoint.store import RunStore
from loops.transfer.match import Matched

MATCHES = "matches"
TYPICAL = 5
"""Passages named on each side."""


def save_match(found: Matched, store: RunStore) -> Path:
    """Write the table and what lies on each side to `matches/` in the run; raises `BasinError` where it cannot."""
    name = "_to_".join(re.sub(r"[^a-zA-Z0-9.-]+", "_", each) for each in (found.origin, found.into))
    file = store.path / MATCHES / f"{name}_round_{found.round:03d}.json"
    content = {
        "run": found.run,
        "round": found.round,
        "from": found.origin,
        "in": found.into,
        "generated": len(found.texts.generated),
        "compared": found.compared,
        "by_chance": found.candidates[0].chance,
        "z_score": found.candidates[0].z_score,
        "nothing": found.nothing,
        "candidates": rows(found),
        "sides": two_sides(found),
    }
    try:
        inner_folder(store.path, MATCHES)
        write_file(file, sealed(content))
    except OSError as error:
        raise BasinError(f"{file} cannot be written ({error.strerror or error}); make room there.") from None
    return file


def rows(found: Matched) -> list[dict[str, Any]]:
    """A row for every candidate, the best first; single components that only luck may have raised come last."""
    masses = ("shared", "only_first", "only_second", "first_contained", "second_contained")
    return [
        {"cluster": each.name, "kind": each.kind, "soft_jaccard": each.overlap.jaccard}
        | {"soft_jaccard_real": each.on_real, "soft_jaccard_generated": each.on_generated}
        | {name: getattr(each.overlap, name) for name in masses}
        | {"size": each.overlap.size_second}
        | ({"words": found.words[int(each.name)]} if found.words and each.kind == "component" else {})
        for each in found.candidates
    ]


def two_sides(found: Matched) -> dict[str, list[str]]:
    """Beginnings of the most telling real passages that both have, and that only one has; one a document."""
    passages, best = found.texts.passages, found.candidates[0].membership
    real = slice(0, len(passages.passages))
    told, match_ = found.told[real], best[real]
    typical = {"both": told + match_, "only the concept": told - match_, "only the match": match_ - told}
    parts = sides(told, match_, MEMBER)
    shown = {}
    for name, part in parts.items():
        order = [int(at) for at in np.argsort(-typical[name], kind="stable") if part[at]]
        # One of a document: the most typical passages are often of one book.
        first = {passages.passages[at].document: at for at in reversed(order)}
        shown[name] = [_beginning(passages, at) for at in order if at in first.values()][:TYPICAL]
    return shown


def _beginning(passages: PassageSet, at: int) -> str:
    passage = passages.passages[at]
    document = passages.documents[passage.document]
    return f"{document.title or document.id}: {' '.join(passage.text.split()[:14])} ..."
