"""run.json: when a run began, with which code, from which file, and from which other run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from agent.errors import BasinError
from agent.files.checked import DamagedError, parse_json, read_inside
from loops.checkpoint import atomic
from loops.checkpoint.round_folders import read_header
from loops.checkpoint.schema import DIGEST, OLDEST, SCHEMA, NewerError, check_digest, sealed

FILE = "run.json"
UNKNOWN = "unknown"
MOST = 4 << 20


class RunFile(BaseModel):
    """What run.json says, apart from its format."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str
    created: str
    versions: dict[str, str]
    commit: str | None
    config_file: str | None
    """Where the configuration came from."""
    overrides: list[str]
    """What was set on top of it."""
    origin: dict[str, Any] | None = None
    """Whom the concept was received from and how, where the run did not begin with its pointer."""


def write_run_file(path: Path, about: RunFile) -> None:
    """Write run.json into a run's folder; raises OSError where it cannot be."""
    tree = about.model_dump(mode="json", exclude_none=False)
    if about.origin is None:
        del tree["origin"]
    atomic.write_file(path / FILE, sealed(tree))


def read_run_file(path: Path) -> tuple[RunFile, str | None]:
    """What a run says of itself; where that is damaged and round 0 is there, as much as is known, and what to tell.

    Raises:
        BasinError: the folder is no run, or of a format that this Basin does not read.
    """
    try:
        tree = parse_json(read_inside(path, FILE, MOST), FILE)
        if not isinstance(tree, dict) or "schema" not in tree:
            raise BasinError(
                f"{path} is not a run of Basin's: its {FILE} is no run's; name a folder that `basin run` made."
            )
        return _checked(path, tree), None
    except DamagedError as damage:
        if not _has_round_0(path):
            raise BasinError(
                f"{path} is not a run of Basin's, or damaged: {damage}; name a folder that `basin run` made."
            ) from None
        unknown = RunFile(
            name=path.name, created=UNKNOWN, versions={}, commit=None, config_file=None, overrides=[]
        )
        return unknown, (
            f"{FILE} of {path.name} is damaged ({damage}): when the run began and from which file is not known, its "
            "rounds are read all the same."
        )


def _checked(path: Path, tree: dict[str, Any]) -> RunFile:
    schema = tree.pop("schema")
    if type(schema) is not int:
        raise DamagedError(f"{FILE} has no format number")
    if schema < OLDEST:
        raise BasinError(
            f"The run {path.name} was written by an older Basin (format {schema}, this one reads {OLDEST} and later); "
            "start it anew, or read it with the commit that its run.json names."
        )
    if schema > SCHEMA:
        raise BasinError(
            f"The run {path.name} was written by a newer Basin (format {schema}, this one reads up to "
            f"{SCHEMA}); upgrade Basin."
        )
    check_digest({"schema": schema, **tree}, FILE, required=schema == SCHEMA)
    tree.pop(DIGEST, None)
    try:
        return RunFile.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))[:80]
        raise DamagedError(f"{FILE} is wrong at {place}: {first['msg'].lower()}") from None


def _has_round_0(path: Path) -> bool:
    try:
        read_header(path, 0)
        return True
    except NewerError as newer:
        raise BasinError(f"Round 0 of {path.name} is a newer Basin's: {newer}.") from None
    except DamagedError:
        return False
