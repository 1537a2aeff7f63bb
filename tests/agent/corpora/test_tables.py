"""Invalid lines of JSON are named by their number."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.corpora.tables import read_jsonl
from agent.errors import BasinError

GOOD = b'{"text": "One."}\n'


def read(tmp_path: Path, content: bytes) -> list[dict]:
    path = tmp_path / "s.jsonl"
    path.write_bytes(content)
    return [record for _, record in read_jsonl(path, "")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"text": "a", "text": "b"}', "line 2 has 'text' twice"),
        (b'{"text": "a", "n": {"m": 1, "m": 2}}', "line 2 has 'm' twice"),
        (b"[" * 200_000, "line 2 is nested too deeply"),
        (b'{"a":' * 200_000, "line 2 is nested too deeply"),
        (b'{"text": "a"}\r{"text": "b"}', "line 2 has line ends of a single carriage return"),
        (b'{"text": "a\xed\xa0\x80"}', "line 2 is not JSON in UTF-8"),
        (b"\xef\xbb\xbf" + GOOD, "line 2 is not JSON"),
        (b"\0", "line 2 is not JSON"),
        (b"null", "line 2 is not a JSON object"),
    ],
)
def test_an_invalid_line_is_named(line: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(BasinError, match=message):
        read(tmp_path, GOOD + line + b"\n" + GOOD)


def test_nan_and_huge_numbers_are_read(tmp_path: Path) -> None:
    (record,) = read(tmp_path, b'{"a": NaN, "b": -Infinity, "c": ' + b"9" * 5000 + b', "d": 12}')
    assert record["a"] is None and record["b"] is None and record["d"] == 12
    assert record["c"] == float("inf")


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    assert (
        read(tmp_path, b"\xef\xbb\xbf" + GOOD.replace(b"\n", b"\r\n") * 2 + b"\r\n") == [{"text": "One."}] * 2
    )
