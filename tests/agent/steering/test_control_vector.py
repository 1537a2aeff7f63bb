"""Control vectors have the layer numbers of llama.cpp and repeng; invalid files are refused."""

from __future__ import annotations

import struct
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch

from agent.errors import BasinError
from agent.steering.control_vector import read_control_vector, write_control_vector, write_out
from agent.steering.vector import SteeringVector

VECTOR = SteeringVector({2: torch.arange(4.0), 7: -torch.ones(4)})


def test_a_layer_is_named_after_the_block_whose_output_it_is_added_to(tmp_path: Path) -> None:
    file = tmp_path / "v.gguf"
    write_control_vector(file, VECTOR, "llama", {"run": "brown", "round": 3, "nats": 0.1})
    reader = gguf.GGUFReader(file)
    assert {tensor.name: tensor.data.tolist() for tensor in reader.tensors} == {
        "direction.1": [0, 1, 2, 3],
        "direction.6": [-1, -1, -1, -1],
    }
    assert reader.get_field("general.architecture").contents() == "controlvector"
    assert reader.get_field("controlvector.model_hint").contents() == "llama"
    assert reader.get_field("controlvector.layer_count").contents() == 2
    assert reader.get_field("basin.run").contents() == "brown"
    assert reader.get_field("basin.nats").contents() == "0.1"


def test_reading_is_the_inverse_of_writing(tmp_path: Path) -> None:
    write_control_vector(tmp_path / "v.gguf", VECTOR, "llama")
    found = read_control_vector(tmp_path / "v.gguf")
    assert found.layers == (2, 7)
    assert all(torch.equal(found.directions[layer], VECTOR.directions[layer]) for layer in (2, 7))


def test_the_first_layer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BasinError, match="first block"):
        write_control_vector(tmp_path / "v.gguf", SteeringVector({1: torch.ones(4)}), "llama")
    assert not (tmp_path / "v.gguf").exists()


def test_other_files_are_refused(tmp_path: Path) -> None:
    def refusal_of(content: bytes) -> str:
        (tmp_path / "x.gguf").write_bytes(content)
        with pytest.raises(BasinError) as refusal:
            read_control_vector(tmp_path / "x.gguf")
        return str(refusal.value)

    with pytest.raises(BasinError, match="no control vector at"):
        read_control_vector(tmp_path / "none.gguf")
    assert "no GGUF file" in refusal_of(b"PK\x03\x04")
    assert "cannot be read" in refusal_of(b"GGUF" + b"\xff" * 60)
    write_control_vector(tmp_path / "v.gguf", VECTOR, "llama")
    whole = (tmp_path / "v.gguf").read_bytes()
    assert "cannot be read" in refusal_of(whole[: len(whole) // 2])


def test_invalid_directions_are_refused(tmp_path: Path) -> None:
    for row in (np.full(4, np.nan, np.float32), np.ones((2, 4), np.float32)):
        writer = gguf.GGUFWriter(tmp_path / "bad.gguf", "controlvector")
        writer.add_tensor("direction.3", row)
        write_out(writer)
        with pytest.raises(BasinError, match=r"direction\.3"):
            read_control_vector(tmp_path / "bad.gguf")


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
        _header(1, 0, struct.pack("<Q", 1) + b"k" + struct.pack("<IIQ", 9, 0, 150_000) + bytes(150_000)),
        b"GGUF" + struct.pack("<I", 77),
    ],
)
def test_false_headers_are_refused(lie: bytes, tmp_path: Path) -> None:
    (tmp_path / "lie.gguf").write_bytes(lie)
    with pytest.raises(BasinError, match="cannot be read"):
        read_control_vector(tmp_path / "lie.gguf")
