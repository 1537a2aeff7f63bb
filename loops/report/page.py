"""The shell of every page: one HTML file that opens from disk and loads nothing.

No text of a corpus can run as code. Templates escape texts, or they are JSON in an inert script
element. A Content-Security-Policy names each script by its SHA-256 and forbids everything else.
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

from agent.errors import BasinError, writing
from agent.hub.pinned_packages import NODE_PACKAGE, NODE_VERSION, PackageFile, fetch, package_folder, verify
from loops.checkpoint.atomic import write_file

PLOTLY = PackageFile(
    "npm",
    "plotly.js-basic-dist-min",
    "4.1.1",
    "package/plotly-basic.min.js",
    "99784e3abfb07b142a15e521a439e6d9addceadb3f79553fd24c72774f0649ba",
)
SHELL = ("page.js", "tables.js", "charts.js")
CONTROLS = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\t\n\r"} | {
    0x7F: "␡",
    **dict.fromkeys([0x2028, 0x2029], "\n"),
    **dict.fromkeys([*range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)], "\ufffd"),
    **dict.fromkeys(range(0xD800, 0xE000), "\ufffd"),  # surrogates, which UTF-8 cannot hold
}
"""Replacements for terminal codes, direction overrides and surrogates."""
UNPLAIN = re.compile(f"[{re.escape(''.join(map(chr, CONTROLS)))}]")
IN_SCRIPT = {ord(each): f"\\u{ord(each):04x}" for each in "<>&\u2028\u2029"}


@dataclass(frozen=True)
class View:
    """One view of a page, linked at the top; only one view is shown at a time."""

    id: str
    title: str
    body: Markup
    apart: bool = False
    """Separated in the list of views, since its content is of another kind."""


@dataclass(frozen=True)
class Page:
    """The content of a page."""

    title: str
    views: Sequence[View]
    data: Mapping[str, Any] = field(default_factory=dict)
    """Available to scripts as `Basin.data`; numbers that are not finite become null."""
    scripts: Sequence[str] = ()
    """Names of asset files that run after the shell's own, in order."""
    styles: Sequence[str] = ()
    """Names of asset files that follow the shell's own."""
    lead: Markup = Markup()
    """Above every view."""
    foot: str = ""
    charts: bool = True
    """Whether to embed Plotly."""


def obtain() -> bool:
    """Fetch Plotly's basic bundle if npm is available; whether it is cached. Never raises."""
    if verify(PLOTLY) == "cached":
        return True
    if not (shutil.which("npm") or package_folder(NODE_PACKAGE, NODE_VERSION).is_dir()):
        return False  # npm itself would be a hundred times the download
    try:
        fetch(PLOTLY)
    except BasinError:
        return False
    return True


def script() -> str:
    """Plotly's basic bundle if it is cached, or else the full bundle of the Python package."""
    if verify(PLOTLY) == "cached":
        return PLOTLY.path.read_text(encoding="utf-8")
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


@cache
def _packed(text: str) -> str:
    """Compressed to a third of its size; the page unpacks it."""
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


def render(page: Page) -> bytes:
    """The page as a file's content; equal pages give equal bytes."""
    scripts = [asset(name) for name in (*SHELL, *page.scripts)]
    bundle = script() if page.charts else None
    text = fill(
        "page.html",
        page=page,
        policy=_policy([*scripts, *([] if bundle is None else [bundle])]),
        styles=[Markup(asset(name)) for name in ("page.css", *page.styles)],
        scripts=[Markup(each) for each in scripts],
        data=Markup(as_json(page.data)),
        plotly=None if bundle is None else Markup(_packed(bundle)),
    )
    return text.encode("utf-8")


def write(page: Page, path: Path) -> int:
    """Write the page and return its size in bytes. Raises `BasinError` on a disk error."""
    content = render(page)
    with writing(path, "name another file with --out"):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, content)
    return len(content)


def fill(template: str, **context: Any) -> Markup:
    """An asset template filled with its context; all text in it is escaped and made `plain`."""
    return Markup(_environment().get_template(template).render(**context))


def plain(text: str) -> str:
    """A text with control characters, direction overrides and surrogates replaced."""
    return text.translate(CONTROLS) if UNPLAIN.search(text) else text


def as_json(tree: Any) -> str:
    """JSON that is safe inside a script element."""
    text = json.dumps(_plain_tree(tree), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.translate(IN_SCRIPT)


@cache
def asset(name: str) -> str:
    """The content of a file in assets/."""
    return (files("loops.report") / "assets" / name).read_text(encoding="utf-8")


def _plain_tree(tree: Any) -> Any:
    """The tree with plain texts, finite numbers or None, and lists for arrays."""
    if isinstance(tree, str):
        return plain(tree)
    if isinstance(tree, Mapping):
        return {plain(str(key)): _plain_tree(value) for key, value in tree.items()}
    if isinstance(tree, np.ndarray):
        finite = tree.dtype.kind in "biu" or (tree.dtype.kind == "f" and np.isfinite(tree).all())
        return tree.tolist() if finite else _plain_tree(tree.tolist())
    if isinstance(tree, list | tuple):
        return [_plain_tree(value) for value in tree]
    if isinstance(tree, np.generic):
        return _plain_tree(tree.item())
    if isinstance(tree, float):
        return tree if math.isfinite(tree) else None
    return tree


@cache
def _environment() -> Environment:
    def as_plain(value: Any) -> Any:
        return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    return Environment(
        loader=FunctionLoader(asset),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=as_plain,
    )


def _policy(scripts: Sequence[str]) -> str:
    """Allow these scripts, inline styles and images made on the page; forbid every request."""
    digests = (base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "connect-src 'none'; form-action 'none'; base-uri 'none'"
    )
