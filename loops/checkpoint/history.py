"""The rounds that a run resumes from."""

from __future__ import annotations

from agent.errors import BasinError
from loops.checkpoint.store import RunStore
from loops.records import RoundRecord

NEEDED_OF_FIRST = ("no_concept", "collapsed", "base_coherence")
NEEDED = ("drift", "collapsed")


def load_history(store: RunStore) -> list[RoundRecord]:
    """All rounds up to the newest whole one, rising; a damaged newest round is set aside.

    The first and the last round are complete. Those between lack their adapters and may be pruned.

    Raises:
        BasinError: a round is damaged, or lacks a metric that later rounds depend on.
    """
    newest = store.load_newest()
    if newest is None or newest.round == 0:
        rounds = [] if newest is None else [newest]
    else:
        between = [store.load_available(number).without_adapter() for number in range(1, newest.round)]
        rounds = [store.load(0), *between, newest]
    for each in rounds:
        _check_metrics(store, each)
    return rounds


def _check_metrics(store: RunStore, record: RoundRecord) -> None:
    missing = [name for name in (NEEDED if record.round else NEEDED_OF_FIRST) if name not in record.metrics]
    if record.round and record.metrics.get("drift", 0.0) is None:
        missing.append("drift")
    if missing:
        raise BasinError(
            f"Round {record.round} of {store.name} lacks the metric {missing[0]}; move it and later rounds away, then "
            f"`basin resume {store.name}` writes them anew."
        )
