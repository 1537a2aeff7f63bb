"""After a chain: compare every link's run with gold labels, where there are any. The chain itself never comes here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from loops.folders import write_file
from loops.measuring import measure, stored_rows
from loops.schema import sealed
from loops.store import RunStore

MEASURED = "measured.json"

Say = Callable[[str], None]


def measure_chain(folder: Path, rows: Sequence[dict[str, Any]], say: Say) -> list[dict[str, Any]]:
    """A row for every run of the chain, the first with it: average precision of what it received and of what it made of it.

    Precision is of held-out readings: no passage is scored by a classifier that was fitted on its document. Empty where the
    corpus has no gold labels. Raises `BasinError` as `loops.measuring.measure`.
    """
    paths = sorted(path.parent for path in folder.glob("[0-9][0-9]_*/run.json"))
    accepted = {row["to_run"]: row["accepted"] for row in rows}
    measured = []
    for path in paths:
        store = RunStore.open(path)
        if not store.rounds():
            continue
        found = stored_rows(store)
        found = measure(store, say) if found is None else found
        if not found:
            return []
        # The main reading of the labels has as many rows as the run has rounds, and comes first.
        began, ended = found[0], found[len(store.every()) - 1]
        measured.append(
            {"run": store.name, "model": store.config.language_model.name, "round": ended["round"]}
            | {
                "accepted": accepted.get(store.name, True),
                "concept": ended["concept"],
                "corpus": ended["corpus"],
            }
            | {"ap_topic": ended["ap_topic"], "ap_topic_pooled": ended["ap_topic_pooled"]}
            | {"ap_received": began["ap_concept"], "ap_received_pooled": began["ap_concept_pooled"]}
            | {"ap": ended["ap_concept"], "ap_pooled": ended["ap_concept_pooled"]}
            | {"ap_ceiling": ended["ap_ceiling"], "ap_ceiling_pooled": ended["ap_ceiling_pooled"]}
        )
    write_file(folder / MEASURED, sealed({"rows": measured}))
    return measured
