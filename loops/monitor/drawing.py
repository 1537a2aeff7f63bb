"""Whether figures can be drawn."""

from __future__ import annotations

import importlib.util
import logging

logger = logging.getLogger(__name__)


def can_draw(figure: str) -> bool:
    """Return whether the extra `plots` is installed; warn that `figure` was not drawn if not."""
    if all(importlib.util.find_spec(each) for each in ("matplotlib", "adjustText")):
        return True
    logger.warning(f"{figure} was not drawn: install its libraries with `pip install 'basin[plots]'`.")
    return False
