"""Runs and rounds on a terminal: tables, members, what moved, what was written. Reads stored rounds only."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from agent.basin.tracking import exchanged
from agent.errors import BasinError, printable
from agent.types import PassageSet
from loops.checkpoint.store import RunStore
from loops.monitor.tables import FRAME, plain_table
from loops.records import Generated, RoundRecord, typical_samples

logger = logging.getLogger(__name__)

FIRST_WORDS = 25

MEASURED = ("AP alone", "AP with document", "PGR alone", "PGR with document")
COLUMNS = ("size", "drift", "contraction", "agreement", "coherence")


def first_words(text: str, words: int = FIRST_WORDS) -> str:
    """The beginning of a passage on one line."""
    running = text.split()
    return " ".join(running[:words]) + (" ..." if len(running) > words else "")


def show_run(store: RunStore, console: Console) -> None:
    """What the run is about, and a row for every round."""
    about, config = store.about, store.config
    what = f"{config.corpus.source}, {config.language_model.name}"
    console.print(f"[bold]{escape(store.name)}[/]  {escape(printable(what))}")
    console.print(
        f"begun {about['created']}, at most {config.rounds} rounds, seed {config.seed}", style="dim"
    )
    if origin := about.get("origin"):
        console.print(escape(printable(str(origin.get("sentence")))), highlight=False, soft_wrap=True)
    table = plain_table("round", *COLUMNS, "nats/token", "seconds")
    for number in sorted([*store.every(), *store.broken()]):
        try:
            table.add_row(*_row(store.load_kept(number)))
        except BasinError:
            table.add_row(str(number), "damaged")
    console.print(table)
    _show_pruned(store, console)
    if certificate := store.load_certificate():
        console.print(escape(printable(certificate["sentence"])), highlight=False, soft_wrap=True)
    from loops.evaluation.measure import stored_rows

    if rows := stored_rows(store):
        show_measurements(rows, console)


def _show_pruned(store: RunStore, console: Console) -> None:
    if pruned := store.pruned():
        which = ", ".join(map(str, pruned))
        told = f"Of pruned rounds ({which}) numbers and memberships are left."
        console.print(told, style="dim", highlight=False, soft_wrap=True)


def show_round(store: RunStore, number: int, limit: int, console: Console) -> None:
    """A round in full: numbers, members, what changed hands with the topic and since the last round, samples."""
    record, passages = store.load_kept(number), store.load_passages()
    concept = record.concept
    now = concept.membership
    console.print(f"\n[bold]Round {number}[/]")
    numbers = ", ".join(f"{key} {_number(value)}" for key, value in record.metrics.items())
    console.print(escape(printable(numbers)), style="dim")
    members = concept.members()
    title = f"Members: {len(members)} of {len(now)} passages, the most typical first"
    _print_passages(console, title, passages, members[:limit], {"membership": now})
    if number:
        _show_exchange(store, record, passages, limit, console)
    if record.pruned:
        console.print("\nWhat it wrote was pruned.", style="dim")
    show_samples(record, limit, console)


def show_samples(record: RoundRecord, limit: int, console: Console) -> None:
    """Some of what the round wrote, steered and not, prompts set apart."""
    for kind in ("steered", "base"):
        samples = [sample for sample in record.generated if sample.kind == kind]
        if samples:
            console.print(f"\n[bold]Written, {kind}[/]: {min(limit, len(samples))} of {len(samples)}")
        for sample in samples[:limit]:
            show_passage(sample.prompt, sample.text, console, _verdict(sample))


def show_passage(prompt: str, text: str, console: Console, note: str = "") -> None:
    """A written passage: the real opening it was given, then what was written."""
    prompt, text = ("\n".join(map(printable, part.split("\n"))) for part in (prompt, text.rstrip()))
    body = Text.assemble((prompt, "dim"), ("|", "bold cyan"), text)
    console.print()
    if note:
        console.print(note, style="dim", highlight=False)
    console.print(body)


def show_measurements(rows: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Average precision against gold labels: of the topic, of every round, and of training on the labels."""
    for name in dict.fromkeys(row["concept"] for row in rows):
        reading = [row for row in rows if row["concept"] == name]
        table = plain_table(f"against gold: {name}", *MEASURED)
        for who, source in (("topic", "topic"), ("gold-trained", "ceiling")):
            first = [reading[0][f"ap_{source}{pooled}"] for pooled in ("", "_pooled")]
            table.add_row(who, *(_number(value) for value in first))
        for row in reading[1:]:
            keys = ("ap_concept", "ap_concept_pooled", "pgr_single", "pgr_pooled")
            table.add_row(f"round {row['round']}", *(_number(row[key]) for key in keys))
        console.print(table)


