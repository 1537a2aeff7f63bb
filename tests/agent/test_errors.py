"""Error sentences fit one bounded line and hold no control characters."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

import pytest

from agent.errors import LONGEST_SENTENCE, BasinError, quoted, reading, writing


def test_a_sentence_is_one_printable_line_with_beginning_and_end() -> None:
    message = str(BasinError("a\nb\x1b[2J\ud800 " + "x" * 5000 + ": do that."))
    assert (
        message.startswith("a\\nb\\x1b[2J\\ud800 x")
        and message.endswith("x: do that.")
        and message.isprintable()
    )
    assert len(message) == LONGEST_SENTENCE
    assert str(BasinError("Über “it”: mend it.")) == "Über “it”: mend it."


def test_quoted_values_are_short() -> None:
    assert quoted("word") == "'word'" and quoted([1, 2]) == "[1, 2]"
    for huge in ("a" * 10**6, 10**6000, list(range(10**6)), {"a": {"b": {"c": {"d": 1}}}}, "\n" * 500):
        assert len(quoted(huge)) <= 80


@pytest.mark.parametrize(("block", "verb"), [(writing, "written"), (reading, "read")])
def test_disk_errors_name_the_path_and_the_remedy(block: Callable, verb: str) -> None:
    message = rf"^here cannot be {verb} \(No space left on device\); make room\.$"
    with pytest.raises(BasinError, match=message), block("here", "make room"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(OSError, match="^of a library$"), block("here", "make room"):
        raise OSError("of a library")
