"""The nearest known setting is found wherever the wrong one stands."""

from __future__ import annotations

from typing import Literal

import pytest
from pydantic import Field, TypeAdapter, ValidationError

from agent.config import explain
from agent.types import StageConfig


class Inner(StageConfig):
    words: tuple[str, ...] = ()
    weight: float = Field(1.0, ge=0)
    kind: Literal["a", "b"] = "a"


class Outer(StageConfig):
    one: Inner = Inner()
    maybe: Inner | None = None
    many: tuple[Inner, ...] = ()
    named: dict[str, Inner] = {}
    needed: int


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({"needde": 1}, "needed is missing."),
        ({"needed": 1, "onne": {}}, "no setting onne; the nearest known one is one."),
        ({"needed": 1, "one": {"wrods": []}}, "no setting one.wrods; the nearest known one is one.words."),
        ({"needed": 1, "maybe": {"wieght": 1}}, "nearest known one is maybe.weight."),
        ({"needed": 1, "many": [{}, {"wieght": 1}]}, "nearest known one is many.1.weight."),
        ({"needed": 1, "named": {"x": {"kinds": 1}}}, "nearest known one is named.x.kind."),
        ({"needed": 1, "one": {"kind": "c"}}, "one.kind: input should be 'a' or 'b' (got 'c')."),
        ({"needed": 1, "one": {"weight": float("nan")}}, "one.weight: "),
        ({"needed": 1, "one": {"weight": float("inf")}}, "one.weight: "),
        ({"needed": 1, "one": {"words": "a" * 10_000}}, "one.words: "),
        ({"needed": 1, 7: 2}, "7"),
        ([], "the whole: "),
        ({"needed": 1, "k" * 10_000: 2}, "no setting kkk"),
    ],
)
def test_the_first_mistake_is_told(tree: object, said: str) -> None:
    with pytest.raises(ValidationError) as wrong:
        TypeAdapter(Outer).validate_python(tree)
    sentence = explain(wrong.value, Outer)
    assert said in sentence and sentence.endswith(".") and len(sentence) < 350
