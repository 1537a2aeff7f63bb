"""Put together the page of a run: its views, their data and their scripts."""

from __future__ import annotations

from typing import Any

from loops.report.page import Page, View, fill
from loops.report.run_page.course import course_data, provenance, settings
from loops.report.run_page.material import Material
from loops.report.run_page.passages import (
    disagreements,
    exchange_data,
    passages_data,
    responsibility_data,
    shown_whole,
    written_data,
)
from loops.report.run_page.plane import PlacedPlane, map_data
from loops.report.run_page.summary import Summary

SCRIPTS = ("run.js", "run_map.js", "run_course.js", "run_passages.js", "run_written.js", "run_about.js")
VIEWS = {
    "overview": "Overview",
    "map": "Map",
    "convergence": "Convergence",
    "changes": "Changes",
    "disagreements": "Pointer vs concept",
    "written": "Generated passages",
    "about": "Run",
}


def run_page(material: Material, placed: PlacedPlane | None) -> Page:
    """The page of a run; `placed` is the plane of the activations, if there is one."""
    summary, (verdict, _) = Summary(material), material.outcome
    context = {
        "summary": summary,
        "material": material,
        "has_map": placed is not None,
        "provenance": provenance(material),
    }
    views = [View(name, title, fill(f"run_{name}.html", **context)) for name, title in VIEWS.items()]
    if material.measurements:
        views.append(View("gold", "Gold labels", fill("run_gold.html", **context), apart=True))
    return Page(
        title=f"{material.name}: {verdict.lower()}",
        views=views,
        lead=fill("run_lead.html", **context),
        data=_data(material, placed),
        scripts=(*SCRIPTS, *(["run_gold.js"] if material.measurements else [])),
        styles=("run.css",),
        foot=f"Made by Basin from the stored rounds of {material.name}, up to round "
        f"{material.newest.round}. This file contains texts of the corpus and needs no network.",
    )


def _data(material: Material, placed: PlacedPlane | None) -> dict[str, Any]:
    sides = disagreements(material)
    return {
        "name": material.name,
        "rounds": [record.round for record in material.records],
        "passages": passages_data(material, shown_whole(material)),
        "map": None if placed is None else map_data(material, placed),
        "exchange": exchange_data(material),
        "disagreements": sides,
        "responsibilities": responsibility_data(material, sorted({*sides["refused"], *sides["taken"]})),
        "written": written_data(material),
        "course": course_data(material),
        "settings": settings(material.config),
        "gold": material.measurements and {"rows": material.measurements["rows"]},
    }
