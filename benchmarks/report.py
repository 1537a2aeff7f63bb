"""`python -m benchmarks.report [RUN...]`: pages of stored and of planted runs, opened in a headless Chromium.

With runs, also the pages of their topics, and of all of them side by side. Planted are a run of one round, a hostile one, one
of 50 rounds, and one of 20 rounds with 5,000 passages, which is timed. Needs Playwright (the test extra) and a Chromium
(`apt-get install chromium`). Writes results/report.json; with `--shots FOLDER` also a picture of every view, on a desk, in the
dark and on a phone.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from rich.console import Console

from agent.errors import BasinError
from benchmarks.report_browser import (
    Seen,
    as_row,
    axe_script,
    browser_path,
    open_browser,
    open_page,
    opening,
    try_downloads,
    try_filters,
    try_map,
    try_tables,
    visit,
)
from benchmarks.report_planted import Scene, plant
from benchmarks.results import write_results
from loops.checkpoint.find import find_run
from loops.checkpoint.store import RunStore
from loops.monitor.progress import open_progress
from loops.report import page as plotly_bundle
from loops.report.compare import compare
from loops.report.compare_page import write_comparison
from loops.report.make import make_report
from loops.report.topic_views import Asked, view_run
from loops.report.topics_page import write_topics

SCENES = {
    "large": Scene(20, passages=5000, words=180, written=32),
    "one round": Scene(1),
    "hostile texts": Scene(3, hostile=True),
    "fifty rounds": Scene(50),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the pages, open them, write the results, and say what was wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    parser.add_argument("run", nargs="*", help="a stored run, by name or folder")
    parser.add_argument("--shots", type=Path, help="folder for pictures of every view")
    chosen = parser.parse_args(arguments)
    if not browser_path():
        raise SystemExit("Error: there is no Chromium here; install one (`apt-get install chromium`).")
    try:
        stores = {name: RunStore.open(find_run(name)) for name in chosen.run}
        axe = axe_script()
    except BasinError as error:
        raise SystemExit(f"Error: {error}") from None
    plotly_bundle.obtain()
    command = ["python", "-m", "benchmarks.report", *(sys.argv[1:] if arguments is None else arguments)]
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder, open_browser() as browser:
        for name in (*SCENES, *stores):
            with _own_cache(Path(folder)) if name in SCENES else nullcontext():
                store = stores.get(name) or plant(Path(folder) / name.replace(" ", "-"), SCENES[name])
                rows.append(_row(Path(name).name, store, Path(folder), browser, axe, chosen.shots))
            # At once, so that a page that breaks the rest leaves those before it.
            write_results("report", rows, command)
        for name, make in _other_pages(stores).items():
            rows.append(_other_row(name, make, Path(folder), browser, axe, chosen.shots))
            write_results("report", rows, command)
    print(f"{len(rows)} pages in report.json; `python -m benchmarks.render` shows them", file=sys.stderr)


@contextmanager
def _own_cache(folder: Path) -> Iterator[None]:
    """A cache apart for what planted runs record, with the bundle for charts in it."""
    bundle = plotly_bundle.BASIC.path
    with patch.dict(os.environ, BASIN_CACHE=str(folder / "cache")):
        copy = plotly_bundle.BASIC.path
        if bundle.exists() and not copy.exists():
            copy.parent.mkdir(parents=True)
            copy.write_bytes(bundle.read_bytes())
        yield


def _row(
    name: str, store: RunStore, folder: Path, browser: Any, axe: str, shots: Path | None
) -> dict[str, Any]:
    file, seen = _file(folder, name), Seen()
    row = _built(file, lambda path: make_report(store, path, False, lambda text: None), browser)
    drawn = opening(browser, file, "map", "#map .main-svg")
    _visit_all(name, file, browser, axe, shots, seen)
    with open_page(browser, file, seen) as page:
        try_map(page, seen)
        try_filters(page, seen)
        try_tables(page, seen)
        charts = try_downloads(page, seen) if name not in SCENES else None
    _tell(name, seen)
    passages, rounds = len(store.load_passages().passages), store.rounds()[-1]
    return {
        "method": name,
        "passages": passages,
        "rounds": rounds,
        **row,
        "map_drawn_s": drawn.seconds,
        "map_drawn_cpu_s": drawn.cpu_seconds,
        "charts_saved": charts,
        **as_row(seen),
    }


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name.replace(' ', '-')}.html"


def _built(file: Path, make: Callable[[Path], object], browser: Any) -> dict[str, Any]:
    """Write a page and open it: how long both took, how busy the machine was, how large it is."""
    begin, worked = time.perf_counter(), time.process_time()
    make(file)
    build, build_cpu, load = time.perf_counter() - begin, time.process_time() - worked, os.getloadavg()[0]
    head = opening(browser, file, "", "h1")
    return {
        "build_s": build,
        "build_cpu_s": build_cpu,
        "open_s": head.seconds,
        "open_cpu_s": head.cpu_seconds,
        "load": load,
        "megabytes": file.stat().st_size / 1e6,
    }


def _visit_all(name: str, file: Path, browser: Any, axe: str, shots: Path | None, seen: Seen) -> None:
    """Every view on a desk, in the dark and on a phone."""
    checks = {"desktop": (axe, ()), "dark": (axe, ("color-contrast",)), "phone": (None, ())}
    for mode, (script, rules) in checks.items():
        with open_page(browser, file, seen, mode) as page:
            visit(page, seen, shots and shots / name.replace(" ", "-") / mode, script, rules)
            seen.expect(page.title() != "owned", "a text of the corpus ran")


def _tell(name: str, seen: Seen) -> None:
    for told in (*seen.console_errors, *seen.network_requests, *seen.axe, *seen.faults):
        print(f"{name}: {told}", file=sys.stderr)


def _other_pages(stores: Mapping[str, RunStore]) -> dict[str, Callable[[Path], object]]:
    """The topics of every run, and all runs side by side: what writes each page, by its name."""

    def topics(store: RunStore, file: Path) -> object:
        with open_progress(Console(quiet=True)) as progress:
            return write_topics(view_run(store, Asked(), progress), file, progress)

    pages: dict[str, Callable[[Path], object]] = {
        f"topics of {store.name}": partial(topics, store) for store in stores.values()
    }
    if len(stores) > 1:
        name = " beside ".join(store.name for store in stores.values())
        pages[name] = lambda file: write_comparison(compare(list(stores)), file)
    return pages


def _other_row(
    name: str, make: Callable[[Path], object], folder: Path, browser: Any, axe: str, shots: Path | None
) -> dict[str, Any]:
    file, seen = _file(folder, name), Seen()
    row = _built(file, make, browser)
    _visit_all(name, file, browser, axe, shots, seen)
    _tell(name, seen)
    return {"method": name, **row, **as_row(seen)}


if __name__ == "__main__":
    main()
