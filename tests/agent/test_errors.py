"""Sentences stay on a line, within bounds, and without what a terminal would obey."""

from __future__ import annotations

from agent.errors import LONGEST_SENTENCE, BasinError, quoted


def test_a_sentence_is_one_printable_line_with_its_beginning_and_end() -> None:
    said = str(BasinError("a\nb\x1b[2J\ud800 " + "x" * 5000 + ": do that."))
    assert said.startswith("a\\nb\\x1b[2J\\ud800 x") and said.endswith("x: do that.") and said.isprintable()
    assert len(said) == LONGEST_SENTENCE
    assert str(BasinError("Über “it”: mend it.")) == "Über “it”: mend it."


def test_values_are_quoted_in_few_words() -> None:
    assert quoted("word") == "'word'" and quoted([1, 2]) == "[1, 2]"
    for huge in ("a" * 10**6, 10**6000, list(range(10**6)), {"a": {"b": {"c": {"d": 1}}}}, "\n" * 500):
        assert len(quoted(huge)) <= 80
