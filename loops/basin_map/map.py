"""`basin map`: hundreds of starting pointers, each followed to where it flows, and the basins that they show.

Every start that has arrived is kept at once in a file of its own, so a sweep that was killed goes on with the others. Nothing
here, nor anything this file imports, can read a gold label; `loops/basin_map/evaluate.py` compares a finished map with them.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from jaxtyping import Bool, Float, Int
from safetensors.numpy import save

from agent.basin.certificate import Certificate, certify
from agent.basin.fixed_points import FixedPoint, agreement, fixed_points, most_like, telling_words
from agent.basin.starts import Start
from agent.basin.tracking import drifts
from agent.clustering.round_map import Schedule, contraction
from agent.errors import BasinError
from agent.files.checked import DamagedError, parse_json, parse_tensors, read_inside, tensors_metadata
from agent.progress import advance
from agent.types import seed_for
from loops.basin_map.setup import Ground, Place, survey
from loops.checkpoint.atomic import MOST_TENSORS, begin_folder, write_file
from loops.checkpoint.schema import sealed
from loops.config import MapConfig
from loops.sweeping import sweep

logger = logging.getLogger(__name__)

FLOWS, TABLE, SUMMARY = "flows", "starts.parquet", "map.json"
KICKS_OF_FIXED_POINT = 5
TYPICAL, WORDS, NAMED_BY = 3, 12, 2
"""Documents and words that say what a fixed point is; words that name it."""


@dataclass(frozen=True)
class Flow:
    """Where one start went."""

    path: Float[np.ndarray, "round document"]
    held: Float[np.ndarray, "document"] | None
    """The last membership under trust that never fades."""
    certificate: Certificate
    seconds: float


@dataclass(frozen=True)
class BasinMap:
    """A finished sweep."""

    config: MapConfig
    place: Place
    flows: list[Flow]
    """One for every start."""
    points: list[FixedPoint]
    reached: Int[np.ndarray, "start"]
    """Which fixed point each start arrived at; -1 where it still moved."""
    minutes: float
    """Of this sweep, by the clock, without what the starts stand on."""
    swept: int
    """Starts that were followed in it; the others had arrived before."""

    @property
    def path(self) -> Float[np.ndarray, "start round document"]:
        return np.stack([flow.path for flow in self.flows])

    @property
    def failures(self) -> list[list[str]]:
        """What each start's certificate lacks; empty where it holds."""
        return [flow.certificate.failures(self.config.run.certificate) for flow in self.flows]

    @property
    def certified(self) -> Bool[np.ndarray, "start"]:
        return np.array([not failures for failures in self.failures])

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The map in numbers and names, without a label."""
        return _summary(self)

    @property
    def point_names(self) -> list[str]:
        """Every fixed point by the words that most tell its members from others."""
        return [" ".join(self.words_of(point, NAMED_BY)) for point in self.points]

    def words_of(self, point: FixedPoint, count: int) -> list[str]:
        """Words of the topic model's vocabulary that tell the fixed point's members from other documents."""
        return [self.place.vocabulary[at] for at in telling_words(point.membership, self.place.holds, count)]

    def topics_like(self, point: FixedPoint) -> list[tuple[str, float]]:
        """Topics by falling correlation with the fixed point."""
        ranked = most_like(point.membership, self.place.topic_scores)
        return [(self.place.topic_names[topic], value) for topic, value in ranked]


def map_basin(
    config: MapConfig,
    folder: Path,
    *,
    workers: int = 1,
    ray_address: str | None = None,
    wanted: Sequence[str] = (),
) -> BasinMap:
    """Let every start of the design flow, and find where they arrive; what is in the folder is not done again.

    Args:
        wanted: starts that something else will be done with; refused before any flows where the design has none of a name.

    Raises:
        BasinError: as `survey`; a start that is wanted is not there; the folder cannot be written; or a start kills its
            worker again and again.
    """
    if config.run.clustering.method != "fading":
        logger.info(
            f"The map fades trust in the pointer (clustering.fading); a run of this configuration would use "
            f"{config.run.clustering.method}."
        )
    place = survey(config)
    require_starts(place, wanted)
    begin_folder(
        folder, _digest(config, place), "another map with --name", config=config.model_dump(mode="json")
    )
    store = folder / FLOWS
    done = {start.name: flow for start in place.starts if (flow := _read(_file(store, start))) is not None}
    waiting = {start.name: start for start in place.starts if start.name not in done}
    advance("starts", len(done), len(place.starts), "starts")

    def arrived(name: str, flow: Flow) -> None:
        _write(_file(store, waiting[name]), flow)
        done[name] = flow
        advance("starts", len(done), len(place.starts), "starts")

    begin = time.perf_counter()
    sweep(follow, place.ground, waiting, arrived, workers=workers, ray_address=ray_address)
    minutes = (time.perf_counter() - begin) / 60
    flows = [done[start.name] for start in place.starts]
    still = np.array([flow.certificate.drift < config.run.certificate.still for flow in flows])
    points, reached = fixed_points(np.stack([flow.path[-1] for flow in flows]), still)
    found = BasinMap(config, place, flows, points, reached, minutes, len(waiting))
    _write_table(folder, found)
    _write_json(folder / SUMMARY, found.summary)
    return found


def require_starts(place: Place, names: Sequence[str]) -> None:
    """Raises BasinError for a name that no start has."""
    known = [start.name for start in place.starts]
    if unknown := [name for name in names if name not in known]:
        some = ", ".join(known[:: max(1, len(known) // 6)])
        raise BasinError(f"There is no start {unknown[0]!r} in this map; there are for example: {some}.")


def follow(ground: Ground, start: Start) -> Flow:
    """One start's flow, and what it can say about itself: the work of one worker."""
    begin, config = time.perf_counter(), ground.config
    seed = seed_for(ground.seed, 0, start.name)
    path = ground.round_map.flow(start.scores, ground.schedule, config.rounds)
    held = ground.round_map.flow(start.scores, Schedule(None), config.rounds)[-1] if config.held else None
    found = certify(ground.round_map, path, start.scores, ground.schedule, ground.certificate, seed)
    return Flow(path, held, found, time.perf_counter() - begin)


