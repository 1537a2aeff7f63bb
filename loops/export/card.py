"""The card of an export: how the concept was made, its measurements, certificate and limits.

`card.md` is its text. Everything comes from the stored run; the card states which measurements are
missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined

from agent.errors import escaped
from agent.files.checked import DamagedError
from loops.evaluation.stored_measures import read_rows
from loops.export.subject import Export

METRICS = {
    "size": "share of the corpus that belongs",
    "drift": "change of the memberships in this round (0: none)",
    "agreement": "mean membership of this round's generated passages",
    "base_agreement": "mean membership of the base model's passages",
    "coherence": "share of generated passages that read as well as real text",
    "redundancy_share": "share of it that half a document conveys",
    "nats_per_token": "distance from the base model, in nats per token",
}
GOLD_METRICS = {
    "ap_topic": "topic, passage alone",
    "ap_concept": "this concept, passage alone",
    "ap_ceiling": "classifier trained on gold labels, passage alone",
    "ap_topic_pooled": "topic, with its document",
    "ap_concept_pooled": "this concept, with its document",
    "ap_ceiling_pooled": "classifier trained on gold labels, with its document",
}
HUB = {
    "smollm2-135m": ("HuggingFaceTB/SmolLM2-135M-Instruct", "apache-2.0"),
    "gemma3-270m": ("google/gemma-3-270m", "gemma"),
}
"""The hub's names of embedded models and of their licences."""


def model_card(export: Export, kind: str, notes: Sequence[str]) -> str:
    """Markdown with the front matter that the hub reads.

    Args:
        kind: `model`, `adapter` or `dataset`.
        notes: sentences on what the format leaves out.
    """
    store = export.store
    certificate = store.load_certificate()
    certified = certificate is not None and certificate["round"] == export.round
    try:
        rows = [row for row in read_rows(store.path)[1] if row["round"] == export.round]
    except DamagedError:
        rows = []
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    template = environment.from_string((files("loops.export") / "card.md").read_text(encoding="utf-8"))
    return template.render(
        export=export,
        kind=kind,
        notes=notes,
        about={"commit": None, **store.about},
        config=store.config,
        front=_front_matter(export, kind),
        source=escaped(Path(store.config.corpus.source).name),
        certificate=escaped(str(certificate["sentence"])) if certificate and certified else None,
        metrics={meaning: export.record.metrics.get(name) for name, meaning in METRICS.items()},
        measured=[
            (escaped(str(row["concept"])), {text: row.get(name) for name, text in GOLD_METRICS.items()})
            for row in rows
        ],
        table=_table,
    )


def _front_matter(export: Export, kind: str) -> str:
    """The card's YAML header: tags, task, base model and licence."""
    if kind == "dataset":
        tree: dict[str, Any] = {"task_categories": ["text-classification"], "pretty_name": export.store.name}
    else:
        base, licence = HUB.get(export.base_name, (None, None))
        library = "transformers" if kind == "model" else "peft"
        tree = {"pipeline_tag": "text-generation", "library_name": library}
        if base or export.model_name == export.base_name:  # a local folder means nothing elsewhere
            tree["base_model"] = base or export.base_name
        if licence:
            tree["license"] = licence
    return yaml.safe_dump({"tags": ["basin", "concept"], **tree}, sort_keys=False)


def _table(title: str, values: Mapping[str, Any]) -> str:
    rows = [f"| {name} | {value:.3g} |" for name, value in values.items() if isinstance(value, int | float)]
    return "\n".join([f"| {title} | value |", "| --- | ---: |", *rows])
