"""Damage to bytes: drawn from a seed and a number, so that every input can be made again."""

from __future__ import annotations

import random
from collections.abc import Sequence

TOKENS = (
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\r",
    b"\n",
    b"\r\n",
    b"\x1b[31m",
    b'"',
    b"'",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"- ",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"\\ud83d\\ude00",
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"-1",
    b"9" * 30,
    b"9" * 5000,
    b"null",
    b"true",
    b"~",
    b"&a ",
    b"*a",
    b"<<: ",
    b"!!python/object/apply:os.system [id]",
    b"!!binary ",
    b"!!timestamp x",
    b"? ",
    b"|\n",
    b"%YAML 9.9\n",
    b"--- ",
    b"2001-99-99",
    b'"text": ',
    b"[" * 3000,
    b'{"a":' * 3000,
    b"a" * 3000,
    b"../",
    b"/dev/zero",
)
EXTREMES = (0, 1, 0x7F, 0x80, 0xFF)


def mutated(seeds: Sequence[bytes], tokens: Sequence[bytes], seed: int, number: int) -> bytes:
    """One of `seeds` with one to eight things done to it; the same arguments give the same bytes."""
    draw = random.Random(f"{seed}/{number}")
    content = bytearray(draw.choice(seeds))
    for _ in range(1 + int(draw.expovariate(0.6)) % 8):
        _damage(content, draw, seeds, tokens)
    return bytes(content)


def _damage(content: bytearray, draw: random.Random, seeds: Sequence[bytes], tokens: Sequence[bytes]) -> None:
    at = draw.randrange(len(content) + 1)
    what = draw.randrange(9)
    if what == 0 and at < len(content):
        content[at] ^= 1 << draw.randrange(8)
    elif what == 1 and at < len(content):
        content[at] = draw.choice(EXTREMES)
    elif what == 2:
        content[at:at] = draw.choice(tokens)
    elif what == 3:
        token = draw.choice(tokens)
        content[at : at + len(token)] = token
    elif what == 4:
        del content[at : at + _length(draw, len(content))]
    elif what == 5:
        content[at:at] = content[at : at + _length(draw, len(content))] * draw.choice((1, 1, 2, 20))
    elif what == 6:
        other = draw.choice(seeds)
        start = draw.randrange(len(other) + 1)
        content[at:at] = other[start : start + _length(draw, len(other))]
    elif what == 7 and at + 4 <= len(content):
        content[at : at + 4] = draw.choice((0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**24)).to_bytes(4, "little")
    elif what == 8 and draw.random() < 0.3:
        del content[at:]


def _length(draw: random.Random, size: int) -> int:
    return min(int(draw.expovariate(0.1)) + 1, size)
