"""Many starting pointers of one corpus, each followed to its fixed point: the basins of a concept.

Each start that has arrived is saved at once, so a killed map resumes with the others. Gold labels
are read by `loops.basin_map.evaluate` only.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections import Counter
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from jaxtyping import Bool, Float, Int
from safetensors.numpy import save

from agent.basin.certificate import Certificate, certify
from agent.basin.fixed_points import FixedPoint, fixed_points, most_like, telling_words
from agent.basin.starts import Start
from agent.basin.tracking import drifts
from agent.clustering.round_map import Schedule, contraction
from agent.errors import writing
from agent.files.checked import DamagedError, parse_json, parse_tensors, read_inside, tensors_metadata
from agent.membership.similarity import agreement
from agent.progress import advance
from agent.types import seed_for
from loops.basin_map.setup import MapSetup, SweepInputs, prepare
from loops.checkpoint.atomic import MOST_TENSORS, begin_folder, write_file
from loops.checkpoint.schema import sealed
from loops.config import MapConfig
from loops.parallel import run_pieces

logger = logging.getLogger(__name__)

FLOWS, TABLE, SUMMARY = "flows", "starts.parquet", "map.json"
KICKS_OF_FIXED_POINT = 5
TYPICAL, WORDS, NAMED_BY = 3, 12, 2
"""Documents and words that describe a fixed point; words that name it."""


@dataclass(frozen=True)
class Flow:
    """The path of one start."""

    path: Float[np.ndarray, "round document"]
    held: Float[np.ndarray, "document"] | None
    """The last membership when trust in the pointer is held; None unless configured."""
    certificate: Certificate
    seconds: float


@dataclass(frozen=True)
class BasinMap:
    """All starts of a map and the fixed points that they reach."""

    config: MapConfig
    setup: MapSetup
    flows: list[Flow]
    """One for every start."""
    points: list[FixedPoint]
    reached: Int[np.ndarray, "start"]
    """The fixed point that each start reached; -1 where it still moved."""
    minutes: float
    """Wall-clock time for following starts, without their preparation."""
    followed: int
    """Starts followed by this call; the others had arrived before."""

    @property
    def path(self) -> Float[np.ndarray, "start round document"]:
        return np.stack([flow.path for flow in self.flows])

    @property
    def failures(self) -> list[list[str]]:
        """Reasons why each start is not certified; empty where it is."""
        return [flow.certificate.failures(self.config.run.certificate) for flow in self.flows]

    @property
    def certified(self) -> Bool[np.ndarray, "start"]:
        return np.array([not failures for failures in self.failures])

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The map in numbers and names, without labels."""
        return _summary(self)

    @property
    def point_names(self) -> list[str]:
        """Each fixed point's most characteristic words."""
        return [" ".join(self.words_of(point, NAMED_BY)) for point in self.points]

    def words_of(self, point: FixedPoint, count: int) -> list[str]:
        """Vocabulary words that distinguish the fixed point's members from other documents."""
        return [
            self.setup.vocabulary[at]
            for at in telling_words(point.membership, self.setup.contains_word, count)
        ]

    def topics_like(self, point: FixedPoint) -> list[tuple[str, float]]:
        """Topics by falling correlation with the fixed point."""
        ranked = most_like(point.membership, self.setup.topic_scores)
        return [(self.setup.topic_names[topic], value) for topic, value in ranked]


def map_basin(config: MapConfig, folder: Path) -> BasinMap:
    """Follow every start that `folder` lacks to its fixed point.

    Raises:
        BasinError: as `prepare` and `run_pieces`; the folder cannot be written.
    """
    run = config.run
    setup = prepare(config)
    begin_folder(
        folder, _digest(config, setup), "another map with --name", config=config.model_dump(mode="json")
    )
    store = folder / FLOWS
    done = {start.name: flow for start in setup.starts if (flow := _read(_file(store, start))) is not None}
    waiting = {start.name: start for start in setup.starts if start.name not in done}
    advance("starts", len(done), len(setup.starts), "starts")
    begin = time.perf_counter()
    work = partial(follow, setup.inputs)
    for name, flow in run_pieces(work, waiting, workers=run.workers, ray=run.ray):
        _write(_file(store, waiting[name]), flow)
        done[name] = flow
        advance("starts", len(done), len(setup.starts), "starts")
    minutes = (time.perf_counter() - begin) / 60
    flows = [done[start.name] for start in setup.starts]
    still = np.array([flow.certificate.drift < run.certificate.still for flow in flows])
    points, reached = fixed_points(np.stack([flow.path[-1] for flow in flows]), still)
    found = BasinMap(config, setup, flows, points, reached, minutes, len(waiting))
    _write_table(folder, found)
    with writing(folder / SUMMARY, "make room there"):
        write_file(folder / SUMMARY, sealed(found.summary))
    return found


def follow(inputs: SweepInputs, start: Start) -> Flow:
    """The path and the certificate of one start."""
    begin, config = time.perf_counter(), inputs.config
    seed = seed_for(inputs.seed, 0, start.name)
    path = inputs.round_map.flow(start.scores, inputs.schedule, config.rounds)
    constant = Schedule(config.run.clustering.falling, least=1.0)
    held = inputs.round_map.flow(start.scores, constant, config.rounds)[-1] if config.held else None
    found = certify(
        inputs.round_map, path, start.scores, inputs.schedule, config=inputs.certificate, seed=seed
    )
    return Flow(path, held, found, time.perf_counter() - begin)


