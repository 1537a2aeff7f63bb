"""The shell of every page: one HTML file that opens from disk, fetches nothing and lets no text of a corpus act.

Text goes into templates, which escape it, or as JSON into a script element that is not run. What may run is named by its
SHA-256 in a Content-Security-Policy that forbids everything else, the network first of all.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import math
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from agent.errors import BasinError
from agent.hub.pinned_packages import (
    NODE_PACKAGE,
    NODE_VERSION,
    PackageFile,
    fetch,
    package_folder,
    verify,
)
from loops.checkpoint.atomic import write_file
from loops.report import page as plotly_bundle

BASIC = PackageFile(
    "npm",
    "plotly.js-basic-dist-min",
    "4.1.1",
    "package/plotly-basic.min.js",
    "99784e3abfb07b142a15e521a439e6d9addceadb3f79553fd24c72774f0649ba",
)


def obtain() -> bool:
    """Fetch the basic bundle once, where there is something to fetch it with; whether it is there. Never fails."""
    if verify(BASIC) == "cached":
        return True
    if not (shutil.which("npm") or package_folder(NODE_PACKAGE, NODE_VERSION).is_dir()):
        return False  # npm itself would be a hundred times the download
    try:
        fetch(BASIC)
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


CONTROLS = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\t\n\r"} | {
    0x7F: "␡",
    **dict.fromkeys([0x2028, 0x2029], "\n"),
    **dict.fromkeys([*range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)], "\ufffd"),
    **dict.fromkeys(range(0xD800, 0xE000), "\ufffd"),  # half characters, which no file can hold
}
"""Terminal codes and overrides of the reading direction, which could dress a text up as something else."""
IN_SCRIPT = {
    ord("<"): "\\u003c",
    ord(">"): "\\u003e",
    ord("&"): "\\u0026",
    0x2028: "\\u2028",
    0x2029: "\\u2029",
}
UNPLAIN = re.compile(f"[{re.escape(''.join(map(chr, CONTROLS)))}]")
RUNNING = re.compile(r"</script|<!--", re.IGNORECASE)


@dataclass(frozen=True)
class View:
    """One view of a page, with a link of its own at the top. Only one is shown at a time."""

    id: str
    title: str
    body: Markup
    apart: bool = False
    """Set apart in the list of views: what it shows is of another kind."""


@dataclass(frozen=True)
class Page:
    """What a page holds."""

    title: str
    views: Sequence[View]
    data: Mapping[str, Any] = field(default_factory=dict)
    """Handed to the scripts as `Basin.data`; numbers that are not finite become null."""
    scripts: Sequence[str] = ()
    """Names of asset files that run after the shell's own, in order."""
    styles: Sequence[str] = ()
    """Names of asset files that follow the shell's own."""
    lead: Markup = Markup()
    """Above every view."""
    foot: str = ""
    charts: bool = True
    """Whether Plotly is embedded."""


def render(page: Page) -> bytes:
    """The page as a file's content; the same page gives the same bytes."""
    scripts = [asset(name) for name in ("page.js", "tables.js", "charts.js", *page.scripts)]
    for script in scripts:
        if RUNNING.search(script):
            raise ValueError("a script would end its own element")
    bundle = plotly_bundle.script() if page.charts else None
    may_run = [*scripts, *([bundle] if bundle is not None else [])]
    text = fill(
        "page.html",
        page=page,
        policy=_policy(may_run),
        styles=[Markup(asset(name)) for name in ("page.css", *page.styles)],
        scripts=[Markup(script) for script in scripts],
        data=Markup(as_json(page.data)),
        plotly=None if bundle is None else Markup(plotly_bundle.packed(bundle)),
    )
    return text.encode("utf-8")


def write(page: Page, path: Path) -> int:
    """Write the page in one step; its bytes.

    Raises:
        BasinError: the file cannot be written.
    """
    content = render(page)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, content)
    except OSError as error:
        raise BasinError(
            f"{path} cannot be written ({error.strerror}); name another file with --out."
        ) from None
    return len(content)


def fill(template: str, **context: Any) -> Markup:
    """An asset template with its context; all text in it is escaped and made `plain`."""
    return Markup(_environment().get_template(template).render(**context))


def plain(text: str) -> str:
    """A text without control characters, overrides of its direction and half characters: they are shown instead."""
    return text.translate(CONTROLS) if UNPLAIN.search(text) else text


def as_json(tree: Any) -> str:
    """JSON that can stand inside a script element, whatever texts it holds."""
    text = json.dumps(_plain_tree(tree), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.translate(IN_SCRIPT)


@cache
def asset(name: str) -> str:
    """The content of a file in assets/."""
    return (files("loops.report") / "assets" / name).read_text(encoding="utf-8")


def _plain_tree(tree: Any) -> Any:
    """Plain text, finite numbers and lists all the way down."""
    if isinstance(tree, str):
        return plain(tree)
    if isinstance(tree, Mapping):
        return {plain(str(key)): _plain_tree(value) for key, value in tree.items()}
    if isinstance(tree, np.ndarray):
        if tree.dtype.kind in "biu" or (tree.dtype.kind == "f" and np.isfinite(tree).all()):
            return tree.tolist()
        return _plain_tree(tree.tolist())
    if isinstance(tree, list | tuple):
        return [_plain_tree(value) for value in tree]
    if isinstance(tree, np.generic):
        return _plain_tree(tree.item())
    if isinstance(tree, float):
        return tree if math.isfinite(tree) else None
    return tree


@cache
def _environment() -> Environment:
    return Environment(
        loader=FunctionLoader(asset),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: (
            plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value
        ),
    )


def _policy(scripts: Sequence[str]) -> str:
    """Only these scripts, inline styles and pictures made on the page; nothing is loaded or sent, ever."""
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "connect-src 'none'; form-action 'none'; base-uri 'none'"
    )
