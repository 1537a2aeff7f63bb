"""The page of a run, from its head to its last view."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from loops.report.page import Page, View, fill
from loops.report.run_page.course import course_data, guards, provenance, settings
from loops.report.run_page.kept import KeptPlane, readout_digest
from loops.report.run_page.material import Material
from loops.report.run_page.passages import (
    disagreements,
    exchange_data,
    opinion_data,
    passages_data,
    talked_about,
    written_data,
)
from loops.report.run_page.places import Written, as_data, pictures
from loops.report.run_page.summary import Lexicon, summarise

SCRIPTS = (
    "run.js",
    "run_map.js",
    "run_course.js",
    "run_passages.js",
    "run_written.js",
    "run_tokens.js",
    "run_about.js",
)
VIEWS = {
    "overview": "Overview",
    "map": "Map",
    "convergence": "Convergence",
    "changes": "Who changed",
    "disagreements": "Topic against concept",
    "written": "What it wrote",
    "tokens": "Word by word",
    "about": "The run",
}


def run_page(material: Material, kept: KeptPlane | None) -> Page:
    """The page; `kept` is the plane of the activations, where there is one."""
    written = Written(material)
    lexicon = Lexicon.of(material.passages, material.pointer.model.language)
    summary = summarise(material, lexicon)
    drawn = pictures(material, kept, written)
    context = {
        "summary": summary,
        "material": material,
        "planes": [picture.id for picture in drawn],
        "provenance": provenance(material),
        "stale_tokens": material.tokens is not None
        and material.tokens.digest != readout_digest(material.newest.concept.readout),
    }
    views = [View(name, title, fill(f"run_{name}.html", **context)) for name, title in VIEWS.items()]
    if material.measurements:
        views.append(View("gold", "Against gold", fill("run_gold.html", **context), apart=True))
    return Page(
        title=f"{material.name}: {summary.verdict.lower()}",
        views=views,
        lead=fill("run_lead.html", **context),
        data=_data(material, written, [as_data(picture, material) for picture in drawn]),
        scripts=(*SCRIPTS, *(["run_gold.js"] if material.measurements else [])),
        styles=("run.css",),
        foot=f"Made by Basin from the rounds of {material.name} alone, up to round {material.newest.round}. This file holds "
        "texts of the corpus; it loads nothing and sends nothing.",
    )


def _data(material: Material, written: Written, drawn: list[dict[str, Any]]) -> dict[str, Any]:
    sides = disagreements(material)
    return {
        "name": material.name,
        "rounds": [record.round for record in material.records],
        "passages": passages_data(material, talked_about(material)),
        "pictures": drawn,
        "exchange": exchange_data(material),
        "disagreements": sides,
        "opinions": opinion_data(material, sorted({*sides["refused"], *sides["taken"]})),
        "written": written_data(material, written),
        "course": course_data(material),
        "guards": guards(material),
        "settings": settings(material.config),
        "tokens": None if material.tokens is None else [asdict(each) for each in material.tokens.passages],
        "gold": material.measurements and {"rows": material.measurements["rows"]},
    }
