"""`basin succeed`: a chain of models, each of which receives the concept, refines it in its own activations and hands it on.

A successor is accepted if what it received is what was handed over, the topic still points at something in it, and its
last notion is certified. One that is refused is reported, and the chain goes on from the last good one. Nothing here can
read a gold label; `loops/succession_measuring.py` compares a finished chain with them.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from agent.activation_cache import record_cached
from agent.anchoring import document_mean
from agent.concept import Concept
from agent.errors import BasinError
from agent.handover import Handover, Stitched, hand_over
from agent.language_model import LanguageModel
from agent.steering_vector import SteeringVector
from agent.stitching.learning import Stitches, learn
from agent.stitching.translate import translate, translate_readout
from agent.tracking import soft_jaccard
from agent.types import seed_for
from agent.updating import calibration_texts
from agent.updating.calibrate import calibrate
from loops import refine
from loops.config import RunConfig
from loops.folders import begin_folder, write_file
from loops.general_text import general_texts
from loops.improving import improved_model
from loops.progress import Progress
from loops.records import RoundRecord
from loops.setting import Costs, prepare
from loops.store import RunStore
from loops.succession_config import LinkConfig

CHAIN = "succession.json"

Row = dict[str, Any]


@dataclass(frozen=True)
class Heir:
    """A successor that has received the concept and not refined it yet."""

    language_model: LanguageModel
    """Read where a run of its own would read it: a partner of the predecessor's layers need not be where it sees most."""
    config: RunConfig
    handover: Handover
    tokens: int
    """Pairs of tokens that maps were learnt from; 0 without maps."""


def succeed(
    config: RunConfig, folder: Path, progress: Progress, config_file: Path | None = None
) -> list[Row]:
    """Run the first model, then every link; a row for each hand-over. What is in the folder is not done again.

    Raises:
        BasinError: there are no links, a model cannot be had, or as `loops.refine.run`. A hand-over that fails is no error.
    """
    if not config.succession.links:
        raise BasinError(
            "succession.links names no successors; see configs/succession_library.yaml for an example."
        )
    digest = hashlib.sha256(config.model_dump_json().encode()).hexdigest()[:16]
    begin_folder(folder, digest, progress.say, "another chain with --name")
    rows = _read(folder / CHAIN)
    own = config.model_copy(update={"succession": type(config.succession)()})
    good = _store(folder / f"00_{_plain(config.language_model.name)}", own, config_file)
    with good.exclusive():
        progress.say(f"First: {config.language_model.name} follows its pointer")
        refine.resume(good, None, progress)
    if good.load(0).metrics["no_concept"]:
        raise BasinError(str(good.load(0).metrics["no_concept"]))
    for number, link in enumerate(config.succession.links, 1):
        if number > len(rows):
            row = _hand_on(number, link, config, good, folder, progress)
            rows.append(row)
            write_file(folder / CHAIN, (json.dumps(rows, indent=1) + "\n").encode())
        progress.say(str(rows[number - 1]["sentence"]))
        if rows[number - 1]["accepted"]:
            good = RunStore.open(folder / rows[number - 1]["to_run"])
    return rows


def _hand_on(
    number: int, link: LinkConfig, config: RunConfig, good: RunStore, folder: Path, progress: Progress
) -> Row:
    """One hand-over, from the last good run to a new one."""
    begin = time.perf_counter()
    record = good.load(good.rounds()[-1])
    heir = receive(number, link, config, good, record, folder, progress)
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
        row, refusals = _refined(row, link, heir, good, folder / name, config, progress)
    row |= {"refusals": refusals, "accepted": not refusals, "seconds": time.perf_counter() - begin}
    return row | {"sentence": sentence(row)}


def receive(
    number: int,
    link: LinkConfig,
    config: RunConfig,
    good: RunStore,
    record: RoundRecord,
    folder: Path,
    progress: Progress,
) -> Heir:
    """Load the successor, carry the concept over, and check that it arrived.

    Raises:
        BasinError: the successor's model cannot be had, or maps cannot be learnt.
    """
    passages, say = good.load_passages(), progress.say
    seed = seed_for(config.seed, number, "succession")
    own = LanguageModel.load(good.config.language_model, say)
    if link.language_model is None:
        successor = improved_model(
            own, record.concept, link, config, passages, folder / f"{number:02d}_model", seed, progress
        )
    else:
        successor = LanguageModel.load(link.language_model, say)
    stitches: Stitches | None = None
    if link.by != "intersection":
        texts, parts = general_texts(config.stitching, passages, config.seed, say)
        maps = config.stitching.model_copy(update={"methods": ("affine",)})
        stitches = learn(own, successor, texts, parts, own.layers, maps, seed, say)
    partners = () if stitches is None else stitches.partner.values()
    receiver = successor.reading(sorted({*successor.layers, *partners}))
    if record.concept.adapter is not None and link.improved != "own_adapter":
        say(
            f"The adapter of round {record.round} of {good.name} stays behind: no map takes it to another model."
        )
    handed = _spoiled(record.concept, link, seed)
    theirs = record_cached(receiver, passages.texts, say, also_for=successor)
    stitched = None if stitches is None else _carried(handed, own, receiver, stitches)
    handover = hand_over(
        handed,
        theirs,
        receiver.layers,
        passages.document_of,
        link.by,
        stitched,
        clustering=config.clustering,
        config=config.succession.handover,
        seed=seed,
    )
    tokens = 0 if stitches is None else next(iter(stitches.gathered.values())).tokens
    return Heir(successor, _own_config(config, link, successor, record.concept), handover, tokens)


