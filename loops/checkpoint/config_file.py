"""config.json of a run, held against round 0's copy of it, which takes its place where it is missing or damaged."""

from __future__ import annotations

import json
import os
from pathlib import Path

from agent.errors import BasinError
from agent.files.checked import DamagedError, parse_json, read_inside
from loops.checkpoint.round_folders import read_round_file
from loops.config import RunConfig, changed_keys, changes_no_round, parse_config

FILE = "config.json"
MOST = 4 << 20


def config_bytes(config: RunConfig) -> bytes:
    """The file; equal configurations give equal bytes."""
    return (json.dumps(config.model_dump(mode="json"), indent=1, sort_keys=True) + "\n").encode()


TRUST = "BASIN_TRUST_REMOTE_CODE"


def refuse_foreign_code(config: RunConfig, name: str) -> None:
    """Refuse a stored configuration that lets a model run its own code, until whoever opens the run says that it may.

    Raises:
        BasinError: saying how.
    """
    if config.language_model.trust_remote_code and os.environ.get(TRUST) != "1":
        raise BasinError(
            f"The run {name} lets {config.language_model.name[:80]} run code that comes with it (language_model."
            f"trust_remote_code), and a run may come from anybody: if you trust this one, set {TRUST}=1."
        )


def read_config(run: Path) -> tuple[RunConfig, str | None]:
    """A run's configuration, and what to tell where it had to be taken from round 0.

    Raises:
        BasinError: it is damaged and round 0 has none, or the two are whole and differ.
    """
    begun = _begun_with(run)
    try:
        own = _parsed(read_inside(run, FILE, MOST), f"{run / FILE}")
    except (DamagedError, BasinError) as damage:
        if begun is None:
            raise BasinError(
                f"{run / FILE} is missing or damaged ({_ending(damage)}); put it back, or start a new run with `basin run`."
            ) from None
        return begun, f"{FILE} of {run.name} is damaged ({_ending(damage)}): round 0's copy takes its place."
    if begun is None:
        return own, None
    changed = changed_keys(begun, own)
    if changed and all(map(changes_no_round, changed)):
        which = ", ".join(changed)
        return (
            begun,
            f"{FILE} of {run.name} is not what the run began with ({which}): round 0's copy is taken.",
        )
    if changed:
        raise BasinError(
            f"The configuration of {run.name} was changed since the run began ({', '.join(changed)}); put it back, or "
            f"move {FILE} away: round 0 has a copy. Another configuration is another run: `basin fork` starts one."
        )
    return own, None


def _begun_with(run: Path) -> RunConfig | None:
    """Round 0's copy; None where round 0 is not there, or damaged, which whoever reads it is told."""
    try:
        return _parsed(read_round_file(run, 0, FILE), f"{run}/round_000/{FILE}")
    except (DamagedError, BasinError):
        return None


def _parsed(content: bytes, origin: str) -> RunConfig:
    tree = parse_json(content, FILE)
    if not isinstance(tree, dict):
        raise DamagedError(f"{FILE} holds no settings")
    return parse_config(tree, origin)


def _ending(damage: Exception) -> str:
    return str(damage).rstrip(".")[:300]
