"""`basin succeed`: models in a chain receive the concept, refine it and hand it on.

A successor is accepted where the concept arrived, the topic still points at it, and its last round
is certified. A refused one is reported, and the chain goes on from the last accepted run. No code
here can read a gold label; `loops/transfer/evaluate.py` compares a finished chain with labels.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from agent.errors import BasinError
from agent.files.checked import DamagedError
from agent.membership.similarity import soft_jaccard
from agent.types import seed_for
from loops.checkpoint.atomic import begin_folder, write_file
from loops.checkpoint.fields import Stored, read
from loops.checkpoint.run_models import keep_model
from loops.checkpoint.schema import read_sealed, sealed
from loops.checkpoint.store import RunStore
from loops.config import ChainConfig, LinkConfig, RunConfig
from loops.refine import refine
from loops.report.make import run_watchers
from loops.round.context import keep_judge, open_context, prepare
from loops.transfer.receive import Successor, receive
from loops.transfer.stitch import file_name

logger = logging.getLogger(__name__)

CHAIN = "succession.json"


class HandOver(Stored):
    """Fields checked in a stored hand-over; the next run's folder must be in the chain."""

    model_config = ConfigDict(extra="allow")

    accepted: bool
    sentence: str
    to_run: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.+-]*$", max_length=128)]


Row = dict[str, Any]


def succeed(config: ChainConfig, folder: Path, config_file: Path | None = None) -> list[Row]:
    """Run the first model, then every link that the folder lacks; a row for each hand-over.

    Raises:
        BasinError: there are no links, a model cannot be loaded, or as `loops.refine.refine`. A
            refused link is no error.
    """
    if not config.links:
        raise BasinError(
            "`links` names no successors; see configs/runs/succession_library.yaml for an example."
        )
    digest = hashlib.sha256(config.model_dump_json(exclude={"run": {"logging"}}).encode()).hexdigest()[:16]
    begin_folder(folder, digest, "another chain with --name")
    rows = read_rows(folder, CHAIN)
    good = _store(
        folder / f"00_{file_name(Path(config.run.language_model.name).name)}", config.run, config_file
    )
    with good.exclusive():
        logger.info(f"First: {config.run.language_model.name} follows its pointer")
        context = open_context(good)
        with run_watchers(good, context) as watchers:
            refine(context, good, watchers=watchers)
    if good.load(0).metrics["no_concept"]:
        raise BasinError(str(good.load(0).metrics["no_concept"]))
    for number, link in enumerate(config.links, 1):
        if number > len(rows):
            rows.append(_hand_on(number, link, config, good, folder))
            write_file(folder / CHAIN, sealed({"rows": rows}))
        logger.info(str(rows[number - 1]["sentence"]))
        if rows[number - 1]["accepted"]:
            good = RunStore.open(folder / rows[number - 1]["to_run"])
    return rows


def _hand_on(number: int, link: LinkConfig, config: ChainConfig, good: RunStore, folder: Path) -> Row:
    """One hand-over, from the last accepted run to a new one."""
    begin = time.perf_counter()
    seed = seed_for(config.run.seed, number, "succession")
    successor = receive(good, link, config, seed=seed, folder=folder / f"{number:02d}_model")
    name = f"{number:02d}_{file_name(Path(successor.config.language_model.name).name)}"
    row: Row = {
        "number": number,
        "from_run": good.name,
        "from_model": good.config.language_model.name,
        "from_round": good.rounds()[-1],
        "to_run": name,
        "to_model": successor.config.language_model.name,
        "improved": link.improved,
        "by": link.by,
        "planted": link.planted,
        "tokens": successor.tokens,
        **{key.replace(" ", "_"): value for key, value in successor.handover.checks.items()},
    }
    refusals = list(successor.handover.refusals)
    if not refusals:
        refined, refusals = _refine(row, successor, good, folder / name, config.certificate)
        row |= refined
    row |= {"refusals": refusals, "accepted": not refusals, "seconds": time.perf_counter() - begin}
    return row | {"sentence": sentence(row)}


def _refine(
    row: Row, successor: Successor, good: RunStore, path: Path, certified: bool
) -> tuple[Row, list[str]]:
    """The successor's own rounds in numbers, and the reasons to refuse it."""
    passages = good.load_passages()
    received = successor.first_concept(passages)
    origin = {
        "sentence": f"Received from {good.name} (round {row['from_round']}, {row['from_model']}) by {row['by']}.",
        "lineage": [*(good.about.get("origin") or {}).get("lineage", []), good.name],
        **{key: row[key] for key in ("from_run", "from_model", "from_round", "by", "planted")},
        "checks": successor.handover.checks,
    }
    config = successor.config
    store = _store(path, config, None, origin)
    with store.exclusive():
        model = successor.language_model
        context = prepare(config, passages, good.load_pointer(), store.scratch, language_model=model)
        keep_model(store, context.language_model)
        keep_judge(store, context)
        with run_watchers(store, context) as watchers:
            records = refine(context, store, watchers=watchers, received=received)
    last, certificate = records[-1], store.load_certificate() or {}
    refusals = [str(each) for each in (context.no_concept, last.metrics["collapsed"]) if each]
    if certified and not certificate.get("certified"):
        refusals.append(str(certificate.get("sentence", "Not certified: it made no round.")))
    kept = ("drift", "redundancy_share", "mediation", "agreement", "coherence")
    numbers = {
        "rounds": last.round,
        "received_kept": soft_jaccard(received.membership, last.concept.membership),
        **{key: last.metrics.get(key) for key in kept},
        "certified": bool(certificate.get("certified")),
        "certificate": certificate.get("sentence"),
    }
    return numbers, refusals


def sentence(row: Row) -> str:
    """A hand-over in one sentence."""
    which = f"{row['from_run']} to {row['to_run']}, by {row['by']}"
    if row["planted"]:
        which += f" ({row['planted'].replace('_', ' ')} planted)"
    if row["accepted"]:
        return f"Accepted: {which}, {row['rounds']} rounds; {row['received_kept']:.0%} of the received concept is left."
    return f"Refused: {which}: {'; '.join(each.rstrip('.') for each in row['refusals'])}."


def _store(path: Path, config: RunConfig, config_file: Path | None, origin: Row | None = None) -> RunStore:
    if (path / "run.json").exists() and any(path.glob("round_*")):
        return RunStore.open(path)
    return RunStore.create(path, config, config_file, origin=origin)


def read_rows(folder: Path, name: str) -> list[Row]:
    """Rows of a chain's file; none where there is no file. Raises `BasinError` where it is damaged."""
    if not os.path.lexists(folder / name):
        return []
    try:
        rows = read_sealed(folder, name).get("rows")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise DamagedError(f"{name} has no rows")
        if name == CHAIN:
            read(list[HandOver], rows, name)
        return rows
    except DamagedError as damage:
        raise BasinError(
            f"{folder / name} cannot be read ({damage}); move it away, and it is written again from the chain's runs."
        ) from None
