"""Where a run's numbers are written besides its own files."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from agent.types import StageConfig


class LoggingConfig(StageConfig):
    """Loggers. None of them changes a round, so a run may go on with others than it began with."""

    to: tuple[Literal["tensorboard", "trackio", "wandb"], ...] = ("tensorboard",)
    """TensorBoard's files lie in the run's own folder. The others are packages of their own (`pip install trackio`)."""
    project: str = Field("basin", min_length=1)
    """The project's name in trackio and wandb."""
    online: bool = False
    """Let wandb send to its server, and trackio to `space`; else everything stays on this machine."""
    space: str | None = None
    """A Space on the Hugging Face hub that trackio sends to."""

    @model_validator(mode="after")
    def _asked_for(self) -> LoggingConfig:
        if self.space and not self.online:
            raise ValueError("space needs online: true, since it sends what is logged over the network")
        if self.space and "trackio" not in self.to:
            raise ValueError("space is trackio's, which is not in `to`")
        return self
