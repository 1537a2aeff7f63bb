"""Plain data that `Run` returns, with tables for notebooks and prompts. Corpus texts are escaped."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

from agent.errors import BasinError, escaped, quoted

if TYPE_CHECKING:
    from loops.checkpoint.store import RunStore
    from loops.records import RoundRecord

COLUMNS = ("size", "members", "drift", "contraction", "agreement", "coherence")
SHOWN_WORDS = 40


class WrittenPassage(str):
    """A generated passage: a string of prompt and continuation."""

    __slots__ = ("continuation", "prompt")
    prompt: str
    continuation: str

    def __new__(cls, prompt: str, continuation: str) -> WrittenPassage:
        made = super().__new__(cls, prompt + continuation)
        made.prompt, made.continuation = prompt, continuation
        return made

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]
        return self.prompt, self.continuation


class WrittenPassages(list[WrittenPassage]):
    """A list of generated passages."""

    def _repr_html_(self) -> str:
        items = (
            f'<li><span style="opacity:.6">{_inline(each.prompt)}</span>{_inline(each.continuation)}</li>'
            for each in self
        )
        return f"<ol>{''.join(items)}</ol>"


@dataclass(frozen=True)
class Member:
    """A real passage inside a concept."""

    membership: float
    """In [0, 1]; the document's other passages contribute."""
    text: str
    title: str
    """The document's title, or its id."""
    author: str


class Members(list[Member]):
    """Passages inside a concept, the most typical first."""

    def _repr_html_(self) -> str:
        rows = [
            {
                "membership": each.membership,
                "title": each.title,
                "author": each.author,
                "text": _begin(each.text),
            }
            for each in self
        ]
        return _table(rows)


class Rounds(Sequence["RoundRecord"]):
    """The rounds of a run, read on access; negative numbers count from the newest."""

    def __init__(self, store: RunStore) -> None:
        self._store = store

    def __len__(self) -> int:
        return len(self._store.rounds())

    @overload
    def __getitem__(self, number: SupportsIndex) -> RoundRecord: ...
    @overload
    def __getitem__(self, number: slice) -> list[RoundRecord]: ...

    def __getitem__(self, number: SupportsIndex | slice) -> RoundRecord | list[RoundRecord]:
        """Return a round.

        Raises:
            IndexError: there is no such round.
            BasinError: it is damaged.
        """
        rounds = self._store.rounds()
        if isinstance(number, slice):
            return [self._store.load(each) for each in rounds[number]]
        if not hasattr(number, "__index__"):
            raise TypeError(f"rounds are indexed by number, not by {quoted(number)}")
        wanted = number.__index__()
        if wanted < 0 and -len(rounds) <= wanted:
            wanted = rounds[wanted]
        if wanted not in rounds:
            known = ", ".join(map(str, rounds)) or "none"
            raise IndexError(f"{self._store.name} has no round {wanted}; it has {known}")
        return self._store.load(wanted)

    def __iter__(self) -> Iterator[RoundRecord]:
        return (self._store.load(number) for number in self._store.rounds())

    def table(self) -> list[dict[str, Any]]:
        """Return a row of numbers per round, for `pandas.DataFrame`; a damaged round has only its number."""
        return [self._row(number) for number in sorted([*self._store.rounds(), *self._store.damaged()])]

    def _row(self, number: int) -> dict[str, Any]:
        try:
            record = self._store.load(number)
        except BasinError:
            return {"round": number}
        values: Mapping[str, Any] = {"size": record.concept.size, **record.metrics}
        seconds = round(record.seconds, 1)
        return {"round": number, **{name: values.get(name) for name in COLUMNS}, "seconds": seconds}

    def __repr__(self) -> str:
        rows = [[_number(value) for value in row.values()] for row in self.table()]
        head = ["round", *COLUMNS, "seconds"]
        widths = [max(len(line[at]) for line in (head, *rows) if at < len(line)) for at in range(len(head))]
        lines = (
            "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=False))
            for line in (head, *rows)
        )
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return _table(self.table())


@dataclass(frozen=True)
class Page:
    """A page on disk."""

    path: Path
    megabytes: float
    remarks: tuple[str, ...] = ()
    """Missing parts, with the reason."""

    def open(self) -> bool:
        """Open the page in a browser; return False without one."""
        import webbrowser

        return webbrowser.open(self.path.resolve().as_uri())

    def _repr_html_(self) -> str:
        # A notebook's server follows relative paths; browsers open no file: address from its pages.
        where = self.path.as_uri() if self.path.is_absolute() else self.path.as_posix()
        link = f'<a href="{html.escape(where)}" target="_blank">{html.escape(str(self.path))}</a>'
        remarks = "".join(f"<br>{_inline(each)}" for each in self.remarks)
        return f"{link} ({self.megabytes:.1f} MB){remarks}"


def run_as_text(store: RunStore) -> str:
    """Return one line: name, number of rounds, last drift."""
    rounds = Rounds(store).table()
    if not rounds:
        return f"<Run {store.name}: no whole round yet>"
    drift = rounds[-1].get("drift")
    moved = f", drift {drift:.3f} in the last" if isinstance(drift, float) else ""
    return f"<Run {store.name}: {len(rounds) - 1} rounds after the topic{moved}; {store.path}>"


def run_as_html(store: RunStore, certificate: str | None) -> str:
    """Return corpus, model, rounds and certificate as HTML."""
    about = f"{store.config.corpus.source}, {store.config.language_model.name}"
    said = f"<p>{_inline(certificate)}</p>" if certificate else ""
    head = f"<p><b>{_inline(store.name)}</b> &nbsp;{_inline(about)}</p>"
    return f"{head}{_table(Rounds(store).table())}{said}"


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as an HTML table; the first row with most columns names them."""
    names = next((list(row) for row in sorted(rows, key=lambda each: -len(each))), [])
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    body = "".join(
        "<tr>" + "".join(f"<td>{_inline(_number(row.get(name)))}</td>" for name in names) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _number(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _inline(text: str) -> str:
    """Escape any text for HTML, with line breaks."""
    return "<br>".join(html.escape(escaped(line)) for line in text.split("\n"))


def _begin(text: str) -> str:
    words = text.split()
    return " ".join(words[:SHOWN_WORDS]) + (" ..." if len(words) > SHOWN_WORDS else "")
