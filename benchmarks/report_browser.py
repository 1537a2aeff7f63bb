"""A page in a real browser: what it says to the console and asks of the network, and whether its controls do what they say."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.hub.pinned_packages import PackageFile, fetch

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

AXE = PackageFile(
    "npm",
    "axe-core",
    "4.14.1",
    "package/axe.min.js",
    "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c",
)
"""Deque's checks of accessibility, by the rules of WCAG 2.2 A and AA and their best practices."""
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
    page.on(
        "request",
        lambda asked: (
            asked.url.split("#")[0] != own
            and not asked.url.startswith(("data:", "blob:"))
            and seen.network_requests.append(asked.url)
        ),
    )
    page.goto(own + (f"#{view}" if view else ""))
    try:
        yield page
    finally:
        page.close()


@dataclass(frozen=True)
class Opening:
    """How long a page takes until something can be seen."""

    seconds: float
    cpu_seconds: float
    """Of the page's main thread: what it would take on a machine that has nothing else to do, about."""


def opening(browser: Browser, file: Path, view: str, what: str) -> Opening:
    """Open a page at a view, until an element is there."""
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
    return Opening(seconds, metrics["TaskDuration"])


def visit(
    page: Page, seen: Seen, shots: Path | None = None, axe: str | None = None, rules: Sequence[str] = ()
) -> list[str]:
    """Go through every view by its link: it is shown alone, drawn, not wider than the screen, and without grave faults."""
    views = page.eval_on_selector_all("nav a", "links => links.map(link => link.dataset.view)")
    for view in views:
        page.click(f"nav a[data-view={view}]")
        page.wait_for_selector(f"section#{view}:not([hidden])")  # the address changes, then the view
        shown = page.eval_on_selector_all(
            "section.view", "all => all.filter(each => !each.hidden).map(each => each.id)"
        )
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
    seen.expect(
        all("not coherent" in meta for meta in metas), "the filter of coherent texts lets others through"
    )
    page.select_option("#written-coherent", "all")
    page.select_option("#written-round", index=1)
    seen.expect(
        len({meta.split(" · ")[0] for meta in _metas(page)}) == 1, "the filter of rounds lets others through"
    )
    page.select_option("#written-round", "all")
    page.fill("#written-text", "zzzz nothing like this")
    seen.expect(_count(page) == 0, "a text that is nowhere is found")
    page.fill("#written-text", "")
    seen.expect(_count(page) > every, "the filters cannot be taken back")


def try_tables(page: Page, seen: Seen) -> None:
    """A table is sorted by its heading, and says so; the skip link leads to the content."""
    page.click("nav a[data-view=convergence]")
    page.click("#course-table thead button >> nth=1")
    cell = page.query_selector("#course-table th[aria-sort]")
    seen.expect(
        cell and cell.get_attribute("aria-sort") == "descending", "a table does not say how it is sorted"
    )
    page.reload()
    page.keyboard.press("Tab")
    seen.expect(
        page.evaluate("document.activeElement.className") == "skip", "the first stop is not the skip link"
    )
    page.keyboard.press("Enter")
    seen.expect(
        page.evaluate("document.activeElement.id") == "main", "the skip link does not lead to the content"
    )


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


def axe_script() -> str:
    """The checks' source, fetched once."""
    return fetch(AXE).read_text(encoding="utf-8")


def _count(page: Page) -> int:
    return int(page.inner_text("#written-count").split()[0])


def _metas(page: Page) -> list[str]:
    return page.eval_on_selector_all("#written-list .meta", "all => all.map(each => each.textContent)")


def _shares(page: Page) -> list[float]:
    return [
        float(part.split()[1])
        for meta in _metas(page)
        for part in meta.split(" · ")
        if part.startswith("membership")
    ]


def as_row(seen: Seen) -> dict[str, Any]:
    """The numbers of a page."""
    return {
        "console_errors": len(seen.console_errors),
        "network_requests": len(seen.network_requests),
        "axe_serious": len(seen.axe),
        "faults": len(seen.faults),
    }
