"""What a run's rounds wrote, and how their adapters were trained, as flat rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agent.judging.average_precision import Row
from agent.judging.diversity import distinct_n, equal_samples
from loops.checkpoint.store import RunStore
from loops.records import RoundRecord

TRAINING = ("lesson_loss", "pairs", "preference", "rms_nats", "exponent")
"""Of the adapter that a round trained, which writes in the next one; None in rounds that trained none."""


def rounds_rows(store: RunStore) -> list[Row]:
    """A row for every whole round: what the concept of the round before wrote, and what it learned from that.

    Round 0 is what the base model wrote, on the same openings. `distinct2` is of passages of one length in all rounds.

    Raises:
        BasinError: a round is damaged, or wrote fewer than two passages of that length.
    """
    records = [store.load(number) for number in store.rounds()]
    if not records:
        return []
    written = {
        f"{record.round}": [
            each.text for each in record.generated if each.kind == ("steered" if record.round else "base")
        ]
        for record in records
    }
    words = int(np.quantile([len(text.split()) for each in written.values() for text in each], 0.1))
    equal = equal_samples(written, words, store.config.seed)
    return [
        _row(store, record, last, distinct_n(equal[f"{record.round}"], 2), words)
        for record, last in zip(records, [None, *records], strict=False)
    ]


def _row(store: RunStore, record: RoundRecord, last: RoundRecord | None, distinct2: float, words: int) -> Row:
    metrics = record.metrics
    row: Row = {"run": store.name, "generator": "basin" if last else "base", "round": record.round}
    row |= {"by_adapter": bool(last and last.concept.adapter is not None)}
    row |= {"agreement": metrics.get("agreement"), "base_agreement": metrics.get("base_agreement")}
    row |= {"coherence": metrics.get("coherence") if last else metrics.get("base_coherence")}
    row |= {"distinct2": distinct2, "words_compared": words}
    return row | {name: metrics.get(name) for name in TRAINING} | {"seconds": record.seconds}


def all_rounds(stores: Sequence[RunStore]) -> list[Row]:
    """The rows of several runs, in their order. Raises as `rounds_rows`."""
    return [row for store in stores for row in rounds_rows(store)]
