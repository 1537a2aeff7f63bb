"""Plotly's script for pages: its basic bundle, a third of the size and opened ten times as fast, else the whole of it.

The basic one is published on the npm registry alone; the whole one comes with the Python package, so a page can always be
made without a network.
"""

from __future__ import annotations

import base64
import gzip
import shutil
from functools import cache

from agent.errors import BasinError
from agent.sources.packages import (
    NODE_PACKAGE,
    NODE_VERSION,
    PackageFile,
    Progress,
    fetch,
    package_folder,
    verify,
)

BASIC = PackageFile(
    "npm",
    "plotly.js-basic-dist-min",
    "4.1.1",
    "package/plotly-basic.min.js",
    "99784e3abfb07b142a15e521a439e6d9addceadb3f79553fd24c72774f0649ba",
)


def obtain(progress: Progress | None = None) -> bool:
    """Fetch the basic bundle once, where there is something to fetch it with; whether it is there. Never fails."""
    if verify(BASIC) == "cached":
        return True
    if not (shutil.which("npm") or package_folder(NODE_PACKAGE, NODE_VERSION).is_dir()):
        return False  # npm itself would be a hundred times the download
    try:
        fetch(BASIC, progress)
    except BasinError:
        return False
    return True


def script() -> str:
    """The bundle that is at hand; no network."""
    if verify(BASIC) == "cached":
        return BASIC.path.read_text(encoding="utf-8")
    return _whole()


@cache
def packed(text: str) -> str:
    """A third of its size, as text; the page unpacks it."""
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


@cache
def _whole() -> str:
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()
