"""Pictures need matplotlib, which comes with the extra `plots`; who has done without is told so, and loses nothing else."""

from __future__ import annotations

import importlib.util
import logging

logger = logging.getLogger(__name__)


def can_draw(what: str) -> bool:
    """Whether pictures can be drawn here; `say` is told which one was not, and how it would be."""
    if importlib.util.find_spec("matplotlib") is not None:
        return True
    logger.info(
        f"{what} was not drawn, since matplotlib is not installed: pip install 'basin[plots]' adds it."
    )
    return False
