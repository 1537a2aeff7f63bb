"""How a run went, round by round: the numbers of convergence with their limits, costs, guards that fired, provenance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from agent.concept import MEMBER
from loops.config import RunConfig
from loops.records import RoundRecord
from loops.report.run_page.material import Material

Metrics = Mapping[str, Any]


def course_data(material: Material) -> dict[str, Any]:
    """Series by round, each with the limits that are drawn in."""
    tracking, records = material.config.tracking, material.records
    base = material.first.metrics.get("base_coherence")
    return {
        "rounds": [record.round for record in records],
        "series": {
            **{
                name: [record.metrics.get(name) for record in records]
                for name in (
                    *("drift", "contraction", "size", "members", "agreement", "base_agreement"),
                    *(
                        "degenerate_agreement",
                        "coherence",
                        "repetitive",
                        "loss",
                        "pointer_kept",
                        "redundancy",
                    ),
                    *("redundancy_share", "mediation", "nats_per_token"),
                )
            },
            "accepted": [_accepted(record, "steered") for record in records],
            "base_accepted": [_accepted(record, "base") for record in records],
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
        "costs": [{**record.cost} for record in records],
    }


def _accepted(record: RoundRecord, kind: str) -> float | None:
    """Share of a kind of generated passages that belongs."""
    belongs = [each.membership >= MEMBER for each in record.generated if each.kind == kind]
    return float(np.mean(belongs)) if belongs else None


def guards(material: Material) -> list[dict[str, Any]]:
    """What is watched, its limit, the worst value of all rounds, and where it was passed."""
    config, first = material.config, material.first.metrics
    base = first.get("base_coherence")
    of_rounds: list[tuple[str, str, Callable[[Metrics], Any], Callable[[float], bool], Callable]] = [
        ("size, at least", f"{config.tracking.minimum_size:.2f}", lambda of: of.get("size"),
         lambda value: value < config.tracking.minimum_size, min),
        ("size, at most", f"{config.tracking.maximum_size:.2f}", lambda of: of.get("size"),
         lambda value: value > config.tracking.maximum_size, max),
        ("readable, as a share of the base model's", f"at least {config.tracking.minimum_coherence:.2f}",
         lambda of: None if of.get("coherence") is None or not base else of["coherence"] / base,
         lambda value: value < config.tracking.minimum_coherence, min),
        ("passages that repeat themselves", f"at most {config.tracking.maximum_repetitive:.2f}",
         lambda of: of.get("repetitive"), lambda value: value > config.tracking.maximum_repetitive, max),
        ("of the topic's surest still inside", f"at least {config.certificate.kept:.2f}",
         lambda of: of.get("pointer_kept"), lambda value: value < config.certificate.kept, min),
    ]  # fmt: skip
    rows = [_pointed(config, first)]
    for name, limit, read, passed, worst in of_rounds:
        values = {
            record.round: float(value)
            for record in material.records
            if (value := read(record.metrics)) is not None
        }
        fired = [number for number, value in values.items() if passed(value)]
        rows.append(
            {
                "guard": name,
                "limit": limit,
                "worst": worst(values.values()) if values else None,
                "fired": ", ".join(f"round {number}" for number in fired)
                or ("no" if values else "not measured"),
            }
        )
    return rows


def _pointed(config: RunConfig, first: Metrics) -> dict[str, Any]:
    nothing = first.get("no_concept")
    return {
        "guard": "the pointer points at something (deviations above shuffled pointers)",
        "limit": f"at least {config.clustering.min_z_score:.2f}",
        "worst": first.get("z_score"),
        "fired": f"round 0: {nothing}" if nothing else "no",
    }


def provenance(material: Material) -> list[tuple[str, str]]:
    """What the run was made with, as names and values."""
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
        ("set on top of it", ", ".join(map(str, about.get("overrides") or [])) or "nothing"),
        ("format", str(about.get("schema"))),
    ]
    if origin := about.get("origin"):
        rows.append(("received from", str(origin.get("sentence") or origin)))
    rows += [
        (f"version of {name}", str(version)) for name, version in dict(about.get("versions") or {}).items()
    ]
    return rows


def settings(config: RunConfig) -> list[dict[str, Any]]:
    """Every setting with its value, and the default where that is another."""
    bare = RunConfig.model_validate({"corpus": {"source": config.corpus.source}})
    usual = dict(_flat(bare.model_dump(mode="json"), ""))
    return [
        {
            "setting": name,
            "value": _shown(value),
            "default": "the same" if usual.get(name) == value else _shown(usual.get(name)),
        }
        for name, value in _flat(config.model_dump(mode="json"), "")
    ]


def _flat(tree: Mapping[str, Any], prefix: str) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in tree.items():
        path = f"{prefix}.{name}".lstrip(".")
        found += _flat(value, path) if isinstance(value, Mapping) and value else [(path, value)]
    return found


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value)
