"""Print stored runs and rounds on the terminal: tables, members and generated passages."""

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
from agent.corpora.words import count_words
from agent.corpora.words import first_words as beginning
from agent.errors import BasinError, printable
from agent.types import PassageSet
from loops.checkpoint.store import RunStore
from loops.monitor.tables import FRAME, table_of
from loops.monitor.tables import number as as_text
from loops.records import Generated, RoundRecord, typical_samples

logger = logging.getLogger(__name__)

FIRST_WORDS = 25
COLUMNS = ("size", "drift", "contraction", "agreement", "coherence")
GOLD_COLUMNS = {
    "AP alone": "ap_concept",
    "AP with document": "ap_concept_pooled",
    "PGR alone": "pgr_single",
    "PGR with document": "pgr_pooled",
}


def first_words(text: str, words: int = FIRST_WORDS) -> str:
    """The beginning of a passage on one line."""
    return beginning(text, words) + (" ..." if count_words(text) > words else "")


def show_run(store: RunStore, console: Console) -> None:
    """Print a run's settings in short, a row per round, its certificate and stored measurements."""
    about, config = store.about, store.config
    subject = escape(printable(f"{config.corpus.source}, {config.language_model.name}"))
    console.print(f"[bold]{escape(store.name)}[/]  {subject}")
    console.print(
        f"begun {about['created']}, at most {config.rounds} rounds, seed {config.seed}", style="dim"
    )
    if origin := about.get("origin"):
        print_sentence(str(origin.get("sentence")), console)
    rows: list[list[object]] = []
    for number in sorted([*store.rounds(), *store.damaged()]):
        try:
            record = store.load(number)
        except BasinError:
            rows.append([number, "damaged"])
            continue
        values = {"size": record.concept.size} | record.metrics
        nats = record.concept.nats_per_token if record.concept.vector else None
        rows.append([number, *(values.get(column) for column in COLUMNS), nats, round(record.seconds)])
    console.print(table_of(["round", *COLUMNS, "nats/token", "seconds"], rows))
    if certificate := store.load_certificate():
        print_sentence(certificate["sentence"], console)
        if name := certificate.get("name"):
            print_sentence(f"Name: {name}", console)
    from loops.evaluation.measure import stored_rows

    if measured := stored_rows(store):
        _show_measurements(measured, console)


def print_sentence(sentence: str, console: Console, style: str | None = None) -> None:
    """Print a sentence from a file, without markup or terminal codes."""
    console.print(escape(printable(sentence)), style=style, highlight=False, soft_wrap=True)


