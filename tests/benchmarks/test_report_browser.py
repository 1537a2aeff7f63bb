"""Pages in a real browser, where there is one: nothing is said or asked for, and the controls do what they say."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from benchmarks.report_browser import (
    Seen,
    browser_path,
    open_browser,
    open_page,
    try_filters,
    try_map,
    try_tables,
    visit,
)
from benchmarks.report_planted import Scene, plant
from loops.report.make import make_report

pytestmark = [
    pytest.mark.skipif(browser_path() is None, reason="no Chromium is installed"),
    pytest.mark.skipif(importlib.util.find_spec("playwright") is None, reason="Playwright is not installed"),
]


@pytest.fixture
def page_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """The page of a planted scene, with the Plotly that is installed: no network."""
    monkeypatch.setenv("BASIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("loops.report.page.obtain", lambda progress=None: False)
    store = plant(tmp_path / "run", request.param)
    return make_report(store, None, False, lambda text: None).path


@pytest.mark.parametrize(
    "page_file", [Scene(3), Scene(2, hostile=True)], ids=["calm", "hostile"], indirect=True
)
def test_a_page_works_in_a_browser(page_file: Path) -> None:
    seen = Seen()
    with open_browser() as browser, open_page(browser, page_file, seen) as page:
        views = visit(page, seen)
        try_map(page, seen)
        try_filters(page, seen)
        try_tables(page, seen)
        seen.expect(page.title() != "owned", "a text of the corpus ran")
    assert len(views) == 8
    assert (seen.console_errors, seen.network_requests, seen.faults) == ([], [], [])


@pytest.mark.parametrize("page_file", [Scene(0)], ids=["round 0"], indirect=True)
def test_a_run_of_round_0_opens_on_a_phone(page_file: Path) -> None:
    seen = Seen()
    with open_browser() as browser, open_page(browser, page_file, seen, "phone") as page:
        visit(page, seen)
    assert (seen.console_errors, seen.network_requests, seen.faults) == ([], [], [])


@pytest.mark.parametrize("page_file", [Scene(1)], ids=["broken"], indirect=True)
def test_the_checks_notice_a_page_that_asks_for_something(page_file: Path) -> None:
    spoiled = page_file.read_bytes().replace(
        b"<main", b'<img src="https://example.org/x.png" onerror="x()"><main', 1
    )
    page_file.write_bytes(spoiled)
    seen = Seen()
    with open_browser() as browser, open_page(browser, page_file, seen) as page:
        page.wait_for_timeout(300)
    assert seen.console_errors, "the policy refuses both, and says so"
