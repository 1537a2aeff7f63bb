"""Vectors are plain data: their arithmetic, their union of layers, their way through safetensors."""

from __future__ import annotations

import pytest
import torch
from conftest import make_language_model

from agent.errors import BasinError
from agent.steering.vector import SteeringVector


def vector(**values: list[float]) -> SteeringVector:
    return SteeringVector({int(name[1:]): torch.tensor(value) for name, value in values.items()})


def test_arithmetic_runs_over_the_union_of_layers():
    result = 2 * vector(l1=[1.0, 0.0], l2=[0.0, 1.0]) - vector(l2=[0.0, 1.0], l3=[3.0, 3.0])
    assert result.layers == (1, 2, 3)
    assert {layer: each.tolist() for layer, each in result.directions.items()} == {
        1: [2.0, 0.0],
        2: [0.0, 1.0],
        3: [-3.0, -3.0],
    }


def test_layers_are_kept_in_rising_order_in_float32():
    unordered = SteeringVector(
        {9: torch.ones(2, dtype=torch.float64), 3: torch.zeros(2, dtype=torch.bfloat16)}
    )
    assert unordered.layers == (3, 9)
    assert {each.dtype for each in unordered.directions.values()} == {torch.float32}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: vector(l0=[1.0]), "Layer 0"),
        (lambda: vector(l1=[1.0], l2=[1.0, 2.0]), "differ in width"),
        (lambda: vector(l1=[1.0]) + vector(l1=[1.0, 2.0]), "widths 1 and 2"),
        (lambda: SteeringVector.from_tensors({"weights": torch.ones(1)}), "'weights'"),
    ],
)
def test_bad_vectors_are_named(make, message):
    with pytest.raises(BasinError, match=message):
        make()


def test_a_direction_goes_to_the_device_of_its_block():
    language_model = make_language_model(depth=3)
    language_model.blocks[1].to("meta")
    ones = SteeringVector({layer: torch.ones(16) for layer in (1, 2)})
    for vectors, strengths in (([ones], [2.0]), ([ones, ones], [1.0, 2.0])):
        shifts = language_model._shifts(vectors, strengths)
        assert [shifts[layer].device.type for layer in (1, 2)] == ["cpu", "meta"]