def _show_measurements(rows: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Print average precision against gold labels, by round."""
    for name in dict.fromkeys(row["concept"] for row in rows):
        of_concept = [row for row in rows if row["concept"] == name]
        lines = [
            [title, of_concept[0][source], of_concept[0][f"{source}_pooled"]]
            for title, source in (("topic", "ap_topic"), ("gold-trained", "ap_ceiling"))
        ]
        for row in of_concept[1:]:
            lines.append([f"round {row['round']}", *(row[key] for key in GOLD_COLUMNS.values())])
        console.print(table_of([f"against gold: {name}", *GOLD_COLUMNS], lines))


def show_judgement(rows: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Print the share of generated passages in the gold concept: a row per judge and generator."""
    if not rows:
        console.print("There are no gold labels or no generated passages: nothing to judge.")
        return
    columns = [key for key in rows[0] if key not in ("corpus", "concept", "round")]
    console.print(table_of(columns, [[row[column] for column in columns] for row in rows]))


def show_round(store: RunStore, number: int, limit: int, console: Console) -> None:
    """Print a round in full: metrics, members, exchanged passages and samples, `limit` of each."""
    record, passages = store.load(number), store.load_passages()
    now = record.concept.membership
    console.print(f"\n[bold]Round {number}[/]")
    numbers = ", ".join(f"{key} {as_text(value)}" for key, value in record.metrics.items())
    console.print(escape(printable(numbers)), style="dim")
    members = record.concept.members()
    title = f"Members: {len(members)} of {len(now)} passages, the most typical first"
    chosen = members[:limit].tolist()
    print_passages(console, title, passages, chosen, {"membership": now[chosen]})
    if number:
        _show_exchange(store, record, passages, limit, console)
    for kind in ("steered", "base"):
        samples = [sample for sample in record.generated if sample.kind == kind]
        if samples:
            console.print(f"\n[bold]Generated, {kind}[/]: {min(limit, len(samples))} of {len(samples)}")
        for sample in samples[:limit]:
            show_passage(sample.prompt, sample.text, console, _verdict(sample))


def _show_exchange(
    store: RunStore, record: RoundRecord, passages: PassageSet, limit: int, console: Console
) -> None:
    """Print the four lists of exchanged passages."""
    last = record.round - 1
    if last not in store.rounds():
        console.print(f"Round {last} is missing, so exchanged passages are unknown.", style="dim")
        return
    topic, before, now = (each.concept.membership for each in (store.load(0), store.load(last), record))
    exchange = exchanged(topic, before, now)
    with_topic, since = {"topic": topic, "concept": now}, {"before": before, "now": now}
    for title, moved, columns in (
        ("Claimed by the pointer, refused by the concept", exchange.threw_out, with_topic),
        ("Missed by the pointer, added by the concept", exchange.took_in, with_topic),
        (f"Entered since round {last}", exchange.entered, since),
        (f"Left since round {last}", exchange.left, since),
    ):
        chosen = moved[:limit]
        values = {column: membership[chosen] for column, membership in columns.items()}
        print_passages(console, f"{title}: {len(moved)}", passages, chosen, values)


def print_passages(
    console: Console,
    title: str,
    passages: PassageSet,
    chosen: Sequence[int],
    columns: Mapping[str, Sequence[float] | Float[np.ndarray, "chosen"]],
) -> None:
    """Print a title, and a table of the chosen passages with named columns of numbers."""
    console.print(f"\n[bold]{title}[/]", highlight=False, soft_wrap=True)
    if not len(chosen):
        return
    table = Table(**FRAME)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("title")
    table.add_column("first words", ratio=1)
    for index, *values in zip(chosen, *columns.values(), strict=True):
        passage = passages.passages[index]
        document = passages.documents[passage.document]
        texts = (document.title or document.id, first_words(passage.text))
        table.add_row(*(f"{value:.2f}" for value in values), *(escape(printable(each)) for each in texts))
    console.print(table)


def show_passage(prompt: str, text: str, console: Console, note: str = "") -> None:
    """Print a generated passage: its prompt, a bar, and the continuation."""
    prompt, text = ("\n".join(map(printable, part.split("\n"))) for part in (prompt, text.rstrip()))
    body = Text.assemble((prompt, "dim"), ("|", "bold cyan"), text)
    console.print()
    if note:
        console.print(note, style="dim", highlight=False)
    console.print(body)


def _verdict(sample: Generated) -> str:
    coherence = {True: "coherent", False: "not coherent", None: "coherence not measured"}[sample.coherent]
    loss = f", {sample.loss:.2f} nats/token" if sample.loss is not None else ""
    return f"membership {sample.membership:.2f}, {coherence}{loss}, seed {sample.seed}"


def report_run(
    store: RunStore, console: Console, activations: Float[np.ndarray, "passage layer width"]
) -> None:
    """Measure a finished run against gold labels if there are any, and print it with three samples.

    Args:
        activations: of the real passages.
    """
    if not store.rounds():
        return
    from loops.evaluation.measure import measure  # the loop is over and cannot read gold labels

    try:
        measure(store, activations)
    except BasinError as error:
        logger.info(f"The run is whole but could not be measured: {error}")
    show_run(store, console)
    newest = store.load(store.rounds()[-1])
    coherent = typical_samples(newest.generated)
    if coherent:
        console.print(f"\n[bold]Generated passages[/] of round {newest.round}, the most typical first")
    for sample in coherent[:3]:
        show_passage(sample.prompt, sample.text, console)
    more = f"basin inspect {store.name} --round {newest.round}; basin generate {store.name}"
    console.print(f"\nMore: {escape(more)}", soft_wrap=True)
