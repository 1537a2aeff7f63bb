"""Settings of adapters and their training, without the slow imports of training."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from agent.config import StageConfig
from agent.errors import BasinError


class LessonConfig(StageConfig):
    """The text of one round's supervised training."""

    tokens: int = Field(60_000, ge=1)
    """Tokens drawn; fewer if the concept claims less text, see `agent.adapting.lesson.draw`."""
    window: int = Field(512, ge=8)
    """Tokens of a training row, without padding; half of the rows begin where a document does."""
    corpus_tokens: int = Field(0, ge=0)
    """Tokens of the lesson on all documents, which the adapter starts from; 0: none."""
    written_share: float = Field(0.25, ge=0, le=0.5)
    """Largest share of accepted generated passages; real text is the rest."""

    def check_window(self, longest: int, name: str) -> None:
        """Raise `BasinError` for a window that exceeds the `longest` text of the model `name`."""
        if self.window > longest:
            raise BasinError(
                f"A window of {self.window} tokens is longer than {name} can read: lower "
                f"updating.adapting.lesson.window to {longest} or less."
            )

    def of_corpus(self) -> LessonConfig:
        """The lesson on all documents."""
        return self.model_copy(update={"tokens": self.corpus_tokens})


class LoraConfig(StageConfig):
    """The adapter's shape, and its supervised training."""

    rank: int = Field(16, ge=1)
    alpha: float = Field(32.0, gt=0)
    """The low-rank product is multiplied by `alpha / rank`."""
    modules: Literal["attention", "all"] = "all"
    """Which linear maps of every block are adapted."""
    batch: int = Field(4, ge=1)
    """Windows in a step."""
    learning_rate: float = Field(5e-4, gt=0)
    compile: bool = False
    """`torch.compile` the blocks: faster in a long lesson, after half a minute; needs a C++ compiler."""


class AdaptingConfig(StageConfig):
    """How a round trains its adapter."""

    lesson: LessonConfig = LessonConfig()
    lora: LoraConfig = LoraConfig()
    contrast: float = Field(1.0, ge=0)
    """Strength of the contrast with the corpus's adapter, see `agent.adapting.contrast`; 0: none."""
