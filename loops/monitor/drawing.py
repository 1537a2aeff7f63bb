"""Whether figures can be drawn."""

from __future__ import annotations

import importlib.util
import logging

logger = logging.getLogger(__name__)


def can_draw(figure: str) -> bool:
    """Return whether matplotlib (extra `plots`) is installed; warn that `figure` was not drawn if not."""
    if importlib.util.find_spec("matplotlib") is not None:
        return True
    logger.warning(f"{figure} was not drawn: install matplotlib with `pip install 'basin[plots]'`.")
    return False
