"""Per-round series with their limits, guards, provenance and settings for the page of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from agent.concept import MEMBER
from loops.config import RunConfig
from loops.records import RoundRecord
from loops.report.run_page.material import Material, metric

SERIES = (
    *("drift", "contraction", "size", "members", "agreement", "base_agreement", "degenerate_agreement"),
    *("coherence", "repetitive", "loss", "pointer_kept", "redundancy", "redundancy_share", "mediation"),
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
            "accepted": [_acceptance(record, "steered") for record in records],
            "base_accepted": [_acceptance(record, "base") for record in records],
            "base_coherence": [base for _ in records],
        },
        "limits": {
            "drift": tracking.drift_bound,
            "patience": tracking.patience,
            "minimum_rounds": tracking.minimum_rounds,
            "smallest": tracking.minimum_size,
            "largest": tracking.maximum_size,
            "coherence": None if base is None else tracking.minimum_coherence * base,
            "pointer_kept": material.config.certificate.kept,
        },
        "costs": [dict(record.cost) for record in records],
    }


def _acceptance(record: RoundRecord, kind: str) -> float | None:
    """Share of a kind of generated passages that belongs."""
    belongs = [each.membership >= MEMBER for each in record.generated if each.kind == kind]
    return float(np.mean(belongs)) if belongs else None


def guards(material: Material) -> list[dict[str, Any]]:
    """A row per guard: its limit, the worst value of all rounds, and the rounds that violated it."""
    config, first = material.config, material.first.metrics
    tracking, records = config.tracking, material.records
    base = metric(material.first, "base_coherence")
    coherence = _values(records, "coherence")
    relative = [(number, value / base) for number, value in coherence] if base else []
    nothing = first.get("no_concept")
    return [
        {
            "guard": "z-score of the pointer against shuffled pointers",
            "limit": f"at least {config.clustering.min_z_score:.2f}",
            "worst": first.get("z_score"),
            "fired": f"round 0: {nothing}" if nothing else "no",
        },
        _guard("size, lower limit", tracking.minimum_size, min, _values(records, "size")),
        _guard("size, upper limit", tracking.maximum_size, max, _values(records, "size")),
        _guard("coherence relative to the base model", tracking.minimum_coherence, min, relative),
        _guard(
            "share of repetitive passages", tracking.maximum_repetitive, max, _values(records, "repetitive")
        ),
        _guard(
            "share of the topic's strongest passages that stay inside",
            config.certificate.kept,
            min,
            _values(records, "pointer_kept"),
        ),
    ]


def _values(records: Sequence[RoundRecord], name: str) -> list[tuple[int, float]]:
    found = ((record.round, metric(record, name)) for record in records)
    return [(number, value) for number, value in found if value is not None]


def _guard(
    name: str, limit: float, worst: Callable[[list[float]], float], values: Sequence[tuple[int, float]]
) -> dict[str, Any]:
    """A row of `guards`; `worst` is `min` for a lower limit and `max` for an upper one."""
    fired = [number for number, value in values if value != limit and worst([value, limit]) == value]
    rounds = ", ".join(f"round {number}" for number in fired)
    return {
        "guard": name,
        "limit": f"at {'least' if worst is min else 'most'} {limit:.2f}",
        "worst": worst([value for _, value in values]) if values else None,
        "fired": rounds or ("no" if values else "not measured"),
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
        ("re-clustering", config.clustering.method),
        ("code", str(about.get("commit") or "not from a git checkout")),
        ("configuration file", str(about.get("config_file") or "none")),
        ("overrides", ", ".join(map(str, about.get("overrides") or [])) or "none"),
        ("format", str(about.get("schema"))),
    ]
    if origin := about.get("origin"):
        rows.append(("received from", str(origin.get("sentence") or origin)))
    versions = dict(about.get("versions") or {})
    return rows + [(f"version of {name}", str(version)) for name, version in versions.items()]


def settings(config: RunConfig) -> list[dict[str, Any]]:
    """Every setting with its value and its default; `the same` if they agree."""
    bare = RunConfig.model_validate({"corpus": {"source": config.corpus.source}})
    defaults = dict(_flatten(bare.model_dump(mode="json"), ""))
    return [
        {
            "setting": name,
            "value": _as_text(value),
            "default": "the same" if defaults.get(name) == value else _as_text(defaults.get(name)),
        }
        for name, value in _flatten(config.model_dump(mode="json"), "")
    ]


def _flatten(tree: Mapping[str, Any], prefix: str) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in tree.items():
        path = f"{prefix}.{name}".lstrip(".")
        found += _flatten(value, path) if isinstance(value, Mapping) and value else [(path, value)]
    return found


def _as_text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)
