"""Plain data that `Run` returns, shown as tables in notebooks. Corpus texts are escaped."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any, TypeVar

from agent.errors import BasinError, escaped, quoted

if TYPE_CHECKING:
    from loops.checkpoint.store import RunStore
    from loops.records import RoundRecord

COLUMNS = ("size", "members", "drift", "contraction", "agreement", "coherence")
SHOWN_WORDS = 40
T = TypeVar("T")


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


@dataclass(frozen=True)
class Member:
    """A real passage inside a concept."""

    membership: float
    """In [0, 1]; the document's other passages contribute."""
    text: str
    title: str
    """The document's title, or its id."""
    author: str


class Shown(list[T]):
    """A list that a notebook shows as a table, with the first words of long texts."""

    def _repr_html_(self) -> str:
        rows = [_row(each) for each in self]
        names = max(rows, key=len, default={})
        head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
        lines = ("".join(f"<td>{_cell(row.get(name))}</td>" for name in names) for row in rows)
        body = "".join(f"<tr>{line}</tr>" for line in lines)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


class Rounds:
    """The rounds of a run, read on access; negative numbers count from the newest."""

    def __init__(self, store: RunStore) -> None:
        self._store = store

    def __len__(self) -> int:
        return len(self._store.rounds())

    def __getitem__(self, number: int) -> RoundRecord:
        """Return a round.

        Raises:
            IndexError: there is no such round.
            BasinError: it is damaged.
        """
        rounds = self._store.rounds()
        if not isinstance(number, Integral):  # NumPy's too, as from a data frame
            raise TypeError(f"rounds are indexed by number, not by {quoted(number)}")
        wanted = rounds[number] if -len(rounds) <= number < 0 else int(number)
        if wanted not in rounds:
            known = ", ".join(map(str, rounds)) or "none"
            raise IndexError(f"{self._store.name} has no round {wanted}; it has {known}")
        return self._store.load(wanted)

    def __iter__(self) -> Iterator[RoundRecord]:
        return (self._store.load(number) for number in self._store.rounds())

    def table(self) -> Shown[dict[str, Any]]:
        """Return a row of numbers per round, for `pandas.DataFrame`; a damaged round has only its number."""
        numbers = sorted([*self._store.rounds(), *self._store.damaged()])
        return Shown(self._numbers(number) for number in numbers)

    def _numbers(self, number: int) -> dict[str, Any]:
        try:
            record = self._store.load(number)
        except BasinError:
            return {"round": number}
        values: Mapping[str, Any] = {"size": record.concept.size, **record.metrics}
        seconds = round(record.seconds, 1)
        return {"round": number, **{name: values.get(name) for name in COLUMNS}, "seconds": seconds}

    def __repr__(self) -> str:
        names = ("round", *COLUMNS, "seconds")
        lines = [names, *([_number(row.get(name)) for name in names] for row in self.table())]
        return "\n".join(" ".join(cell.rjust(11) for cell in line) for line in lines)

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


def _row(each: object) -> Mapping[str, Any]:
    if isinstance(each, WrittenPassage):
        return {"prompt": each.prompt, "continuation": each.continuation}
    return each if isinstance(each, Mapping) else asdict(each)  # type: ignore[call-overload]


def _number(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _cell(value: object) -> str:
    """Escape a value for HTML; of a long text, its first words."""
    words = _number(value).split()
    text = " ".join(words[:SHOWN_WORDS]) + (" ..." if len(words) > SHOWN_WORDS else "")
    return html.escape(escaped(text))