def _summary(found: BasinMap) -> dict[str, Any]:
    place, flows = found.place, found.flows
    return {
        "starts": len(flows),
        "documents": len(place.passages.documents),
        "passages": len(place.passages.passages),
        "size": place.ground.round_map.size,
        "rounds": found.config.rounds,
        "settled": int((found.reached >= 0).sum()),
        "certified": int(found.certified.sum()),
        "minutes": found.minutes,
        "starts_per_minute": found.swept / found.minutes if found.swept else None,
        "seconds_of_work": sum(flow.seconds for flow in flows),
        "fixed_points": [_of_point(found, number) for number in range(len(found.points))],
    }


def _of_point(found: BasinMap, number: int) -> dict[str, object]:
    """What a fixed point is, how large its basin, and whether it stays when it is kicked."""
    point, place = found.points[number], found.place
    round_map, config = place.ground.round_map, found.config.run.certificate
    exact = round_map.settled(point.membership, config.kick_rounds * 2)
    kicked = [
        round_map.kicked(
            exact, config.kick, config.kick_rounds, seed_for(place.ground.seed, kick, "kick of point")
        )
        for kick in range(KICKS_OF_FIXED_POINT)
    ]
    rates = [contraction(drifts(found.flows[at].path)[_faded(found) :]) for at in point.starts]
    rates = [rate for rate in rates if rate is not None]
    titles = [document.title or document.id for document in place.passages.documents]
    return {
        "starts": len(point.starts),
        "share_of_starts": len(point.starts) / len(found.flows),
        "kinds": dict(Counter(place.starts[at].kind for at in point.starts)),
        "size": float(point.membership.mean()),
        "members": int((point.membership >= 0.5).sum()),
        "contraction": float(np.median(rates)) if rates else None,
        "eigenvalue": round_map.eigenvalue(exact, place.ground.seed),
        "back_after_kicks": agreement(kicked, exact),
        "words": found.words_of(point, WORDS),
        "topics": [{"topic": name, "correlation": value} for name, value in found.topics_like(point)],
        "typical": [titles[at] for at in np.argsort(-point.membership, kind="stable")[:TYPICAL]],
    }


def _faded(found: BasinMap) -> int:
    """Rounds after which trust is gone."""
    return min(found.config.run.clustering.fading.rounds or 0, found.config.rounds - 2)


def _digest(map_config: MapConfig, place: Place) -> str:
    """16 hex digits of all that a flow depends on."""
    config = map_config.run
    parts = [
        config.clustering.model_dump_json(),
        map_config.model_dump_json(exclude={"run", "starts"}),  # a start is known by its scores
        config.certificate.model_dump_json(),
        place.ground.round_map.size,
        [passage.id for passage in place.passages.passages],
        place.ground.seed,
        config.language_model.model_dump_json(exclude={"trust_remote_code"}),
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
    try:
        file.parent.mkdir(exist_ok=True)
        write_file(file, save(arrays, metadata=about))
    except OSError as error:
        raise BasinError(
            f"{file.parent} cannot be written ({error.strerror or error}); make room there and start again: what has "
            "arrived is kept."
        ) from None


def _read(file: Path) -> Flow | None:
    """None where there is nothing, or nothing whole: the start flows again then."""
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
        found.place.starts, found.flows, found.reached, found.failures, strict=True
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
    try:
        parquet.write_table(pa.table(columns), draft)
        draft.replace(folder / TABLE)
    except OSError as error:
        raise BasinError(
            f"{folder / TABLE} cannot be written ({error.strerror or error}); make room there."
        ) from None


def _write_json(file: Path, content: dict[str, Any]) -> None:
    try:
        write_file(file, sealed(content))
    except OSError as error:
        raise BasinError(f"{file} cannot be written ({error.strerror or error}); make room there.") from None
