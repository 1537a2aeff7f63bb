"""A header that lies is refused before anything believes it."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest
import torch

from agent.errors import BasinError
from agent.steering.control_vector import check_header, read_control_vector, write_control_vector
from agent.steering.gate import PLAIN
from agent.steering.vector import SteeringVector


@pytest.fixture
def whole(tmp_path: Path) -> bytes:
    vector = SteeringVector({2: torch.arange(4.0), 7: -torch.ones(4)})
    write_control_vector(tmp_path / "v.gguf", vector, "llama", PLAIN, {"run": "brown", "nats": 0.1})
    return (tmp_path / "v.gguf").read_bytes()


def _header(fields: int, tensors: int, rest: bytes) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, fields) + rest


ENDLESS_LIST = struct.pack("<Q", 1) + b"k" + struct.pack("<IIQ", 9, 4, 2**60)


@pytest.mark.parametrize(
    "lie",
    [
        _header(2**40, 0, b""),
        _header(0, 2**40, b""),
        _header(1, 0, ENDLESS_LIST),
        _header(1, 0, struct.pack("<Q", 2**50)),
        _header(1, 0, struct.pack("<Q", 1) + b"k" + struct.pack("<I", 99)),
        _header(0, 1, struct.pack("<Q", 1) + b"t" + struct.pack("<I", 9)),
        b"GGUF" + struct.pack("<I", 77),
    ],
)
def test_lies_are_refused(lie: bytes, tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        check_header(lie)
    (tmp_path / "lie.gguf").write_bytes(lie)
    with pytest.raises(BasinError, match="cannot be read"):
        read_control_vector(tmp_path / "lie.gguf")


def test_damaged_files_are_read_or_refused_and_nothing_else(whole: bytes, tmp_path: Path) -> None:
    check_header(whole)
    draw, file = random.Random(0), tmp_path / "damaged.gguf"
    refused = 0
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(draw.randint(1, 4)):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        file.write_bytes(bytes(damaged[: draw.choice((len(damaged), draw.randrange(4, len(damaged))))]))
        try:
            found = read_control_vector(file)
        except BasinError:
            refused += 1
        else:
            assert all(torch.isfinite(row).all() for row in found.vector.directions.values())
    assert 50 < refused < 300
