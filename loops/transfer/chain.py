"""`basin succeed`: a chain of models, each of which receives the concept, refines it in its own activations and hands it on.

A successor is accepted if what it received is what was handed over, the topic still points at something in it, and its
last notion is certified. One that is refused is reported, and the chain goes on from the last good one. Nothing here can
read a gold label; `loops/transfer/evaluate.py` compares a finished chain with them.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import time
from pathlib import Path
from typing import Any

from agent.errors import BasinError
from agent.files.checked import DamagedError, is_safe_name, parse_json, read_inside
from agent.membership.similarity import soft_jaccard
from loops.checkpoint import fields as check
from loops.checkpoint.atomic import begin_folder, write_file
from loops.checkpoint.schema import MOST, sealed, unsealed
from loops.checkpoint.store import RunStore
from loops.config import ChainConfig, LinkConfig, RunConfig
from loops.refine import refine
from loops.report.watchers import run_watchers
from loops.round.context import open_context, prepare
from loops.transfer.receive import Heir, receive, received

logger = logging.getLogger(__name__)

CHAIN = "succession.json"
ROW = {
    "accepted": check.is_flag,
    "sentence": check.is_text,
    "to_run": lambda value: is_safe_name(value) and "/" not in value,
}
"""What is read of a hand-over again; the folder of the next run must be one of the chain's."""

Row = dict[str, Any]


def succeed(config: ChainConfig, folder: Path, config_file: Path | None = None) -> list[Row]:
    """Run the first model, then every link; a row for each hand-over. What is in the folder is not done again.

    Raises:
        BasinError: there are no links, a model cannot be had, or as `loops.refine.refine`. A hand-over that fails is no error.
    """
    if not config.links:
        raise BasinError(
            "`links` names no successors; see configs/runs/succession_library.yaml for an example."
        )
    digest = hashlib.sha256(config.model_dump_json(exclude={"run": {"logging"}}).encode()).hexdigest()[:16]
    begin_folder(folder, digest, "another chain with --name")
    rows = read_rows(folder, CHAIN)
    good = _store(folder / f"00_{_plain(config.run.language_model.name)}", config.run, config_file)
    with good.exclusive():
        logger.info(f"First: {config.run.language_model.name} follows its pointer")
        context = open_context(good)
        with run_watchers(good, context) as watchers:
            refine(context, good, watchers=watchers)
    if good.load(0).metrics["no_concept"]:
        raise BasinError(str(good.load(0).metrics["no_concept"]))
    for number, link in enumerate(config.links, 1):
        if number > len(rows):
            row = _hand_on(number, link, config, good, folder)
            rows.append(row)
            write_file(folder / CHAIN, sealed({"rows": rows}))
        logger.info(str(rows[number - 1]["sentence"]))
        if rows[number - 1]["accepted"]:
            good = RunStore.open(folder / rows[number - 1]["to_run"])
    return rows


def _hand_on(number: int, link: LinkConfig, config: ChainConfig, good: RunStore, folder: Path) -> Row:
    """One hand-over, from the last good run to a new one."""
    begin = time.perf_counter()
    record = good.load(good.rounds()[-1])
    heir = receive(number, link, config, good, record, folder)
    name = f"{number:02d}_{_plain(heir.config.language_model.name)}"
    row: Row = {
        "number": number,
        "from_run": good.name,
        "from_model": good.config.language_model.name,
        "from_round": record.round,
        "to_run": name,
        "to_model": heir.config.language_model.name,
        "improved": link.improved,
        "by": link.by,
        "planted": link.planted,
        "tokens": heir.tokens,
        **{name.replace(" ", "_"): value for name, value in heir.handover.checks.items()},
    }
    refusals = list(heir.handover.refusals)
    if not refusals:
        row, refusals = _refined(row, link, heir, good, folder / name, config)
    row |= {"refusals": refusals, "accepted": not refusals, "seconds": time.perf_counter() - begin}
    return row | {"sentence": sentence(row)}


def _refined(
    row: Row, link: LinkConfig, heir: Heir, good: RunStore, path: Path, config: ChainConfig
) -> tuple[Row, list[str]]:
    """Let the successor refine what it received, and say what speaks against it."""
    passages, handover = good.load_passages(), heir.handover
    begins = received(heir, passages.texts, passages.document_of)
    origin = {
        "sentence": f"Received from {good.name} (round {row['from_round']}, {row['from_model']}) by {link.by}.",
        "lineage": [*(good.about.get("origin") or {}).get("lineage", []), good.name],
        **{key: row[key] for key in ("from_run", "from_model", "from_round", "by", "planted")},
        "checks": handover.checks,
    }
    store = _store(path, heir.config, None, origin)
    with store.exclusive():
        model = heir.language_model
        context = prepare(heir.config, passages, good.load_pointer(), store.scratch, language_model=model)
        with run_watchers(store, context) as watchers:
            records = refine(context, store, watchers=watchers, received=begins)
    last, certificate = records[-1], store.load_certificate() or {}
    refusals = [str(each) for each in (context.no_concept, last.metrics["collapsed"]) if each]
    if config.certificate and not certificate.get("certified"):
        refusals.append(str(certificate.get("sentence", "Not certified: it made no round.")))
    row |= {
        "rounds": last.round,
        "received_kept": soft_jaccard(begins.membership, last.concept.membership),
        **{key: last.metrics.get(key) for key in ("drift", "pointer_kept", "redundancy_share", "mediation")},
        **{key: last.metrics.get(key) for key in ("agreement", "coherence")},
        "certified": bool(certificate.get("certified")),
        "certificate": certificate.get("sentence"),
    }
    return row, refusals


def sentence(row: Row) -> str:
    """A hand-over in one sentence."""
    told = f"{row['from_run']} to {row['to_run']}, by {row['by']}" + (
        f" ({row['planted'].replace('_', ' ')} planted)" if row["planted"] else ""
    )
    if row["accepted"]:
        return f"Accepted: {told}, {row['rounds']} rounds; {row['received_kept']:.0%} of what it received is left."
    return f"Refused: {told}: {'; '.join(each.rstrip('.') for each in row['refusals'])}."


def _store(path: Path, config: RunConfig, config_file: Path | None, origin: Row | None = None) -> RunStore:
    if (path / "run.json").exists() and any(path.glob("round_*")):
        return RunStore.open(path)
    return RunStore.create(path, config, config_file, origin=origin)


def read_rows(folder: Path, name: str) -> list[Row]:
    """Rows of a chain's file, none where it is not there yet; before format 5 the file was the rows alone.

    Raises:
        BasinError: it is damaged, or a newer Basin's.
    """
    if not os.path.lexists(folder / name):
        return []
    try:
        tree = parse_json(content := read_inside(folder, name, MOST), name)
        rows = tree if isinstance(tree, list) else unsealed(content, name).get("rows")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise DamagedError(f"{name} has no rows")
        if name == CHAIN:
            for row in rows:
                check.table(row, ROW, name, may_lack=dict.fromkeys(row.keys() - ROW.keys(), _anything))
        return rows
    except DamagedError as damage:
        raise BasinError(
            f"{folder / name} cannot be read ({damage}); move it away, and the chain is told anew from its runs."
        ) from None


def _anything(_value: object) -> bool:
    return True


def _plain(name: str) -> str:
    return re.sub(r"[^a-zA-Z0-9.-]+", "_", Path(name).name)
