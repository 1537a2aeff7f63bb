"""`python -m benchmarks.successors CHAIN ...`: what `basin succeed` found, a row for every hand-over.

A chain is the folder that `basin succeed` wrote, or its name among the runs. Average precision is of held-out readings against
gold labels, as `received` in the successor's own activations and as its last round left it; `before` is the predecessor's.
With `--improved`, for a model that was taught more text also what that did to it: nats per token of general passages that it
was not taught, and of the run's own, before and after.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agent.errors import BasinError
from agent.language_model.model import LanguageModel
from agent.transfer.learn import StitchingConfig, general_texts
from agent.types import seed_for
from benchmarks.results import Value, write_results
from loops.checkpoint.find import checkpoints_folder
from loops.checkpoint.store import RunStore
from loops.config import ChainConfig
from loops.transfer.chain import CHAIN, read_rows
from loops.transfer.evaluate import MEASURED

LEFT_OUT = ("refusals", "sentence", "certificate")
WHOLE = 10**6
"""More passages than any corpus of general text has here: all of them."""
READ = 48
"""Passages of each kind that both models are read with."""
PRECISION = ("ap_received", "ap", "ap_ceiling", "ap_topic")


def main(arguments: Sequence[str] | None = None) -> None:
    """Collect and keep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.successors", description=__doc__)
    parser.add_argument("chains", nargs="+", metavar="CHAIN")
    parser.add_argument(
        "--improved",
        nargs="?",
        type=int,
        const=ChainConfig.model_fields["study"].default,
        metavar="STUDY",
        help="read text with improved models, which were taught so many passages (its `study`)",
    )
    chosen = parser.parse_args(arguments)
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        folders = [_folder(name) for name in chosen.chains]
        rows = [row for folder in folders for row in rows_of(folder, chosen.improved)]
    except BasinError as error:
        raise SystemExit(f"Error: {error}") from None
    path = write_results("successors", rows, ["python", "-m", "benchmarks.successors", *given])
    print(f"{len(rows)} rows in {path.name}", file=sys.stderr)


def rows_of(
    folder: Path, study: int | None = None, stitching: StitchingConfig | None = None
) -> list[dict[str, Value]]:
    """A row for the first run, then one for every hand-over; with `study`, improved models are read as well.

    Raises `BasinError` where the folder holds no finished chain.
    """
    handed, measured = (read_rows(folder, name) for name in (CHAIN, MEASURED))
    if not measured:
        raise BasinError(
            f"Chain {folder.name} was not measured against gold labels: `basin succeed` does it at its end."
        )
    by_run = {each["run"]: each for each in measured}
    first = measured[0]
    chain = folder.name.removeprefix("chain-")
    rows: list[dict[str, Value]] = [
        {"method": str(first["run"]), "chain": chain, "to_model": first["model"]}
        | {"by": "pointer", "accepted": True}
        | _precision(first, None)
    ]
    for row in handed:
        told = {key: value for key, value in row.items() if key not in LEFT_OUT}
        before = by_run.get(row["from_run"])
        rows.append(
            {"method": row["to_run"], "chain": chain, **told}
            | {"refused_because": "; ".join(row["refusals"]) or None}
            | _precision(by_run.get(row["to_run"]), before)
        )
        if study and row.get("improved") == "more_text":
            rows[-1] |= learnt(folder, row, study, stitching or StitchingConfig())
    return rows


def _precision(measured: dict[str, Any] | None, before: dict[str, Any] | None) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for suffix in ("", "_pooled"):
        found[f"ap_before{suffix}"] = before and before[f"ap{suffix}"]
        found |= {f"{name}{suffix}": measured and measured[f"{name}{suffix}"] for name in PRECISION}
    return found


def learnt(folder: Path, row: Mapping[str, Any], study: int, stitching: StitchingConfig) -> dict[str, Value]:
    """What `study` passages of more text did to the model of a hand-over. Raises `BasinError` where none is left to read."""
    stores = [RunStore.open(folder / row[name]) for name in ("from_run", "to_run")]
    own, config = stores[0].load_passages(), stores[0].config

    def general_of(passages: int, seed: int) -> list[str]:
        return general_texts(stitching.model_copy(update={"passages": passages}), own, seed)[0]

    # As `loops/transfer/receive.py` chose them.
    taught = set(general_of(study, seed_for(config.seed, row["number"], "succession")))
    general = [text for text in general_of(WHOLE, config.seed) if text not in taught]
    if not general:
        raise BasinError(f"{row['to_run']} was taught all there is of {stitching.corpus.source}.")
    some = np.random.default_rng(config.seed).permutation(len(own.texts))[:READ]
    kinds = {"general": general[:READ], "own": [own.texts[at] for at in some]}
    found: dict[str, Value] = {}
    for when, store in zip(("before", "after"), stores, strict=True):
        model = LanguageModel.load(store.config.language_model)
        found |= {
            f"nats_{kind}_{when}": float(np.nanmean(model.losses(texts))) for kind, texts in kinds.items()
        }
    return found


def _folder(name: str) -> Path:
    for folder in (Path(name), checkpoints_folder() / name):
        if (folder / CHAIN).exists():
            return folder
    raise BasinError(
        f"There is no chain {name!r} in {checkpoints_folder()}; `basin succeed CONFIG` makes one."
    )


if __name__ == "__main__":
    main()
