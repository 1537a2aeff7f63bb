"""A watched run as a screen: rounds with their drift, the stage in hand, guards, passages, the log's end."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from agent.errors import printable
from loops.monitor.follow import RoundSeen, Seen, seconds_since
from loops.monitor.progress import duration

FLOOR = 0.002
"""Drift below this has no bar: the bars are on a log scale up to 1."""
WIDE, MIDDLING = 88, 56
SAID_TO_BE_QUIET = 120
"""Seconds without a word after which it is said."""


def frame(seen: Seen, console: Console, footer: str = "") -> RenderableType:
    """One screen, cut to the console's width and height: what matters most is kept longest."""
    width, height = console.width, console.height
    parts: list[RenderableType] = [_header(seen), state(seen), *_working(seen, width), Text()]
    used = sum(len(_lines(console, part)) for part in parts) + bool(footer)
    room = max(height - used - 1, 4)
    table = _table(seen, width, max(min(len(seen.rounds), room - 7), 3))
    guards, passages = _guards(seen), _passages(seen)
    parts += [table, *guards]
    used += sum(len(_lines(console, part)) for part in (table, *guards))
    for passage in passages:
        lines = 2 + min(len(_lines(console, passage[1])), 4)
        if used + lines + 4 <= height:
            parts += [Text(), passage[0], _first_lines(console, passage[1], 4)]
            used += lines + 1
    if (left := height - used - 2) > 0 and seen.log:
        parts += [Text(), *(_log_line(*line, width) for line in seen.log[-left:])]
    return Group(*parts, *([Text(footer, style="dim", overflow="ellipsis", no_wrap=True)] if footer else []))


def state(seen: Seen) -> Text:
    """Whether somebody is writing, and what is to be done if nobody is: the sentence that a watch ends with."""
    if seen.over:
        return Text(
            str(seen.ended), style="bold green" if str(seen.ended).startswith("Converged") else "bold"
        )
    if not seen.alive:
        how = str((seen.status or {}).get("ended") or "")
        why = {"": "", "stopped": "It was stopped. ", "whole": ""}.get(how, f"It {printable(how)}. ")
        return Text(f"{why}Nobody is writing; `basin resume {seen.name}` goes on.", style="bold red")
    rounds = seen.config.get("rounds", "?")
    now = seen.working.get("round", len(seen.rounds))
    text = Text(f"Round {now} of at most {rounds}", style="bold cyan")
    if seen.held is None:
        text.append(", if somebody is writing: this file system cannot tell", style="yellow")
    if part := seen.working.get("part"):
        spent = seconds_since(seen.working.get("part_since"), seen.now)
        text.append(f": {part}, {duration(spent or 0)}", style="not bold")
    if seen.round_left is not None:
        text.append(f"; about {duration(seen.round_left)} to its end", style="not bold")
    if seen.run_left is not None:
        text.append(f", {duration(seen.run_left)} if all are run", style="not bold dim")
    if seen.quiet > SAID_TO_BE_QUIET:
        text.append(f"; nothing said for {duration(seen.quiet)}", style="not bold yellow")
    return text


def count_sentence(seen: Seen) -> str:
    """What is being counted, on one line; empty where nothing is."""
    told = []
    for each in seen.counts:
        counted = f" {each.done} of {each.total}" if each.total else ""
        left = f", about {duration(each.left)} left" if each.left is not None else ""
        told.append(f"{printable(each.name)}{counted}{left}")
    return "; ".join(told)


def round_sentence(seen: RoundSeen) -> str:
    """A round on one line, for a log."""
    numbers = (
        f"{key} {_number(seen.metrics.get(key))}" for key in ("drift", "agreement", "coherence", "size")
    )
    return f"round {seen.number}: {', '.join(numbers)}, {duration(seen.seconds)}"


def _header(seen: Seen) -> Text:
    corpus, model = (
        str(seen.config.get(part, {}).get(key, "")).rsplit("/", 1)[-1]
        for part, key in (("corpus", "source"), ("language_model", "name"))
    )
    text = Text(seen.name, style="bold", no_wrap=True, overflow="ellipsis")
    text.append(f"  {corpus}, {model}", style="not bold")
    if seen.memory is not None:
        text.append(f", {seen.memory:.1f} GB", style="not bold")
    if seen.working.get("pid"):
        text.append(
            f", process {seen.working['pid']} on {printable(str(seen.working.get('host')))}",
            style="not bold dim",
        )
    return text


