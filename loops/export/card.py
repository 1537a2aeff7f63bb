"""The card of an export: what the concept is, what was measured of it, what its certificate says, and what it is not good for.

Everything in it is read from the run; what was not measured is said to be so.
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

NUMBERS = {
    "size": "share of the corpus that belongs",
    "drift": "how far it moved in this round (0: still)",
    "agreement": "mean membership of what was written in this round, by the round before's vector or adapter",
    "base_agreement": "mean membership of what the base model writes",
    "coherence": "share of what was written in this round that reads as well as real text",
    "redundancy_share": "share of it that half a document tells",
    "nats_per_token": "distance that steering takes it from the model, in nats per token",
}
MEASURED = {
    "ap_topic": "the topic, passage alone",
    "ap_concept": "this concept, passage alone",
    "ap_ceiling": "a classifier trained on gold labels, passage alone",
    "ap_topic_pooled": "the topic, with its document",
    "ap_concept_pooled": "this concept, with its document",
    "ap_ceiling_pooled": "a classifier trained on gold labels, with its document",
}
HUB = {
    "smollm2-135m": ("HuggingFaceTB/SmolLM2-135M-Instruct", "apache-2.0"),
    "gemma3-270m": ("google/gemma-3-270m", "gemma"),
}
"""Embedded models as the hub names them, and its names for their licences."""
USE = {
    "model": 'from transformers import pipeline\n\nwrite = pipeline("text-generation", model="FOLDER")\n'
    'print(write("It was late when", max_new_tokens=80)[0]["generated_text"])',
    "adapter": "from peft import PeftModel\n\nmodel = PeftModel.from_pretrained(base_model, FOLDER)",
    "dataset": 'from datasets import load_dataset\n\nrows = load_dataset("FOLDER", split="train")\n'
    'members = rows.filter(lambda row: row["membership"] >= 0.5)',
    "file": "llama-cli -m MODEL.gguf --control-vector FILE.gguf",
}


def model_card(export: Export, kind: str, left_out: Sequence[str]) -> str:
    """Markdown with the front matter that the hub reads.

    Args:
        kind: `model`, `adapter`, `dataset` or `file`.
        left_out: sentences on what the format does not hold.
    """
    parts = [
        front_matter(export, kind),
        f"# {export.store.name}: {', '.join(_words(export)[:3])}",
        _what(export),
        f"```python\n{USE[kind]}\n```" if kind != "file" else f"```sh\n{USE[kind]}\n```",
        "## What was measured",
        *_measured(export),
        "## Certificate",
        _certificate(export),
        "## Limits",
        "\n".join(f"- {sentence}" for sentence in [*left_out, *_limits(export)]),
        "## How it was made",
        _made(export),
    ]
    return "\n\n".join(parts) + "\n"


def front_matter(export: Export, kind: str) -> str:
    tree: dict[str, Any] = {"tags": ["basin", "concept"]}
    if kind == "dataset":
        tree |= {"task_categories": ["text-classification"], "pretty_name": export.store.name}
    else:
        tree["pipeline_tag"] = "text-generation"
        base, licence = HUB.get(export.base_name, (None, None))
        if (
            base or export.model_name == export.base_name
        ):  # a folder of this machine is nobody's base model elsewhere
            tree["base_model"] = base or export.base_name
        tree["tags"].append("control-vector" if kind == "file" else "steering")
        if kind in ("model", "adapter"):
            tree["library_name"] = "transformers" if kind == "model" else "peft"
        if licence:
            tree["license"] = licence
    return f"---\n{yaml.safe_dump(tree, sort_keys=False)}---"


def _words(export: Export) -> list[str]:
    return export.pointer.model.top_words(export.pointer.topic)


def _what(export: Export) -> str:
    config, concept = export.store.config, export.concept
    inside = int(concept.inside.sum())
    return (
        f"A concept that was pointed at and not defined. It began with {_pointer(export)} over passages of "
        f"`{escaped(Path(config.corpus.source).name)}`, and was refined by reading and writing with "
        f"{export.model_name} for {export.round} rounds. {inside} of {len(concept.membership)} passages belong. "
        "No label was used."
    )


def _pointer(export: Export) -> str:
    """What pointed, and the words that it came down to."""
    config = export.store.config
    topics, way = config.topics, config.pointer.way
    given = ", ".join(topics.seed_words or topics.words or config.pointer.keywords)
    said = {
        "keywords": f"the keywords {given}",
        "examples": "example texts",
        "examples_file": "example texts",
        "document_weights": "weights of documents",
        "topic_model": "a topic that was fitted elsewhere",
    }
    if way is not None:
        what = said[way]
    elif topics.seed_words:
        what = f"a topic that was given the words {given}"
    else:
        what = f"a topic that was chosen{f' by the words {given}' if given else ''}"
    return f'{escaped(what)} (its words: "{" ".join(_words(export))}")'


def _measured(export: Export) -> list[str]:
    metrics = export.record.metrics
    rows = [
        (meaning, metrics[name])
        for name, meaning in NUMBERS.items()
        if isinstance(metrics.get(name), int | float)
    ]
    told = [_table(("without any label", "value"), rows)]
    gold = _gold(export)
    for row in gold:
        named = [(meaning, row[name]) for name, meaning in MEASURED.items() if row.get(name) is not None]
        label = escaped(str(row["concept"]))
        told.append(
            f'Average precision against the label "{label}" that somebody gave these documents. The run never saw it, but it '
            "did read the texts."
        )
        told.append(_table(("who ranks", "average precision"), named))
    if not gold:
        told.append("Nothing was measured against labels.")
    return told


def _gold(export: Export) -> list[Mapping[str, Any]]:
    try:
        _, rows = read_rows(export.store.path)
    except DamagedError:
        return []
    return [row for row in rows if row["round"] == export.round]


def _certificate(export: Export) -> str:
    found = export.store.load_certificate()
    if found is None or found["round"] != export.round:
        return "There is none of this round: only a run's last round has one."
    return escaped(str(found["sentence"]))


def _limits(export: Export) -> list[str]:
    return [
        "The concept is the cluster that the topic pointed at, as this model sees it. It need not be what its words "
        "suggest: read passages before you rely on it.",
        "Membership of a single passage is far less certain than that of a whole document; passages of other lengths, kinds or "
        "languages than the corpus were not tried.",
        "What it writes is as true and as fluent as its language model: of a small model, not much. Licences of the model and "
        "of the corpus hold for what is made of them.",
    ]


def _made(export: Export) -> str:
    about, config = export.store.about, export.store.config
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    commit = f", commit {about['commit']}" if about.get("commit") else ""
    return (
        f"Basin run `{export.store.name}`, begun {about['created']}{commit}; {versions}; seed {config.seed}, "
        f"re-clustering by {config.clustering.method}, steering by {config.updating.method}. Strength {export.strength:g}."
    )


def _table(header: tuple[str, str], rows: Sequence[tuple[str, Any]]) -> str:
    lines = [f"| {header[0]} | {header[1]} |", "| --- | ---: |"]
    return "\n".join([*lines, *(f"| {name} | {value:.3g} |" for name, value in rows)])