def show_judgement(rows: Sequence[Mapping[str, Any]], console: Console) -> None:
    """How much of what was written belongs to the gold concept: a row for every judge and generator."""
    if not rows:
        console.print("There are no gold labels, or nothing was written: nothing to judge.")
        return
    columns = [key for key in rows[0] if key not in ("corpus", "concept", "round")]
    table = plain_table(*columns)
    for row in rows:
        table.add_row(*(_number(row[column]) for column in columns))
    console.print(table)


def report_run(
    store: RunStore, console: Console, activations: Float[np.ndarray, "passage layer width"]
) -> None:
    """The end of a run: measured where there are gold labels, drawn, and three readable passages it wrote.

    What cannot be measured is said in a sentence: the run itself is whole. `activations` are the real passages'.
    """
    if not store.rounds():
        return
    from loops.evaluation.measure import PICTURE, measure  # the loop is over; nothing it does can read this

    try:
        measure(store, activations)
    except BasinError as error:
        logger.info(f"The run is whole but could not be measured: {error}")
    show_run(store, console)
    picture = store.path / PICTURE
    if picture.exists():
        console.print(f"Picture: {escape(str(picture))}", soft_wrap=True, highlight=False)
    newest = store.load(store.rounds()[-1])
    readable = typical_samples(newest.generated)
    if readable:
        console.print(
            f"\n[bold]Passages it wrote[/] in round {newest.round}, the most typical of the readable"
        )
    for sample in readable[:3]:
        show_passage(sample.prompt, sample.text, console)
    more = f"basin inspect {store.name} --round {newest.round}; basin generate {store.name}"
    console.print(f"\nMore: {escape(more)}", soft_wrap=True)


def _row(record: RoundRecord) -> list[str]:
    values = {"size": record.concept.size} | record.metrics
    return [
        str(record.round),
        *(_number(values.get(column)) for column in COLUMNS),
        _number(record.concept.nats_per_token) if record.concept.vector else "-",
        f"{record.seconds:.0f}",
    ]


def _show_exchange(
    store: RunStore, record: RoundRecord, passages: PassageSet, limit: int, console: Console
) -> None:
    """The four lists of passages that changed hands; worked out anew where an older run did not keep them."""
    last = record.round - 1
    if last not in store.every():
        console.print(f"Round {last} is not there: what changed hands since cannot be told.", style="dim")
        return
    topic, before, now = (each.concept.membership for each in (store.load(0), store.load_kept(last), record))
    ids = [passage.id for passage in passages.passages]
    found = record.exchange or exchanged(ids, topic, before, now)
    place = {name: index for index, name in enumerate(ids)}
    with_topic, since = {"topic": topic, "concept": now}, {"before": before, "now": now}
    for title, moved, columns in (
        ("The topic's that the concept threw out", found.threw_out, with_topic),
        ("What the topic missed and the concept took in", found.took_in, with_topic),
        (f"Entered since round {last}", found.entered, since),
        (f"Left since round {last}", found.left, since),
    ):
        if strange := [name for name in moved if name not in place]:
            raise BasinError(
                f"Round {record.round} of {store.name} names passages that the run has not (such as {strange[0][:40]!r}): "
                "it is of another run; `basin verify` says which files hold."
            )
        chosen = [place[name] for name in moved[:limit]]
        _print_passages(console, f"{title}: {len(moved)}", passages, chosen, columns)


def _print_passages(
    console: Console, title: str, passages: PassageSet, chosen: Sequence[int], columns: dict[str, np.ndarray]
) -> None:
    table = Table(**FRAME)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("title")
    table.add_column("first words", ratio=1)
    for index in chosen:
        passage = passages.passages[index]
        document = passages.documents[passage.document]
        values = [f"{column[index]:.2f}" for column in columns.values()]
        words = (document.title or document.id, first_words(passage.text))
        table.add_row(*values, *(escape(printable(each)) for each in words))
    console.print(f"\n[bold]{title}[/]", highlight=False)
    if len(chosen):
        console.print(table)


def _verdict(sample: Generated) -> str:
    readable = {True: "readable", False: "not readable", None: "readability not measured"}[sample.coherent]
    loss = f", {sample.loss:.2f} nats/token" if sample.loss is not None else ""
    return f"membership {sample.membership:.2f}, {readable}{loss}, seed {sample.seed}"


def _number(value: float | int | bool | str | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
