"""Shapes of stored JSON: exact types, no unknown fields, and numbers in their range.

`agent.files.checked.parse_json` has already refused NaN, infinity and numbers beyond 64 bits.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from agent.corpora.words import CODE
from agent.errors import quoted, shortened
from agent.files.checked import DamagedError

Shape = TypeVar("Shape")

ROUNDING = 1e-6
"""Rounding may lift a mean of memberships above 1 by this much."""
Whole = Annotated[int, Field(strict=True, ge=0, lt=1 << 63)]
NotNegative = Annotated[float, Field(strict=True, ge=0)]
Share = Annotated[float, Field(ge=0, le=1 + ROUNDING)]
Plain = bool | int | float | str | None


def read(shape: type[Shape], tree: Any, name: str) -> Shape:
    """A tree as a shape, such as `list[Sample]`; raises `DamagedError` naming the first wrong field."""
    try:
        return TypeAdapter(shape).validate_python(tree)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = shortened(".".join(map(str, first["loc"])), 80) or "the whole"
        message = f"{first['msg'].lower()}, got {quoted(first['input'])}"
        raise DamagedError(f"{name} is wrong at {place}: {message}") from None


class Stored(BaseModel):
    """Base of all shapes."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class StoredReadout(Stored):
    bias: float
    threshold: float
    embedding_bias: float


class StoredConcept(Stored):
    round: Whole
    size: Share
    nats_per_token: NotNegative
    readout: StoredReadout | None


class StoredSample(Stored):
    kind: Literal["steered", "base", "degenerate"]
    prompt: str
    text: str
    seed: Whole
    membership: Share
    coherent: bool | None
    loss: float | None


class StoredDocument(Stored):
    id: str
    title: str
    author: str


class StoredPassage(Stored):
    id: str
    text: str
    document: Whole
    position: Whole


class StoredPassages(Stored):
    documents: list[StoredDocument]
    passages: list[StoredPassage]
    dropped: dict[str, Whole]


class StoredTopic(Stored):
    topic: Whole
    seed: Whole
    vocabulary: list[str]
    language: Annotated[str, Field(pattern=f"^(?:{CODE.pattern})$")] = "en"


class StoredMetrics(Stored):
    """The metrics that the loop or a table reads; others may be any plain value."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Plain]

    round: Whole = 0
    topic: Whole = 0
    members: Whole = 0
    drift: NotNegative | None = None
    contraction: NotNegative | None = None
    nats_per_token: NotNegative = 0.0
    size: Share | None = None
    agreement: Share | None = None
    base_agreement: Share | None = None
    coherence: Share | None = None
    base_coherence: Share | None = None
    repetitive: Share | None = None
    broken: Share | None = None
    no_concept: str | None = None
    collapsed: str | None = None
