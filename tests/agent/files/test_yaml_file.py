"""YAML of settings: plain values only, within limits, and whatever is wrong named with its line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.errors import BasinError
from agent.files.yaml_file import UnreadableYamlError, parse_yaml, read_yaml

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)


def test_plain_values_are_read() -> None:
    text = "a: &words [b, 'c', 1, 2.5, true, null]\nd: *words\n1: {e: 2024-01-01}\non: ~\n"
    words = ["b", "c", 1, 2.5, True, None]
    assert parse_yaml(text) == {"a": words, "d": words, "1": {"e": "2024-01-01"}, "on": None}
    assert parse_yaml("") is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("no", "no"), ("On", "On"), ("YES", "YES"), ("true", True), ("010", "010"), ("-0_7", "-0_7")),
        *(("1:30", "1:30"), ("1:30.5", "1:30.5"), ("0", 0), ("0.5", 0.5), ("0x10", 16), ("1_000", 1000)),
    ],
)
def test_values_of_old_yaml_are_texts(text: str, value: object) -> None:
    found = parse_yaml(f"[{text}]")[0]
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LAUGHS, "aliases grow"),
        ("a: &a [*a]", "line 1: an alias of what it stands in"),
        ("[" * 100_000, "nested more than"),
        ("- " * 5000, "nested more than"),
        ("a: 1\nb: 2\na: 3", "line 3: 'a' is given twice"),
        ("a: 1\n<<: {b: 2}", "line 2: '<<'"),
        ("a: !!python/object/apply:os.system [id]", "line 1: .*python"),
        ("a: !!binary aGk=", "binary"),
        ("a: !!int x", "invalid literal"),
        ("a: !!timestamp x\nb: !!bool perhaps", "perhaps"),
        ("? [a]\n: b", "a key that is no text"),
        ("a: " + "9" * 30, "more than 18 digits"),
        ("a: =", "is no kind of value"),
        ("a: [", "line 1"),
        ("a: 1\n\tb: 2", "line 2"),
        ("a: \0", "special characters"),
        ("a: *b", "line 1: found undefined alias"),
        ("--- a\n--- b", "line 2"),
        ('a: 1\nb: "\\uD800"', "line 2: half a character"),
        ("\n".join(f"k{n}: {n}" for n in range(30_000)), "more than 20,000 values"),
    ],
)
def test_odd_yaml_is_refused(text: str, message: str) -> None:
    with pytest.raises(UnreadableYamlError, match=message) as raised:
        parse_yaml(text)
    assert len(str(raised.value)) < 170


def test_a_file_is_named_with_its_remedy(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1")
    assert read_yaml(path, "repair it") == {"a": 1}
    for content, message in ((b"\xff", "byte 0 is not UTF-8"), (b"#" * 300_000, "larger than 256 KiB")):
        path.write_bytes(content)
        with pytest.raises(BasinError, match=rf"a\.yaml.*{message}.*repair it\.$"):
            read_yaml(path, "repair it")
    with pytest.raises(BasinError, match="is a folder"):
        read_yaml(tmp_path, "repair it")
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(BasinError, match="is a pipe"):
        read_yaml(tmp_path / "pipe.yaml", "repair it")
    for name in ("a\0b", "a" * 300):
        with pytest.raises(BasinError, match="repair it"):
            read_yaml(tmp_path / name, "repair it")
    with pytest.raises(FileNotFoundError):
        read_yaml(tmp_path / "none.yaml", "repair it")