def _working(seen: Seen, width: int) -> list[RenderableType]:
    rows: list[RenderableType] = []
    for each in seen.counts:
        row = Table.grid(padding=(0, 1))
        row.add_column(no_wrap=True, max_width=max(width // 3, 8))
        bar = ProgressBar(each.total, each.done, width=max(min(width // 3, 40), 6)) if each.total else Text()
        left = f"about {duration(each.left)} left" if each.left is not None else duration(each.seconds)
        counted = f"{each.done}/{each.total}" if each.total else ""
        row.add_row(printable(each.name), bar, counted, Text(left, style="dim"))
        rows.append(row)
    return rows


def _table(seen: Seen, width: int, rows: int) -> Table:
    """The newest rounds, drift as bars on a log scale with the bound of stillness in them."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    columns = ["agreement", "coherence", "size", "contraction", "seconds"]
    columns = columns if width >= WIDE else columns[:2] if width >= MIDDLING else []
    bar = max(min(width - 16 - sum(len(column) + 2 for column in columns), 60), 4)
    bound = float(seen.config.get("tracking", {}).get("drift_bound") or 0)
    for number, column in enumerate(("round", "drift", f"0 to 1, log; ┃ still: {bound:g}"[:bar], *columns)):
        table.add_column(column, justify="left" if number == 2 else "right", no_wrap=True)
    if not seen.rounds:
        table.add_row("-", "", "no whole round yet")
    for each in seen.rounds[-rows:]:
        cells = {"seconds": f"{each.seconds:.0f}", "coherence": _number(each.metrics.get("coherence"))}
        if each.number == 0:
            cells["coherence"] = _number(each.metrics.get("base_coherence"))
        values = (cells.get(column) or _number(each.metrics.get(column)) for column in columns)
        drift = each.metrics.get("drift")
        table.add_row(str(each.number), _number(drift), drift_bar(drift, bound, bar), *values)
    return table


def drift_bar(drift: object, bound: float, width: int) -> Text:
    """A bar for a drift in [0, 1] on a log scale; the bound is a mark in it, green where drift is below."""
    if not isinstance(drift, int | float):
        return Text()
    filled, mark = _place(drift, width), min(_place(bound, width), width - 1)
    text = Text("█" * filled + " " * (width - filled), style="green" if drift < bound else "cyan")
    if bound > 0:
        text = Text.assemble(text[:mark], ("┃", "bold yellow"), text[mark + 1 :])
    return text


def _place(drift: float, width: int) -> int:
    if not drift > FLOOR:
        return 0
    return max(min(round(width * math.log(drift / FLOOR) / math.log(1 / FLOOR)), width), 1)


def _guards(seen: Seen) -> list[RenderableType]:
    """How far the newest round is from what would end the run, and what has ended it."""
    if not seen.rounds:
        return []
    first, last, tracking = seen.rounds[0].metrics, seen.rounds[-1].metrics, seen.config.get("tracking", {})
    if fired := last.get("collapsed") or first.get("no_concept"):
        return [Text(f"Guard: {printable(str(fired))}", style="bold red")]
    told = []
    base, coherence = first.get("base_coherence"), last.get("coherence")
    if base and coherence is not None:
        told.append(
            f"readable {coherence / base:.2f} of the base model's (at least {tracking.get('minimum_coherence')})"
        )
    if last.get("size") is not None:
        bounds = " to ".join(f"{tracking.get(key, 0):.0%}" for key in ("minimum_size", "maximum_size"))
        told.append(f"size {last['size']:.1%} ({bounds})")
    if last.get("repetitive") is not None:
        told.append(
            f"repeats itself {last['repetitive']:.0%} (at most {tracking.get('maximum_repetitive', 1):.0%})"
        )
    return [Text(f"Guards: none fired. {', '.join(told)}", style="dim")] if told else []


def _passages(seen: Seen) -> list[tuple[Text, Text]]:
    """What the newest round wrote that belongs most and can be read, and what it wrote first."""
    if not seen.rounds:
        return []
    last = seen.rounds[-1]
    kind = "steered" if last.number else "base"
    written = [each for each in last.samples if each.get("kind") == kind]
    readable = [each for each in written if each.get("coherent") is not False] or written
    chosen = sorted(readable, key=lambda each: -float(each.get("membership") or 0))[:2]
    return [(Text(_about(last, each), style="dim"), _passage(each)) for each in chosen]


def _about(last: RoundSeen, sample: Mapping[str, Any]) -> str:
    readable = {True: ", readable", False: ", not readable"}.get(sample.get("coherent"), "")
    who = "steered" if last.number else "by the base model"
    return f"Written in round {last.number}, {who}: membership {_number(sample.get('membership'))}{readable}"


def _passage(sample: Mapping[str, Any]) -> Text:
    prompt, text = (printable(str(sample.get(key, ""))) for key in ("prompt", "text"))
    return Text.assemble((prompt, "dim"), ("|", "bold cyan"), " ".join(text.split()))


def _log_line(time: str, text: str, width: int) -> Text:
    line = Text(f"{time} " if width >= MIDDLING else "", style="dim", no_wrap=True, overflow="ellipsis")
    return line.append(text, style="not dim")


def _lines(console: Console, part: RenderableType) -> Sequence[Sequence[Segment]]:
    return console.render_lines(part, pad=False)


def _first_lines(console: Console, text: Text, count: int) -> Text:
    lines = text.wrap(console, console.width)
    kept = Text("\n").join(lines[:count])
    return kept.append(" ...", style="dim") if len(lines) > count else kept


def _number(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
