"""A user's answers about the passages of one round, in the run's folder and apart from gold labels."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Int

from agent.errors import BasinError, printable, writing
from agent.files.checked import DamagedError
from agent.judging.answers import Estimates, estimate, question_groups, question_order
from agent.types import PassageSet, seed_for
from loops.checkpoint import atomic
from loops.checkpoint.fields import Stored, Whole, read
from loops.checkpoint.find import fresh_path
from loops.checkpoint.fork import fork
from loops.checkpoint.round_folders import read_header
from loops.checkpoint.schema import read_sealed, sealed
from loops.checkpoint.store import RunStore

ANSWERS = "answers.json"
Answer = Literal["yes", "no", "skip"]


class StoredAnswers(Stored):
    """The contents of answers.json."""

    round: Whole
    manifest: str
    """Digest of the round's manifest: its memberships decide which passages are asked about."""
    answers: dict[str, Answer]
    """By the passage's id."""


@dataclass(frozen=True)
class Questions:
    """The passages of one round to ask about, and the answers so far, by the passage's index."""

    store: RunStore
    round: int
    passages: PassageSet
    group: Int[np.ndarray, "passage"]
    answers: dict[int, Answer]

    @property
    def words(self) -> str:
        pointer = self.store.load_pointer()
        return ", ".join(pointer.model.top_words(pointer.topic))

    def waiting(self, count: int) -> list[int]:
        """Passages without an answer, of the first `count` questions."""
        order = question_order(self.group, count, seed_for(self.store.config.seed, self.round, "ask"))
        return [index for index in order.tolist() if index not in self.answers]

    def shown(self, index: int) -> tuple[str, str]:
        """Title and text of a passage, printable."""
        passage = self.passages.passages[index]
        title = self.passages.documents[passage.document].title
        return printable(title), "\n".join(map(printable, passage.text.split("\n")))

    def keep(self, index: int, answer: Answer) -> None:
        """Store one answer at once; raises `BasinError` if it cannot be written."""
        self.answers[index] = answer
        by_id = {self.passages.passages[each].id: said for each, said in self.answers.items()}
        manifest = read_header(self.store.path, self.round).digest
        content = {"round": self.round, "manifest": manifest, "answers": by_id}
        with writing(self.store.path / ANSWERS, "make room there"):
            atomic.write_file(self.store.path / ANSWERS, sealed(content))

    def estimates(self) -> Estimates | None:
        """What the answers say; None until each group of passages has one."""
        return estimate(
            self.group, {at: said == "yes" for at, said in self.answers.items() if said != "skip"}
        )


def open_questions(store: RunStore, number: int | None) -> Questions:
    """The questions about a round, or the newest for None, with the stored answers.

    Raises:
        BasinError: there is no concept, or the answers are damaged or those of another round.
    """
    record, first, passages = store.load_chosen(number), store.load(0), store.load_passages()
    inside, single = record.concept.inside, record.concept.single
    if nothing := first.metrics.get("no_concept"):
        raise BasinError(f"{store.name} has no concept to ask about: {nothing}")
    if inside.all() or not inside.any():
        which = "every passage" if inside.all() else "no passage"
        raise BasinError(f"Round {record.round} of {store.name} claims {which}; ask about another --round.")
    alone = single >= np.quantile(single, 1 - inside.mean())
    group = question_groups(inside, first.concept.inside, alone)
    return Questions(store, record.round, passages, group, _stored(store, record.round, passages))


def _stored(store: RunStore, number: int, passages: PassageSet) -> dict[int, Answer]:
    if not os.path.lexists(store.path / ANSWERS):
        return {}
    index = {passage.id: at for at, passage in enumerate(passages.passages)}
    try:
        found = read_answers(store.path)
        if found.round == number and found.manifest != read_header(store.path, number).digest:
            raise DamagedError("their round was made anew")
        if found.round == number and not found.answers.keys() <= index.keys():
            raise DamagedError("they name passages that the run does not have")
    except DamagedError as damage:
        raise BasinError(
            f"The answers about {store.name} cannot be used ({damage}); move {ANSWERS} away to ask anew."
        ) from None
    if found.round == number:
        return {index[each]: said for each, said in found.answers.items()}
    raise BasinError(
        f"The answers about {store.name} are those of round {found.round}: go on with --round {found.round}, or move "
        f"{ANSWERS} away to ask about round {number}."
    )


def read_answers(run: Path) -> StoredAnswers:
    """The stored answers; raises `DamagedError`."""
    return read(StoredAnswers, read_sealed(run, ANSWERS), ANSWERS)


def fork_with_size(questions: Questions) -> RunStore:
    """A new run from round 0 with the size that the answers give; raises `BasinError` without one."""
    store, found = questions.store, questions.estimates()
    if found is None or not 0 < found.size.value < 1:
        raise BasinError(f"The answers about {store.name} give no size between 0 and 1; answer more (-n).")
    size = f"clustering.size={found.size.value:.4f}"
    return fork(store, 0, [size], fresh_path(f"{store.name}-asked"))[0]
