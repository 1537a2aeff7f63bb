"""Stitchings, matches and chains on the terminal: tables and sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from agent.errors import printable
from loops.monitor.tables import number, plain_table
from loops.transfer.stitch import Stitching
from loops.transfer.trials import NATIVE

CERTAIN = 2.0
"""Standard errors from which an effect is certain."""
CONTROL_LIMIT = 0.1
"""Share of the native effect that a control may reach."""
ADAPTER_STAYS = (
    "No map carries the round's adapter to another model; the results below are of its vector alone."
)

Row = Mapping[str, Any]


def show_stitch(found: Stitching, measured: Sequence[Row], folder: Path, console: Console) -> None:
    """Layers, table and evidence; with gold labels also the judges' ratios."""
    there = ", ".join(f"{layer} to {partner}" for layer, partner in found.stitches.partner.items())
    _print(
        f"\n{found.run}, round {found.round}: {found.first} to {found.second}, layers {there}; maps from "
        f"{found.stitches.tokens} tokens of general text, {found.nats:g} nats per token.",
        console,
    )
    table = plain_table("vector", "unexpl.", "cosine", "back", "ratio", "coherent")
    for row in (row for row in found.rows() if row["model"] == found.second):
        table.add_row(
            escape(row["vector"]),
            *(
                number(row.get(key), 2)
                for key in ("unexplained_variance", "cosine_native", "returned_cosine")
            ),
            _ratio(row),
            number(row["coherence"], 2),
        )
    console.print(table)
    if measured:
        concept = measured[0]["concept"]
        _print(f"\nBy judges trained on gold labels of {concept}, which no step above uses: ratio", console)
        table = plain_table("vector", "A embeddings", "B word n-grams", "both")
        for gold in measured:
            ratios = (
                _with_error(gold[f"ratio_{at}"], gold[f"ratio_{at}_error"]) for at in ("a", "b", "mean")
            )
            table.add_row(escape(gold["vector"]), *ratios)
        console.print(table)
    console.print()
    for sentence in evidence(found, found.rows()):
        _print(sentence, console)
    _print(f"\nStitch: {folder}", console)


def evidence(found: Stitching, rows: Sequence[Row]) -> list[str]:
    """One sentence for each part, then one for the controls."""
    own, native = (
        next(row for row in rows if row["model"] == model and row["vector"] == NATIVE)
        for model in (found.first, found.second)
    )
    sentences = [ADAPTER_STAYS] if found.left_behind else []
    sentences.append(
        f"(a) In {found.first} the vector {_works(own)}: it moves the text by {_effect(own)} of the way from other passages "
        f"to members, as {found.second} reads it."
    )
    if not _certain(native):
        return [
            *sentences,
            f"(b) In {found.second} not even the native vector has a certain effect ({_effect(native)}), so there is "
            "nothing to compare with.",
        ]
    first = next(row for row in rows if row["kind"] == "translated")
    sentences.append(
        f"(b) In {found.second} the translated vector ({first['vector']}) {_works(first)}: {_effect(first)}, as "
        f"{found.first} reads it, {_ratio(first)} of the native vector's effect. Neither vector was fitted, chosen or "
        f"calibrated on text by {found.second}."
    )
    controls = [row for row in rows if row["kind"] == "control" and row["behavioural_ratio"] is not None]
    return [*sentences, *_of_controls(controls)]


def _of_controls(controls: Sequence[Row]) -> list[str]:
    """Controls count as idle only where the largest is certainly small."""
    if not controls:
        return []
    if working := [
        row for row in controls if row["behavioural_ratio"] - (row["ratio_error"] or 0.0) > CONTROL_LIMIT
    ]:
        named = ", ".join(f"{row['vector']} ({_ratio(row)})" for row in working)
        return [f"But some controls work, too: {named}."]
    most = max(controls, key=lambda row: row["behavioural_ratio"])
    largest = f"{most['vector']}, {_ratio(most)} of the native effect."
    if max(row["behavioural_ratio"] + (row["ratio_error"] or 0.0) for row in controls) <= CONTROL_LIMIT:
        return [f"The controls do nothing: at most {largest}"]
    return [
        f"No control exceeds {CONTROL_LIMIT} by more than a standard error, but not all are certainly below; the largest "
        f"is {largest}"
    ]


