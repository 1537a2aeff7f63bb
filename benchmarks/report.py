"""Report pages in a headless Chromium: `python -m benchmarks.report [RUN...] [--shots FOLDER]`.

Pages of planted and stored runs and of their topics: how long they take, and whether they log errors, ask the
network, break a control or have a serious fault by axe. Needs Playwright and Chromium.
Writes results/report.json.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from unittest.mock import patch

import typer

from agent.errors import BasinError
from agent.hub.pinned_packages import PackageFile, fetch
from benchmarks.results import write_results
from loops.checkpoint.find import find_run
from loops.checkpoint.store import RunStore
from loops.report import page as plotly_bundle
from loops.report.make import make_report
from loops.report.topic_views import TopicOptions, view_run
from loops.report.topics_page import write_topics
from tests.planted.planted_scene import Scene, plant

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SCENES = {
    "large": Scene(20, passages=5000, words=180, written=32),
    "one round": Scene(1),
    "hostile texts": Scene(3, hostile=True),
    "fifty rounds": Scene(50),
}
DIGEST = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
AXE = PackageFile("npm", "axe-core", "4.14.1", "package/axe.min.js", DIGEST)
"""Checks of accessibility by the rules of WCAG 2.2 A and AA and best practices."""
GRAVE = ("serious", "critical")
VIEWPORTS = {
    "desktop": {"viewport": {"width": 1280, "height": 900}},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "has_touch": True},
}
DRAWN_MS = 60_000
POINT = """() => {
  const box = document.querySelector("#map .chart").getBoundingClientRect();
  const marks = [...document.querySelectorAll("#map .scatterlayer .points path")].map((each) => each.getBoundingClientRect());
  const seen = marks.filter((each) => each.top > 60 && each.bottom < innerHeight && each.left > box.left + 60);
  const mark = seen[Math.floor(seen.length / 2)];
  return [mark.left + mark.width / 2, mark.top + mark.height / 2];
}"""
WHERE = """() => JSON.stringify(
  document.querySelector("#map .chart").data.map((each) => [each.name, each.x.length, each.x[0], each.y[0]]))"""


@dataclass
class Seen:
    """What was noticed while a page was open."""

    console_errors: list[str] = field(default_factory=list)
    network_requests: list[str] = field(default_factory=list)
    axe: list[str] = field(default_factory=list)
    """Serious and critical faults: rule, view and element."""
    faults: list[str] = field(default_factory=list)
    """What did not do what it should."""

    def expect(self, holds: object, what: str) -> None:
        if not holds:
            self.faults.append(what)


def browser_path() -> str | None:
    """A Chromium that is installed, or None."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((path for name in names if (path := shutil.which(name))), None)


@contextmanager
def open_browser() -> Iterator[Browser]:
    """A headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def open_page(
    browser: Browser, file: Path, seen: Seen, mode: str = "desktop", view: str = ""
) -> Iterator[Page]:
    """The page, with everything noticed that it says and asks for."""
    page = browser.new_page(**VIEWPORTS[mode])
    page.set_default_timeout(2 * DRAWN_MS)  # machines that have other work, too
    page.on(
        "console", lambda told: told.type in ("error", "warning") and seen.console_errors.append(told.text)
    )
    page.on("pageerror", lambda error: seen.console_errors.append(str(error)))
    own = file.resolve().as_uri()
    known = (own, "data:", "blob:")
    page.on("request", lambda asked: asked.url.startswith(known) or seen.network_requests.append(asked.url))
    page.goto(own + (f"#{view}" if view else ""))
    try:
        yield page
    finally:
        page.close()


def opening(browser: Browser, file: Path, view: str, what: str) -> tuple[float, float]:
    """Seconds by the clock and of the page's main thread until an element is there."""
    page = browser.new_page(**VIEWPORTS["desktop"])
    page.set_default_timeout(2 * DRAWN_MS)
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    begin = time.perf_counter()
    page.goto(file.resolve().as_uri() + (f"#{view}" if view else ""))
    page.wait_for_selector(what)
    seconds = time.perf_counter() - begin
    metrics = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
    page.close()
    return seconds, metrics["TaskDuration"]


def visit(
    page: Page, seen: Seen, shots: Path | None = None, axe: str | None = None, rules: Sequence[str] = ()
) -> list[str]:
    """Go through every view by its link: it is shown alone, drawn, not wider than the screen, and without grave faults."""
    views = page.eval_on_selector_all("nav a", "links => links.map(link => link.dataset.view)")
    for view in views:
        page.click(f"nav a[data-view={view}]")
        page.wait_for_selector(f"section#{view}:not([hidden])")  # the address changes, then the view
        visible = "all => all.filter(each => !each.hidden).map(each => each.id)"
        shown = page.eval_on_selector_all("section.view", visible)
        seen.expect(shown == [view], f"{view}: shown are {shown}")
        if page.query_selector(f"#{view} .chart"):
            page.wait_for_selector(f"#{view} .main-svg", timeout=DRAWN_MS)
            page.wait_for_timeout(300)
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        seen.expect(wide <= 0, f"{view}: {wide} pixels wider than the screen")
        seen.expect(not page.query_selector(f"#{view} .chart.failed"), f"{view}: a chart was not drawn")
        if axe:
            seen.axe += [f"{fault} in {view}" for fault in grave_faults(page, axe, rules)]
        if shots:
            shots.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=shots / f"{view}.png", full_page=True)
    return views


