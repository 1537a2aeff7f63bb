"""Hypothesis's strategies for the bytes that readers are given."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

from hypothesis import strategies as st

from benchmarks.fuzzing.mutation import TOKENS

CODECS = ("utf-8", "utf-8-sig", "utf-16", "utf-32-le", "latin-1", "cp1252", "utf-7")
any_text = st.text(st.characters(), max_size=60)
"""Halves of characters and NUL are among them."""
prose = st.lists(
    st.sampled_from(
        (
            "Word",
            "words.",
            "(",
            "\n\n",
            "“Who?”",
            ".",
            "...",
            "\t",
            "a" * 40,
            "Mr.",
            "\u2028",
            "!?",
            "1961",
            "\r",
            "-",
        )
    ),
    max_size=120,
).map(" ".join)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=6,
)
records = st.fixed_dictionaries(
    {"text": prose | any_text | values},
    optional={
        "title": any_text | values,
        "author": any_text,
        "label": values,
        "tags": st.lists(any_text, max_size=3),
    },
)
junk = st.sampled_from(TOKENS) | st.binary(max_size=30)


def _written(record: object, plain: bool) -> bytes:
    return json.dumps(record, ensure_ascii=plain).encode("utf-8", "surrogatepass")


lines = st.builds(_written, records | values, st.booleans()) | junk
jsonl = st.builds(
    lambda mark, rows, end: mark + end.join(rows),
    st.sampled_from((b"", b"", b"", b"\xef\xbb\xbf", b"\xff\xfe")),
    st.lists(lines, max_size=6),
    st.sampled_from((b"\n", b"\n", b"\r\n", b"\r", b"\n\n")),
)
text_file = st.builds(
    lambda text, codec: text.encode(codec, "replace"), prose | any_text, st.sampled_from(CODECS)
) | st.binary(max_size=80)
passages = st.lists(prose | any_text, min_size=1, max_size=5).map(
    lambda texts: "\f".join(texts).encode("utf-8", "replace")
)


def from_chance(make: Callable[[random.Random], bytes]) -> st.SearchStrategy[bytes]:
    """What a maker makes, of chance that Hypothesis draws and makes smaller."""
    return st.randoms(use_true_random=False).map(make)