def _summary(found: BasinMap) -> dict[str, Any]:
    setup, flows = found.setup, found.flows
    return {
        "starts": len(flows),
        "documents": len(setup.passages.documents),
        "passages": len(setup.passages.passages),
        "size": setup.inputs.round_map.size,
        "rounds": found.config.rounds,
        "settled": int((found.reached >= 0).sum()),
        "certified": int(found.certified.sum()),
        "minutes": found.minutes,
        "starts_per_minute": found.followed / found.minutes if found.followed else None,
        "seconds_of_work": sum(flow.seconds for flow in flows),
        "fixed_points": [_of_point(found, number) for number in range(len(found.points))],
    }


def _of_point(found: BasinMap, number: int) -> dict[str, object]:
    """A fixed point's words, the size of its basin, and its stability under kicks."""
    point, setup = found.points[number], found.setup
    round_map, config = setup.inputs.round_map, found.config.run.certificate
    exact = round_map.settled(point.membership, config.kick_rounds * 2)
    kicked = [
        round_map.kicked(
            exact, config.kick, config.kick_rounds, seed_for(setup.inputs.seed, kick, "kick of point")
        )
        for kick in range(KICKS_OF_FIXED_POINT)
    ]
    late = (found.flows[at].path[_faded(found) :] for at in point.starts)
    rates = [rate for path in late if (rate := contraction(drifts(path))) is not None]
    titles = [document.title or document.id for document in setup.passages.documents]
    return {
        "starts": len(point.starts),
        "share_of_starts": len(point.starts) / len(found.flows),
        "kinds": dict(Counter(setup.starts[at].kind for at in point.starts)),
        "size": float(point.membership.mean()),
        "members": int((point.membership >= 0.5).sum()),
        "contraction": float(np.median(rates)) if rates else None,
        "eigenvalue": round_map.eigenvalue(exact, setup.inputs.seed),
        "back_after_kicks": agreement(kicked, exact),
        "words": found.words_of(point, WORDS),
        "topics": [{"topic": name, "correlation": value} for name, value in found.topics_like(point)],
        "typical": [titles[at] for at in np.argsort(-point.membership, kind="stable")[:TYPICAL]],
    }


def _faded(found: BasinMap) -> int:
    """The round from which the pointer has no weight."""
    return min(found.config.run.clustering.falling, found.config.rounds - 2)


def _digest(map_config: MapConfig, setup: MapSetup) -> str:
    """16 hex digits of everything that a path depends on."""
    config = map_config.run
    parts = [
        config.clustering.model_dump_json(),
        map_config.model_dump_json(exclude={"run", "starts"}),  # a start is known by its scores
        config.certificate.model_dump_json(),
        setup.inputs.round_map.size,
        setup.passages.texts,
        setup.inputs.seed,
        setup.models,
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _file(folder: Path, start: Start) -> Path:
    digest = hashlib.sha256(start.name.encode() + start.scores.astype(np.float32).tobytes())
    return folder / f"{digest.hexdigest()[:16]}.safetensors"


def _write(file: Path, flow: Flow) -> None:
    arrays = {"path": flow.path.astype(np.float32)}
    if flow.held is not None:
        arrays["held"] = flow.held.astype(np.float32)
    about = {"certificate": json.dumps(flow.certificate.numbers()), "seconds": repr(flow.seconds)}
    with writing(file.parent, "make room there and start again; finished starts are saved"):
        file.parent.mkdir(exist_ok=True)
        write_file(file, save(arrays, metadata=about))


def _read(file: Path) -> Flow | None:
    """None where the file is missing or damaged; the start is then followed again."""
    try:
        content = read_inside(file.parent, file.name, MOST_TENSORS)
        about = tensors_metadata(content, file.name)
        arrays = {name: each.numpy() for name, each in parse_tensors(content, file.name).items()}
        certificate = Certificate(**parse_json(about["certificate"].encode(), "certificate"))
        return Flow(arrays["path"], arrays.get("held"), certificate, float(about["seconds"]))
    except (DamagedError, KeyError, TypeError, ValueError):
        return None


def _write_table(folder: Path, found: BasinMap) -> None:
    rows = []
    for start, flow, point, failures in zip(
        found.setup.starts, found.flows, found.reached, found.failures, strict=True
    ):
        rows.append(
            {"name": start.name, "kind": start.kind, "level": start.level, "fixed_point": int(point)}
            | {"contraction": contraction(drifts(flow.path)[_faded(found) :])}
            | flow.certificate.numbers()
            | {"certified": not failures, "failures": "; ".join(failures), "seconds": flow.seconds}
            | {"scores": start.scores.astype(np.float32), "final": flow.path[-1].astype(np.float32)}
        )
    columns = {key: [row[key] for row in rows] for key in rows[0]}
    draft = folder / f".{TABLE}.draft"
    with writing(folder / TABLE, "make room there"):
        parquet.write_table(pa.table(columns), draft)
        draft.replace(folder / TABLE)