def grave_faults(page: Page, axe: str, rules: Sequence[str] = ()) -> list[str]:
    """What axe finds that is serious or critical in the view that is shown, by all rules or by some.

    What is inside a chart is left out: a chart is one image with a label, and has a table beside it.
    """
    page.evaluate(axe)
    some = {"exclude": [[".main-svg"]]}, {"runOnly": list(rules)} if rules else {}
    found = page.evaluate("([where, how]) => axe.run(where, how).then(found => found.violations)", list(some))
    return [
        f"{each['id']} ({each['impact']}): {each['nodes'][0]['html'][:120]}"
        for each in found
        if each["impact"] in GRAVE
    ]


def try_map(page: Page, seen: Seen) -> None:
    """The slider moves the picture, by mouse and by keyboard; pointing at a mark shows its passage; another plane is one."""
    page.click("nav a[data-view=map]")
    page.wait_for_selector("#map .main-svg", timeout=DRAWN_MS)
    page.wait_for_timeout(300)
    if page.query_selector("#map-round"):
        before, label = page.evaluate(WHERE), page.inner_text("#map-shown")
        page.focus("#map-round")
        page.keyboard.press("ArrowLeft")
        page.wait_for_timeout(500)
        seen.expect(page.inner_text("#map-shown") != label, "the slider does not change the round")
        page.keyboard.press("Home")
        page.wait_for_timeout(800)
        seen.expect(page.evaluate(WHERE) != before, "the slider does not move the picture")
        page.keyboard.press("End")
        page.wait_for_timeout(800)
        seen.expect(page.evaluate(WHERE) == before, "the slider does not come back")
    page.mouse.move(*page.evaluate(POINT))
    page.wait_for_timeout(400)
    told = page.inner_text("#map-tip") if page.is_visible("#map-tip") else ""
    seen.expect("membership" in told and len(told) > 60, f"pointing at a mark shows {told!r}")
    page.mouse.down()
    page.mouse.up()
    page.wait_for_timeout(300)
    seen.expect("membership" in page.inner_text("#map-chosen"), "a click does not keep the passage")
    page.mouse.move(5, 5)


def try_filters(page: Page, seen: Seen) -> None:
    """Every filter of what was written leaves only what it says."""
    page.click("nav a[data-view=written]")
    if not page.query_selector("#written-kind"):
        return
    every = _count(page)
    page.select_option("#written-kind", "base")
    texts = page.eval_on_selector_all("#written-list h4", "all => all.map(each => each.textContent)")
    seen.expect(texts and set(texts) == {"base model"}, "the filter of kinds lets others through")
    page.select_option("#written-kind", "all")
    seen.expect(_count(page) > every, "all kinds are not more than one")
    page.fill("#written-low", "0.6")
    shares = _shares(page)
    seen.expect(all(share >= 0.6 for share in shares), f"memberships from 0.6 on are {shares}")
    page.fill("#written-low", "0")
    page.select_option("#written-coherent", "false")
    metas = page.eval_on_selector_all("#written-list .meta", "all => all.map(each => each.textContent)")
    seen.expect(all("not coherent" in meta for meta in metas), "the filter lets coherent texts through")
    page.select_option("#written-coherent", "all")
    page.select_option("#written-round", index=1)
    rounds = {meta.split(" · ")[0] for meta in _metas(page)}
    seen.expect(len(rounds) == 1, "the filter of rounds lets others through")
    page.select_option("#written-round", "all")
    page.fill("#written-text", "zzzz nothing like this")
    seen.expect(_count(page) == 0, "a text that is nowhere is found")
    page.fill("#written-text", "")
    seen.expect(_count(page) > every, "the filters cannot be taken back")


def try_tables(page: Page, seen: Seen) -> None:
    """A table is sorted by its heading, and says so; the skip link leads to the content."""
    page.click("nav a[data-view=convergence]")
    page.click("#course-table thead button >> nth=1")
    cell = page.query_selector("#course-table th[aria-sort=descending]")
    seen.expect(cell, "a table does not say how it is sorted")
    page.reload()
    page.keyboard.press("Tab")
    active = page.evaluate("document.activeElement.className")
    seen.expect(active == "skip", "the first stop is not the skip link")
    page.keyboard.press("Enter")
    active = page.evaluate("document.activeElement.id")
    seen.expect(active == "main", "the skip link does not lead to the content")


