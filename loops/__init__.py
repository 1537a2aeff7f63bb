"""What runs the parts: configuration, the refinement loop, its checkpoints, the command line, and `Run` for Python.

from loops import Run
run = Run.start("brown")
run.concept.predict_proba(["It was the inspector who found the revolver."])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import agent  # noqa: F401  before any module here imports torch: it says how threads wait

if TYPE_CHECKING:
    from agent.errors import BasinError as BasinError
    from loops.api.run import Run as Run

__all__ = ["BasinError", "Run"]


def __getattr__(name: str) -> Any:
    """Nothing is imported before it is asked for: `import loops` takes no time."""
    if name == "Run":
        from loops.api.run import Run

        return Run
    if name == "BasinError":
        from agent.errors import BasinError

        return BasinError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
