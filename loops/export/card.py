"""The card of an export: how the concept was made, its measurements, certificate and limits.

Everything comes from the stored run; the card states which measurements are missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

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
USE = {
    "model": 'from transformers import pipeline\n\nwrite = pipeline("text-generation", model="FOLDER")\n'
    'print(write("It was late when", max_new_tokens=80)[0]["generated_text"])',
    "adapter": "from peft import PeftModel\n\nmodel = PeftModel.from_pretrained(base_model, FOLDER)",
    "dataset": 'from datasets import load_dataset\n\nrows = load_dataset("FOLDER", split="train")\n'
    'members = rows.filter(lambda row: row["membership"] >= 0.5)',
}
LIMITS = (
    "The concept is the cluster that the pointer selected, as this model represents it. It need not "
    "match its words: read passages before you rely on it.",
    "Membership of a single passage is far less certain than that of a whole document. Passages of "
    "other lengths, kinds or languages than the corpus were not tried.",
    "Generated text is as true and fluent as the language model, which for a small model is not much. "
    "The licences of model and corpus apply to this export.",
)


def model_card(export: Export, kind: str, notes: Sequence[str]) -> str:
    """Markdown with the front matter that the hub reads.

    Args:
        kind: `model`, `adapter` or `dataset`.
        notes: sentences on what the format leaves out.
    """
    parts = [
        front_matter(export, kind),
        f"# {export.store.name}: {', '.join(export.words[:3])}",
        _description(export),
        f"```python\n{USE[kind]}\n```",
        "## Measurements",
        *_measurements(export),
        "## Certificate",
        _certificate(export),
        "## Limits",
        "\n".join(f"- {sentence}" for sentence in [*notes, *LIMITS]),
        "## How it was made",
        _provenance(export),
    ]
    return "\n\n".join(parts) + "\n"


def front_matter(export: Export, kind: str) -> str:
    """The card's YAML header: tags, task, base model and licence."""
    tree: dict[str, Any] = {"tags": ["basin", "concept"]}
    if kind == "dataset":
        tree |= {"task_categories": ["text-classification"], "pretty_name": export.store.name}
    else:
        base, licence = HUB.get(export.base_name, (None, None))
        tree["tags"].append("steering")
        tree |= {
            "pipeline_tag": "text-generation",
            "library_name": "transformers" if kind == "model" else "peft",
        }
        if base or export.model_name == export.base_name:  # a local folder means nothing elsewhere
            tree["base_model"] = base or export.base_name
        if licence:
            tree["license"] = licence
    return f"---\n{yaml.safe_dump(tree, sort_keys=False)}---"


def _description(export: Export) -> str:
    concept, source = export.concept, escaped(Path(export.store.config.corpus.source).name)
    way = export.store.config.pointer.way or "topic"
    return (
        f"A concept selected by a pointer, without a definition. It began with a pointer of the kind "
        f'`{way}` over passages of `{source}` (its words: "{" ".join(export.words)}"). '
        f"{export.model_name} refined it for {export.round} rounds, by re-clustering and steering. "
        f"{int(concept.inside.sum())} of {len(concept.membership)} passages belong. No label was used."
    )


def _measurements(export: Export) -> list[str]:
    metrics = export.record.metrics
    parts = [_table("without labels", {meaning: metrics.get(name) for name, meaning in METRICS.items()})]
    try:
        rows = [row for row in read_rows(export.store.path)[1] if row["round"] == export.round]
    except DamagedError:
        rows = []
    for row in rows:
        parts.append(
            f'Average precision against the label "{escaped(str(row["concept"]))}" of these documents. '
            "The run read the texts but never the label."
        )
        parts.append(_table("ranking by", {meaning: row.get(name) for name, meaning in GOLD_METRICS.items()}))
    return parts if rows else [*parts, "Nothing was measured against labels."]


def _certificate(export: Export) -> str:
    found = export.store.load_certificate()
    if found is None or found["round"] != export.round:
        return "This round has none: only a run's last round is certified."
    return escaped(str(found["sentence"]))


def _provenance(export: Export) -> str:
    about, config = export.store.about, export.store.config
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    commit = f", commit {about['commit']}" if about.get("commit") else ""
    return (
        f"Basin run `{export.store.name}`, begun {about['created']}{commit}; {versions}; seed {config.seed}, "
        f"re-clustering by {config.clustering.method}, steering by {config.updating.method}. "
        f"Strength {export.strength:g}."
    )


def _table(title: str, values: Mapping[str, Any]) -> str:
    rows = [f"| {name} | {value:.3g} |" for name, value in values.items() if isinstance(value, int | float)]
    return "\n".join([f"| {title} | value |", "| --- | ---: |", *rows])
