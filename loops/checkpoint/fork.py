"""`basin fork`: a new run with another run's first rounds and other settings."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent.errors import BasinError, writing
from agent.files.checked import DamagedError
from loops.checkpoint import atomic
from loops.checkpoint.round_folders import folder_name, follows, read_header, read_round
from loops.checkpoint.run_file import COPY, About, copy_of_config, read_run_file, write_run_file
from loops.checkpoint.schema import SCHEMA
from loops.checkpoint.store import RunStore
from loops.config import RunConfig, changed_keys, with_overrides

FREE = ("language_model.device", "language_model.batch_tokens")
"""Settings of the language model that affect speed alone."""
FIXED = {
    "corpus": "the texts are stored with round 0",
    "passages": "the texts were cut up before round 0",
    "topics": "the topic was fitted and chosen before round 0",
    "pointer": "the pointer was read before round 0",
    "clustering.words": "the pointer was read before round 0",
    "clustering.embeddings": "the pointer was read before round 0",
    "updating.start_vector": "the first vector was taken in round 0",
    "language_model": "all stored texts and activations come from that model",
    "coherence": "the base model's readability was judged in round 0, and rounds are compared with it",
    "updating.degenerate": "the degenerate passages were written in round 0",
    "updating.degenerate_nats": "the degenerate passages were written in round 0",
}
"""Settings that stored rounds depend on, and why."""
WARNINGS = {
    "generation": "The base model's texts of round 0, which rounds are compared with, were written with the old settings.",
    "seed": "The rounds up to there, and the base model's texts, were drawn with the old seed.",
}


def fork(
    store: RunStore, number: int | None, settings: Sequence[str], path: Path
) -> tuple[RunStore, list[str]]:
    """Copy a run's rounds into a new run with other settings.

    Args:
        number: the last round to copy; None for the newest.
        settings: `key=value`, as for `basin run --set`.
        path: the new run's folder, which must not exist.

    Returns:
        the new run, and warnings.

    Raises:
        BasinError: a round is missing or damaged, a setting is wrong or fixed by the stored rounds,
            or the new run cannot be written.
    """
    last = max(store.rounds(), default=0) if number is None else number
    store.load(last)
    config = with_overrides(store.config, settings)
    changed = changed_keys(store.config, config)
    for key in changed:
        for part, why in FIXED.items():
            if _is_within(key, part) and key not in FREE:
                raise BasinError(
                    f"{key} cannot be changed in a fork: {why}; start a new run with `basin run`, or leave it as it was."
                )
    if os.path.lexists(path):
        raise BasinError(f"{path} exists already; choose another --name.")
    models = [each for each in read_run_file(store.path).about.models if each.from_round <= last]
    about = About.now(path.name, origin=_origin(store, last, config, changed), models=models)
    draft = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        with writing(path, "make room there, or choose another --name"):
            draft.mkdir(parents=True)
            write_run_file(draft, about, config)
            for each in range(last + 1):
                _copy(store, each, draft, config)
            os.rename(draft, path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    warnings = [text for part, text in WARNINGS.items() if any(_is_within(key, part) for key in changed)]
    if not changed:
        warnings.append("No setting was changed: this run will repeat the old one.")
    return RunStore.open(path), warnings


def _is_within(key: str, part: str) -> bool:
    return key == part or key.startswith(f"{part}.")


def _origin(store: RunStore, last: int, config: RunConfig, changed: Sequence[str]) -> dict[str, Any]:
    old, new = (each.model_dump(mode="json") for each in (store.config, config))
    settings = ", ".join(f"{key}={_value(new, key)}" for key in changed) or "nothing changed"
    about = store.about
    return {
        "sentence": f"Forked from {store.name} after round {last} ({settings}).",
        "lineage": [*((about.get("origin") or {}).get("lineage") or []), store.name],
        "forked_from": store.name,
        "forked_run_began": about["created"],
        "from_round": last,
        "from_manifest": read_header(store.path, last).digest,
        "changed": {key: [_value(old, key), _value(new, key)] for key in changed},
    }


def _value(tree: Any, key: str) -> Any:
    for part in key.split("."):
        tree = tree.get(part) if isinstance(tree, dict) else None
    return tree


def _copy(store: RunStore, number: int, target: Path, config: RunConfig) -> None:
    """Copy the files of a round; round 0 gets the new configuration."""
    try:
        files = read_round(store.path, number)
    except DamagedError as damage:
        raise BasinError(
            f"Round {number} of {store.name} is damaged or missing ({damage}), and later rounds depend on it: fork from "
            "an earlier one."
        ) from None
    if number == 0:
        files[COPY] = copy_of_config(config)
    header = {"schema": SCHEMA, "round": number, "follows": follows(target, number)}
    atomic.write_folder(target / folder_name(number), files, header)
