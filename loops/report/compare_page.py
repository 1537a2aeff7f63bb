"""Write a comparison of runs as an HTML page."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from loops.report import page
from loops.report.compare import CURVES, GOLD, Comparison, Pair, Side
from loops.report.page import Page, View, fill, write


def write_comparison(found: Comparison, path: Path) -> int:
    """Write the page and return its size in bytes. Raises `BasinError` if it cannot be written."""
    page.obtain()
    return write(comparison_page(found), path)


def comparison_page(found: Comparison) -> Page:
    """The page; stored measurements against gold labels get a separate view."""
    data = comparison_data(found)
    views = [
        View("sides", "Overview", fill("compare_sides.html", found=found)),
        View("curves", "Curves", fill("compare_curves.html")),
        View("apart", "Memberships", fill("compare_apart.html")),
        View("settings", "Settings", fill("compare_settings.html", differences=found.differences)),
        View("cost", "Cost", fill("compare_cost.html")),
    ]
    if data["gold"]:
        views.append(View("gold", "Gold labels", fill("compare_gold.html"), apart=True))
    names = [side.name for side in found.sides]
    return Page(
        title=f"{', '.join(names)} compared",
        views=views,
        lead=fill("compare_lead.html", names=names, notes=found.notes),
        data=data,
        scripts=("compare.js",),
        styles=("compare.css",),
        foot="Made by Basin from stored rounds. This file contains texts of the corpus and needs no network.",
    )


def comparison_data(found: Comparison) -> dict[str, Any]:
    """The data of the page's charts and tables."""
    return {
        "names": [side.name for side in found.sides],
        "sides": [_side(side) for side in found.sides],
        "curves": {name: [side.curve(name) for side in found.sides] for name in CURVES},
        "bounds": [side.store.config.tracking.drift_bound for side in found.sides],
        "pairs": [_pair(found, pair) for pair in found.pairs],
        "differences": [{"setting": name, "values": values} for name, values in found.differences.items()],
        "costs": [side.cost for side in found.sides],
        "gold": [
            {"run": side.name, "concept": row["concept"]}
            | {title: row.get(key) for title, key in GOLD.items()}
            for side in found.sides
            for row in side.gold
        ],
    }


def _side(side: Side) -> dict[str, Any]:
    certificate = side.certificate
    return {
        "name": side.name,
        "round": side.record.round,
        **{name: side.curve(name)[-1] for name in CURVES},
        "members": len(side.record.concept.members()),
        "passages": len(side.membership),
        "certified": None if certificate is None else "yes" if certificate["certified"] else "no",
        "minutes": sum(record.seconds for record in side.records) / 60,
        "peak_gb": side.cost.get("peak_gb"),
    }


def _pair(found: Comparison, pair: Pair) -> dict[str, Any]:
    one, other = found.sides[pair.first], found.sides[pair.second]
    return asdict(pair) | {
        "only_first": [_passage(one, *each) for each in pair.only_first],
        "only_second": [_passage(other, *each) for each in pair.only_second],
    }


def _passage(side: Side, at: int, first: float, second: float) -> dict[str, Any]:
    passage = side.passages.passages[at]
    document = side.passages.documents[passage.document]
    title = (document.title or document.id) + (f", {document.author}" if document.author else "")
    return {"title": title, "text": passage.text, "first": first, "second": second}
