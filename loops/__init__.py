"""The refinement loop, its checkpoints, the command line, and `Run` for Python.

from loops import Run
run = Run.start("brown")
run.concept.predict_proba(["It was the inspector who found the revolver."])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import agent  # noqa: F401  sets thread options before torch is imported

if TYPE_CHECKING:
    from agent.errors import BasinError as BasinError
    from loops.api.run import Run as Run

__all__ = ["BasinError", "Run"]


def __getattr__(name: str) -> Any:
    """Import names on first use, so that `import loops` is fast."""
    if name == "Run":
        from loops.api.run import Run

        return Run
    if name == "BasinError":
        from agent.errors import BasinError

        return BasinError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