def try_downloads(page: Page, seen: Seen) -> int:
    """Every chart can be saved as PNG and CSV; how many charts there are."""
    charts = 0
    for view in page.eval_on_selector_all("nav a", "links => links.map(link => link.dataset.view)"):
        page.click(f"nav a[data-view={view}]")
        page.wait_for_timeout(300)
        for figure in page.query_selector_all(f"#{view} figure"):
            figure.wait_for_selector(".main-svg", timeout=DRAWN_MS)
            charts += 1
            for name in ("PNG", "CSV"):
                with page.expect_download() as download:
                    figure.query_selector(f"button:text-is('{name}')").click()
                saved = Path(download.value.path()).read_bytes()
                right = saved.startswith(b"\x89PNG") if name == "PNG" else saved.count(b"\r\n") > 1
                seen.expect(right, f"{view}: {download.value.suggested_filename} is no {name}")
    return charts


def _count(page: Page) -> int:
    return int(page.inner_text("#written-count").split()[0])


def _metas(page: Page) -> list[str]:
    return page.eval_on_selector_all("#written-list .meta", "all => all.map(each => each.textContent)")


def _shares(page: Page) -> list[float]:
    parts = [part for meta in _metas(page) for part in meta.split(" · ")]
    return [float(part.split()[1]) for part in parts if part.startswith("membership")]


def measure(
    name: str, file: Path, make: Callable[[Path], object], browser: Browser, axe: str, shots: Path | None
) -> dict[str, Any]:
    """Make a page and open every view of it on a desk, in the dark and on a phone: a row."""
    begin, worked = time.perf_counter(), time.process_time()
    make(file)
    row: dict[str, Any] = {"method": name, "build_s": time.perf_counter() - begin}
    row["build_cpu_s"] = time.process_time() - worked
    row["load"], row["megabytes"] = os.getloadavg()[0], file.stat().st_size / 1e6
    row["open_s"], row["open_cpu_s"] = opening(browser, file, "", "h1")
    seen = Seen()
    for mode, rules in {"desktop": (), "dark": ("color-contrast",), "phone": None}.items():
        with open_page(browser, file, seen, mode) as page:
            pictures = shots and shots / name.replace(" ", "-") / mode
            visit(page, seen, pictures, "" if rules is None else axe, rules or ())
            seen.expect(page.title() != "owned", "a text of the corpus ran")
            if mode == "desktop" and page.query_selector("nav a[data-view=map]"):
                row["map_drawn_s"], row["map_drawn_cpu_s"] = opening(browser, file, "map", "#map .main-svg")
                try_map(page, seen)
                try_filters(page, seen)
                try_tables(page, seen)
                row["charts_saved"] = try_downloads(page, seen) if name not in SCENES else None
    for each in (*seen.console_errors, *seen.network_requests, *seen.axe, *seen.faults):
        print(f"{name}: {each}", file=sys.stderr)
    row |= {"console_errors": len(seen.console_errors), "network_requests": len(seen.network_requests)}
    return row | {"axe_serious": len(seen.axe), "faults": len(seen.faults)}


@contextmanager
def own_cache(folder: Path) -> Iterator[None]:
    """A cache for planted runs, with the bundle for charts in it."""
    bundle = plotly_bundle.PLOTLY.path
    with patch.dict(os.environ, BASIN_CACHE=str(folder / "cache")):
        if bundle.exists() and not plotly_bundle.PLOTLY.path.exists():
            plotly_bundle.PLOTLY.path.parent.mkdir(parents=True)
            shutil.copy(bundle, plotly_bundle.PLOTLY.path)
        yield


def main(
    run: Annotated[list[str] | None, typer.Argument(help="Stored runs, by name or folder.")] = None,
    shots: Annotated[Path | None, typer.Option(help="Folder for pictures of every view.")] = None,
) -> None:
    """Make the pages, open them and write results/report.json."""
    if not browser_path():
        raise SystemExit("Error: there is no Chromium here; install one (`apt-get install chromium`).")
    try:
        stores = [RunStore.open(find_run(name)) for name in run or ()]
        axe = fetch(AXE).read_text(encoding="utf-8")
    except BasinError as error:
        raise SystemExit(f"Error: {error}") from None
    plotly_bundle.obtain()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch, open_browser() as browser:
        folder = Path(scratch)
        with own_cache(folder):
            for name, scene in SCENES.items():
                make = partial(make_report, plant(folder / name, scene))
                rows.append(measure(name, folder / f"{name}.html", make, browser, axe, shots))
        pages: dict[str, Callable[[Path], object]] = {}
        for store in stores:
            pages[store.name] = partial(make_report, store)
            pages[f"topics of {store.name}"] = lambda file, store=store: write_topics(
                view_run(store, TopicOptions()), file
            )
        for name, make in pages.items():
            rows.append(measure(name, folder / f"{name}.html", make, browser, axe, shots))
    write_results("report", rows, ["python", "-m", "benchmarks.report", *sys.argv[1:]])
    for row in rows:
        print(", ".join(f"{key} {value}" for key, value in row.items()))


if __name__ == "__main__":
    typer.run(main)
