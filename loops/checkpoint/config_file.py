"""config.json of a run, checked against round 0's copy, which replaces a missing or damaged one."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from agent.errors import BasinError
from agent.files.checked import DamagedError, parse_json, read_inside
from loops.checkpoint.round_folders import read_round_file
from loops.config import RunConfig, changed_keys, changes_no_round, parse_config

FILE = "config.json"
MOST = 4 << 20
TRUST = "BASIN_TRUST_REMOTE_CODE"
FIRST_FILES = re.compile(r"config\.json|\.(config|run)\.json\.tmp-\d+")


def config_bytes(config: RunConfig) -> bytes:
    """The file's content; equal configurations give equal bytes."""
    return (json.dumps(config.model_dump(mode="json"), indent=1, sort_keys=True) + "\n").encode()


def changed_settings(begun: RunConfig, now: RunConfig) -> list[str]:
    """Dotted names of the settings that differ and that rounds depend on."""
    return [key for key in changed_keys(begun, now) if not changes_no_round(key)]


def refuse_foreign_code(config: RunConfig, name: str) -> None:
    """Raise `BasinError` if a stored configuration lets a model run code without permission."""
    if config.language_model.trust_remote_code and os.environ.get(TRUST) != "1":
        raise BasinError(
            f"The run {name} lets {config.language_model.name[:80]} run code that comes with it (language_model."
            f"trust_remote_code), and runs may come from strangers: if you trust this one, set {TRUST}=1."
        )


def read_config(run: Path) -> tuple[RunConfig, str | None]:
    """A run's configuration, and a warning if round 0's copy was taken.

    Raises:
        BasinError: it is damaged and round 0 has none, or the two differ.
    """
    begun = _config_of_first_round(run)
    try:
        own = _parse(read_inside(run, FILE, MOST), f"{run / FILE}")
    except (DamagedError, BasinError) as damage:
        reason = str(damage).rstrip(".")[:300]
        if begun is None:
            raise BasinError(
                f"{run / FILE} is missing or damaged ({reason}); put it back, or start a new run with `basin run`."
            ) from None
        return begun, f"{FILE} of {run.name} is damaged ({reason}): round 0's copy takes its place."
    if begun is None or not (changed := changed_keys(begun, own)):
        return own, None
    if all(map(changes_no_round, changed)):
        keys = ", ".join(changed)
        return begun, f"{FILE} of {run.name} differs from round 0's copy ({keys}): the copy is taken."
    raise BasinError(
        f"The configuration of {run.name} was changed since the run began ({', '.join(changed)}); put it back, or "
        f"move {FILE} away: round 0 has a copy. Another configuration is another run: `basin fork` starts one."
    )


def has_only_config(path: Path) -> bool:
    """Whether a folder is empty, or holds only a run that was killed before run.json."""
    if not path.is_dir() or not all(FIRST_FILES.fullmatch(each.name) for each in path.iterdir()):
        return False
    try:
        if os.path.lexists(path / FILE):
            read_config(path)
    except BasinError:
        return False  # another program's file
    return True


def _config_of_first_round(run: Path) -> RunConfig | None:
    try:
        return _parse(read_round_file(run, 0, FILE), f"{run}/round_000/{FILE}")
    except (DamagedError, BasinError):
        return None


def _parse(content: bytes, origin: str) -> RunConfig:
    tree = parse_json(content, FILE)
    if not isinstance(tree, dict):
        raise DamagedError(f"{FILE} holds no settings")
    return parse_config(tree, origin)
