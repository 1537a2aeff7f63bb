"""run.json: when a run began, with which code, configuration and origin.

Round 0 has a copy of the configuration, which stands in for a missing or damaged run.json.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.errors import BasinError
from agent.files.checked import DamagedError, parse_json
from agent.language_model.identity import ModelIdentity
from loops.checkpoint import atomic
from loops.checkpoint.fields import Stored, Whole, read
from loops.checkpoint.provenance import commit, versions
from loops.checkpoint.round_folders import read_round_file
from loops.checkpoint.schema import OtherFormatError, read_sealed, sealed
from loops.config import RunConfig, changed_keys, changes_no_round, parse_config

FILE, COPY = "run.json", "config.json"
MOST = 4 << 20
DRAFT = re.compile(r"\.run\.json\.tmp-\d+")
TRUST = "BASIN_TRUST_REMOTE_CODE"


class KeptModel(Stored):
    """The identity of a model in one role, and the first round that it made."""

    role: str
    from_round: Whole
    weights: str
    config: str
    tokenizer: str
    code: str
    dtype: str
    revision: str | None

    @property
    def identity(self) -> ModelIdentity:
        return ModelIdentity(**self.model_dump(exclude={"role", "from_round"}))


class About(Stored):
    """What run.json holds besides the configuration."""

    name: str
    created: str
    versions: dict[str, str]
    commit: str | None
    config_file: str | None
    overrides: list[str]
    """Settings that override the file."""
    origin: dict[str, Any] | None = None
    """The run that the concept came from, if this run did not begin with its pointer."""
    models: list[KeptModel] = []
    """Models of the rounds, in the order in which they came."""

    @classmethod
    def now(
        cls,
        name: str,
        config_file: Path | None = None,
        overrides: Sequence[str] = (),
        origin: Mapping[str, Any] | None = None,
        *,
        models: Sequence[KeptModel] = (),
    ) -> About:
        """What a run that begins now stores of itself."""
        return cls(
            name=name,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            versions=versions(),
            commit=commit(),
            config_file=str(config_file.resolve()) if config_file else None,
            overrides=list(overrides),
            origin=dict(origin) if origin else None,
            models=list(models),
        )


@dataclass(frozen=True)
class RunFile:
    """The contents of run.json."""

    about: About
    config: RunConfig
    warning: str | None = None
    """A sentence, where the file is damaged and round 0's copy of the configuration was taken."""


def write_run_file(run: Path, about: About, config: RunConfig) -> None:
    """Write run.json into a run's folder; raises OSError."""
    tree = about.model_dump() | {"config": config.model_dump(mode="json")}
    atomic.write_file(run / FILE, sealed(tree))


def copy_of_config(config: RunConfig) -> bytes:
    """Round 0's copy; equal configurations give equal bytes."""
    return (json.dumps(config.model_dump(mode="json"), indent=1, sort_keys=True) + "\n").encode()


def read_run_file(run: Path) -> RunFile:
    """The contents of run.json, or what round 0 says instead.

    Raises:
        BasinError: the folder is no run, damaged, or of another format; or a stored configuration
            lets a model run code without permission.
    """
    begun = _copy_in_first_round(run)
    try:
        found = _parse(read_sealed(run, FILE, MOST), run)
    except OtherFormatError as error:
        raise BasinError(f"The run {run.name} cannot be read: {error}.") from None
    except (DamagedError, BasinError) as damage:
        reason = str(damage).rstrip(".")[:300]
        if begun is None:
            raise BasinError(
                f"{run} is not a run of Basin's, or damaged ({reason}); name a folder that `basin run` made."
            ) from None
        about = About(
            name=run.name, created="unknown", versions={}, commit=None, config_file=None, overrides=[]
        )
        found = RunFile(
            about, begun, f"{FILE} of {run.name} is damaged ({reason}): round 0's copy takes its place."
        )
    changed = [key for key in changed_keys(found.config, begun or found.config) if not changes_no_round(key)]
    if changed:
        raise BasinError(
            f"{FILE} of {run.name} has other settings than its round 0 ({', '.join(changed)}): move {FILE} away, "
            "since round 0 has a copy; `basin fork` starts a run with other settings."
        )
    _refuse_foreign_code(found.config, run.name)
    return found


def is_unbegun(folder: Path) -> bool:
    """Whether a folder is empty, or holds only what a run left that was killed before run.json."""
    return folder.is_dir() and all(DRAFT.fullmatch(each.name) for each in folder.iterdir())


def _refuse_foreign_code(config: RunConfig, name: str) -> None:
    if config.language_model.trust_remote_code and os.environ.get(TRUST) != "1":
        raise BasinError(
            f"The run {name} lets {config.language_model.name[:80]} run code that comes with it (language_model."
            f"trust_remote_code), and runs may come from strangers: if you trust this one, set {TRUST}=1."
        )


def _parse(tree: dict[str, Any], run: Path) -> RunFile:
    settings = tree.pop("config", None)
    if not isinstance(settings, dict):
        raise DamagedError(f"{FILE} holds no settings")
    return RunFile(read(About, tree, FILE), parse_config(settings, str(run / FILE)))


def _copy_in_first_round(run: Path) -> RunConfig | None:
    try:
        tree = parse_json(read_round_file(run, 0, COPY), COPY)
        return parse_config(tree, f"{run}/round_000/{COPY}")
    except (DamagedError, BasinError):
        return None