def show_match(found: Row, file: Path, console: Console) -> None:
    """Clusters with their overlaps, what chance gives, and typical passages of both sides."""
    real, generated = found["real"], found["generated"]
    mass = f"half the mass on {real} real passages, half on {generated} generated ones"
    if not generated:
        mass = f"all the mass on {real} real passages, since nothing was generated"
    _print(f"\n{found['run']}, round {found['round']}, in {found['in']}: {mass}.", console)
    table = plain_table("cluster", "overlap", "on real", "on written")
    for each in found["clusters"]:
        overlaps = (each[f"soft_jaccard{part}"] for part in ("", "_real", "_generated"))
        name = " ".join([each["kind"], *map(str, each["components"])])
        table.add_row(name, *(number(overlap, 3) for overlap in overlaps))
    console.print(table)
    best = found["clusters"][0]
    for topic, words in zip(best["components"], best["words"], strict=False):
        _print(f"Topic {topic}: {words}", console)
    by_chance = (
        f"With shuffled memberships the best overlap is {found['by_chance']:.3f}; this one is "
        f"{found['z_score']:.1f} standard deviations higher."
    )
    _print(found["nothing"] or by_chance, console)
    if compared := found["compared"]:
        _print(
            f"With the concept refined in that space: overlap {compared['match']:.3f} of the match, "
            f"{compared['concept']:.3f} of the concept itself.",
            console,
        )
    for name, beginnings in found["sides"].items():
        console.print(f"\n[bold]{name.capitalize()}[/]" + ("" if beginnings else ": nothing"))
        for beginning in beginnings:
            _print(f"  {beginning}", console)
    _print(f"\nMatch: {file}", console)


def show_chain(rows: Sequence[Row], measured: Sequence[Row], folder: Path, console: Console) -> None:
    """Every hand-over with its checks; with gold labels also the precision of each link."""
    table = plain_table("hand-over to", "by", "overlap", "agree", "cosine", "rounds", "kept", "")
    for row in rows:
        overlaps = [row[key] for key in row if key.startswith("overlap_by_")]
        checks = (min(overlaps) if overlaps else None, row.get("two_ways_agree"), row.get("cosine"))
        table.add_row(
            escape(row["to_run"]) + (" (corrupted)" if row["planted"] else ""),
            row["by"],
            *(number(each, 3) for each in checks),
            str(row.get("rounds", "-")),
            number(row.get("received_kept"), 3),
            "accepted" if row["accepted"] else "refused",
        )
    console.print(table)
    for row in rows:
        _print(row["sentence"], console)
    if measured:
        console.print("\nAgainst gold labels, which no link uses: average precision single / document")
        table = plain_table("run", "received", "at the end", "gold-trained", "topic")
        for row in measured:
            kinds = ("ap_received", "ap", "ap_ceiling", "ap_topic")
            table.add_row(
                escape(row["run"]) + ("" if row["accepted"] else " (refused)"),
                *(f"{number(row[kind], 3)} / {number(row[f'{kind}_pooled'], 3)}" for kind in kinds),
            )
        console.print(table)
    _print(f"\nChain: {folder}", console)


def _print(sentence: str, console: Console) -> None:
    console.print(escape(printable(sentence)), highlight=False, soft_wrap=True)


def _certain(row: Row) -> bool:
    return bool(row["effect"] > CERTAIN * row["effect_error"])  # False where either is NaN


def _works(row: Row) -> str:
    return "works" if _certain(row) else "has no certain effect"


def _effect(row: Row) -> str:
    return _with_error(row["effect"], row["effect_error"])


def _ratio(row: Row) -> str:
    return _with_error(row["behavioural_ratio"], row["ratio_error"])


def _with_error(value: float | None, error: float | None) -> str:
    return "-" if value is None or isnan(value) else f"{value:.2f} ± {number(error, 2)}"
