"""Report pages in a real browser: no errors, no requests, working controls, no serious fault of accessibility."""

import importlib.util
from pathlib import Path

import pytest
from planted_scene import Scene, plant

from agent.hub.pinned_packages import fetch, verify
from benchmarks.report import (
    AXE,
    Seen,
    browser_path,
    open_browser,
    open_page,
    try_filters,
    try_map,
    try_tables,
    visit,
)
from loops.report.make import make_report

pytestmark = [
    pytest.mark.skipif(browser_path() is None, reason="no Chromium is installed"),
    pytest.mark.skipif(importlib.util.find_spec("playwright") is None, reason="Playwright is not installed"),
]
CACHED_AXE = fetch(AXE).read_text(encoding="utf-8") if verify(AXE) == "cached" else ""
"""Fetched once by `python -m benchmarks.report`; tests use no network."""


@pytest.fixture
def page_file(tmp_path, monkeypatch, request) -> Path:
    """The page of a planted scene, with the installed Plotly."""
    monkeypatch.setenv("BASIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("loops.report.page.obtain", lambda: False)
    return make_report(plant(tmp_path / "run", request.param)).path


@pytest.mark.parametrize(
    "page_file", [Scene(3), Scene(2, hostile=True)], ids=["calm", "hostile"], indirect=True
)
def test_a_page_works_in_a_browser(page_file):
    seen = Seen()
    with open_browser() as browser, open_page(browser, page_file, seen) as page:
        views = visit(page, seen, axe=CACHED_AXE)
        try_map(page, seen)
        try_filters(page, seen)
        try_tables(page, seen)
        seen.expect(page.title() != "owned", "a text of the corpus ran")
    assert len(views) == 7
    assert (seen.console_errors, seen.network_requests, seen.axe, seen.faults) == ([], [], [], [])


@pytest.mark.parametrize("page_file", [Scene(0)], ids=["round 0"], indirect=True)
def test_a_run_of_round_0_opens_on_a_phone(page_file):
    seen = Seen()
    with open_browser() as browser, open_page(browser, page_file, seen, "phone") as page:
        visit(page, seen)
    assert (seen.console_errors, seen.network_requests, seen.faults) == ([], [], [])