def _spoiled(concept: Concept, link: LinkConfig, seed: int) -> Concept:
    """The concept as it is handed over; spoiled where that was asked for."""
    generator = np.random.default_rng(seed)
    if link.planted == "shuffled_notion":
        return replace(concept, membership=generator.permutation(concept.membership))
    if link.planted == "shuffled_vector" and concept.vector is not None:
        shuffled = {
            layer: direction[generator.permutation(len(direction))]
            for layer, direction in concept.vector.directions.items()
        }
        return replace(concept, vector=SteeringVector(shuffled))
    return concept


def _carried(concept: Concept, own: LanguageModel, successor: LanguageModel, stitches: Stitches) -> Stitched:
    """Readout and vector through the maps."""
    if concept.readout is None:
        raise BasinError(
            "The concept has no readout to hand over by stitching; let its run make a round first."
        )
    back = {
        layer: (stitches.partner[layer], fitted.carrier) for layer, fitted in stitches.back["affine"].items()
    }
    deviations = {
        stitches.partner[layer]: gathered.moments[0].deviations[1]
        for layer, gathered in stitches.gathered.items()
    }
    vector = concept.vector and translate(concept.vector, stitches.ways(stitches.there["affine"]))
    readout = translate_readout(concept.readout, own.layers, successor.layers, back)
    return Stitched(readout, vector, deviations)


def _own_config(config: RunConfig, link: LinkConfig, successor: LanguageModel, concept: Concept) -> RunConfig:
    """The successor's run: its own model, the concept's size, no trust in the pointer, and another model for a reader."""
    reader = config.coherence.model
    if reader == successor.config.name:
        reader = config.language_model.name
    clustering = config.clustering.model_copy(
        update={
            "size": float(concept.membership.mean()),
            "fading": config.clustering.fading.model_copy(update={"rounds": 1}),
        }
    )
    return config.model_copy(
        update={
            "language_model": successor.config,
            "coherence": config.coherence.model_copy(update={"model": reader}),
            "clustering": clustering,
            "updating": config.updating.model_copy(update={"layers": ()}),
            "rounds": link.rounds or config.rounds,
            "succession": type(config.succession)(),
        }
    )


def _refined(
    row: Row,
    link: LinkConfig,
    heir: Heir,
    good: RunStore,
    path: Path,
    config: RunConfig,
    progress: Progress,
) -> tuple[Row, list[str]]:
    """Let the successor refine what it received, and say what speaks against it."""
    passages, handover = good.load_passages(), heir.handover
    received = _received(heir, passages.texts, passages.document_of)
    origin = {
        "sentence": f"Received from {good.name} (round {row['from_round']}, {row['from_model']}) by {link.by}.",
        "lineage": [*good.about.get("origin", {}).get("lineage", []), good.name],
        **{key: row[key] for key in ("from_run", "from_model", "from_round", "by", "planted")},
        "checks": handover.checks,
    }
    store = _store(path, heir.config, None, origin)
    with store.exclusive():
        fixed = prepare(
            heir.config, passages, good.load_pointer(), Costs(), progress, store.scratch, heir.language_model
        )
        records = refine.flow(fixed, store, heir.config.rounds, progress, received, when_still=False)
    last, certificate = records[-1], store.load_certificate() or {}
    refusals = [str(each) for each in (fixed.no_concept, last.metrics["collapsed"]) if each]
    if config.succession.certificate and not certificate.get("certified"):
        refusals.append(str(certificate.get("sentence", "Not certified: it made no round.")))
    row |= {
        "rounds": last.round,
        "received_kept": soft_jaccard(received.membership, last.concept.membership),
        **{key: last.metrics.get(key) for key in ("drift", "pointer_kept", "redundancy_share", "mediation")},
        **{key: last.metrics.get(key) for key in ("agreement", "coherence")},
        "certified": bool(certificate.get("certified")),
        "certificate": certificate.get("sentence"),
    }
    return row, refusals


def _received(heir: Heir, texts: Sequence[str], document_of: np.ndarray) -> Concept:
    """What the successor begins with; a vector that came through maps is given the strength that is native here."""
    handover, updating = heir.handover, heir.config.updating
    vector, nats = handover.vector, 0.0
    if vector is not None:
        ruler = calibration_texts(texts, updating.calibration_texts)
        vector, nats = calibrate(
            heir.language_model, vector, ruler, updating.budget_nats, updating.calibration_tokens
        )
    pooled = document_mean(handover.single, document_of)
    size = float(handover.membership.mean())
    return Concept(
        0,
        handover.membership,
        handover.single,
        pooled,
        size,
        evidence=handover.evidence,
        vector=vector,
        nats_per_token=nats,
    )


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


def _read(file: Path) -> list[Row]:
    try:
        return json.loads(file.read_bytes())
    except FileNotFoundError:
        return []
    except (OSError, ValueError):
        raise BasinError(
            f"{file} is damaged; move it away, and the chain is told anew from its runs."
        ) from None


def _plain(name: str) -> str:
    return re.sub(r"[^a-zA-Z0-9.-]+", "_", Path(name).name)
