"""`basin fork`: a new run that begins with the rounds of another one and goes on with other settings."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.errors import BasinError
from agent.files.checked import DamagedError
from loops.checkpoint import atomic
from loops.checkpoint.config_file import FILE as CONFIG_FILE
from loops.checkpoint.config_file import config_bytes
from loops.checkpoint.provenance import commit, versions
from loops.checkpoint.round_folders import PRUNED, WHOLE, folder_name, follows, read_header, read_round
from loops.checkpoint.run_file import RunFile, write_run_file
from loops.checkpoint.schema import SCHEMA
from loops.checkpoint.store import RunStore
from loops.config import RunConfig, changed_keys, with_overrides

FREE_OF_MODEL = ("device", "batch_tokens")
"""Settings of the language model that change where it computes, and not what."""
BOUND = {
    "corpus": "the texts are stored with round 0",
    "passages": "the texts were cut up before round 0",
    "topics": "the topic was fitted and chosen before round 0",
    "pointer": "what points was read before round 0",
    "updating.start_vector": "the first vector was taken in round 0",
    "language_model": "everything that is stored was read and written with that model",
    "coherence": "the base model's readability was judged in round 0, and rounds are compared with it",
    "updating.degenerate": "passages that teach what nonsense is were written in round 0",
    "updating.degenerate_nats": "passages that teach what nonsense is were written in round 0",
}
"""Settings that stored rounds stand on, and why."""
TOLD = {
    "generation": "What the base model wrote in round 0, which rounds are compared with, was written with the old settings.",
    "seed": "The rounds up to there, and what the base model wrote, were drawn with the old seed.",
}


def fork(
    store: RunStore, number: int | None, settings: Sequence[str], path: Path
) -> tuple[RunStore, list[str]]:
    """Copy a run's rounds up to one into a new run of other settings; the old one is only read.

    Args:
        number: the last round that is taken over; None for the newest.
        settings: `key=value`, as for `basin run --set`.
        path: the new run's folder, which must not be there.

    Returns:
        the new run, and sentences on what is worth knowing about it.

    Raises:
        BasinError: there is no such whole round, a round before it is damaged, a setting is wrong or is one that the stored
            rounds stand on, or the new run cannot be written.
    """
    last = max(store.rounds(), default=0) if number is None else number
    store.load(last)
    config = with_overrides(store.config, settings)
    changed = changed_keys(store.config, config)
    _refuse_bound(changed)
    if os.path.lexists(path):
        raise BasinError(f"{path} exists already; choose another --name.")
    origin = _origin(store, last, config, changed)
    draft = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        draft.mkdir(parents=True)
        atomic.write_file(draft / CONFIG_FILE, config_bytes(config))
        write_run_file(draft, _about(path.name, store, origin))
        for each in range(last + 1):
            _copy(store, each, draft, config)
        os.rename(draft, path)
    except OSError as error:
        raise BasinError(
            f"{path} cannot be written ({error.strerror}); make room there, or choose another --name."
        ) from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    told = [sentence for key, sentence in TOLD.items() if any(_within(each, key) for each in changed)]
    if not changed:
        told.append("No setting was changed: this run will do what the old one did.")
    return RunStore.open(path), told


def _refuse_bound(changed: Sequence[str]) -> None:
    for key in changed:
        for bound, why in BOUND.items():
            free = bound == "language_model" and key.removeprefix(f"{bound}.") in FREE_OF_MODEL
            if _within(key, bound) and not free:
                raise BasinError(
                    f"{key} cannot be changed in a fork: {why}; start a new run with `basin run`, or leave it as it was."
                )


def _within(key: str, part: str) -> bool:
    return key == part or key.startswith(f"{part}.")


def _origin(store: RunStore, last: int, config: RunConfig, changed: Sequence[str]) -> dict[str, Any]:
    old, new = (each.model_dump(mode="json") for each in (store.config, config))
    header = read_header(store.path, last)
    set_to = ", ".join(f"{key}={_at(new, key)}" for key in changed) or "nothing changed"
    return {
        "sentence": f"Forked from {store.name} after round {last} ({set_to}).",
        "lineage": [*((store.about.get("origin") or {}).get("lineage") or []), store.name],
        "forked_from": store.name,
        "forked_run_began": store.about["created"],
        "from_round": last,
        "from_manifest": header.digest,
        "changed": {key: [_at(old, key), _at(new, key)] for key in changed},
    }


def _at(tree: Any, key: str) -> Any:
    for part in key.split("."):
        tree = tree.get(part) if isinstance(tree, dict) else None
    return tree


def _about(name: str, store: RunStore, origin: dict[str, Any]) -> RunFile:
    return RunFile(
        name=name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=versions(),
        commit=commit(),
        config_file=None,  # no file says what this run is: an old one's with changes on top
        overrides=[],
        origin=origin,
    )


def _copy(store: RunStore, number: int, target: Path, config: RunConfig) -> None:
    """One round with its files as they are, in the newest format; round 0 takes the new configuration."""
    kind = WHOLE if os.path.lexists(store.path / folder_name(number)) else PRUNED
    try:
        files, header = read_round(store.path, number, kind), read_header(store.path, number, kind)
    except DamagedError as damage:
        raise BasinError(
            f"Round {number} of {store.name} is damaged or missing ({damage}), and later rounds stand on it: fork from an "
            "earlier one."
        ) from None
    if number == 0:
        files[CONFIG_FILE] = config_bytes(config)
    about: dict[str, object] = {"schema": SCHEMA, "round": number, "follows": follows(target, number)}
    if header.pruned is not None:
        about["pruned"] = dict(header.pruned)
    atomic.write_folder(target / folder_name(number, kind), files, about)
