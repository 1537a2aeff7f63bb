"""Whether a run keeps a page of itself."""

from __future__ import annotations

from agent.types import StageConfig


class ReportConfig(StageConfig):
    """The page that a run keeps beside its rounds. It changes nothing in the run."""

    refresh: bool = True
    """Write report.html anew after every round."""
    tokens: bool = True
    """Read some passages word by word when the run ends."""
