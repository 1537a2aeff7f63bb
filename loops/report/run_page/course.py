"""Per-round series with their limits, provenance and settings for the page of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loops.config import RunConfig
from loops.report.run_page.material import Material, metric

SERIES = (
    *("drift", "contraction", "size", "members", "agreement", "base_agreement", "degenerate_agreement"),
    *("coherence", "repetitive", "loss", "redundancy", "redundancy_share", "mediation"),
    "nats_per_token",
)


def course_data(material: Material) -> dict[str, Any]:
    """Series by round, each with the limits that the charts draw."""
    tracking, records = material.config.tracking, material.records
    base = metric(material.first, "base_coherence")
    return {
        "rounds": [record.round for record in records],
        "series": {
            **{name: [record.metrics.get(name) for record in records] for name in SERIES},
            "base_coherence": [base for _ in records],
        },
        "limits": {
            "drift": tracking.drift_bound,
            "patience": tracking.patience,
            "minimum_rounds": tracking.minimum_rounds,
            "smallest": tracking.minimum_size,
            "largest": tracking.maximum_size,
            "coherence": None if base is None else tracking.minimum_coherence * base,
        },
        "costs": [dict(record.cost) for record in records],
    }


def provenance(material: Material) -> list[tuple[str, str]]:
    """Names and values of everything the run was made with."""
    about, config = material.about, material.config
    rows = [
        ("name", material.name),
        ("begun", str(about.get("created", "unknown"))),
        ("corpus", config.corpus.source),
        ("texts", material.passages.description),
        ("language model", config.language_model.name),
        ("trust in the pointer", str(config.clustering.trust)),
        ("code", str(about.get("commit") or "not from a git checkout")),
        ("configuration file", str(about.get("config_file") or "none")),
        ("overrides", ", ".join(map(str, about.get("overrides") or [])) or "none"),
    ]
    if origin := about.get("origin"):
        rows.append(("received from", str(origin.get("sentence") or origin)))
    versions = dict(about.get("versions") or {})
    return rows + [(f"version of {name}", str(version)) for name, version in versions.items()]


def settings(config: RunConfig) -> list[dict[str, Any]]:
    """Every setting with its value and its default; `the same` if they agree."""
    bare = RunConfig.model_validate({"corpus": {"source": config.corpus.source}})
    defaults = dict(flatten(bare.model_dump(mode="json")))
    return [
        {
            "setting": name,
            "value": _as_text(value),
            "default": "the same" if defaults.get(name) == value else _as_text(defaults.get(name)),
        }
        for name, value in flatten(config.model_dump(mode="json"))
    ]


def flatten(tree: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Leaves of nested mappings with their dotted names."""
    found: list[tuple[str, Any]] = []
    for name, value in tree.items():
        path = f"{prefix}.{name}".lstrip(".")
        found += flatten(value, path) if isinstance(value, Mapping) and value else [(path, value)]
    return found


def _as_text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)
