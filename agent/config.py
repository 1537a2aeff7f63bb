"""The base of configurations: paths and numbers in them, named experiments, and sentences for errors.

The named files lie beside the packages in a checkout, and inside this package once installed.
"""

from __future__ import annotations

import difflib
import math
import numbers
import os
import types
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator
from pydantic.fields import FieldInfo

from agent.errors import BasinError, quoted, shortened

_HERE = Path(__file__).resolve().parent
CONFIGS = _HERE / "configs" if (_HERE / "configs").is_dir() else _HERE.parent / "configs"


class StageConfig(BaseModel):
    """Base of every stage's configuration: immutable; unknown keys, infinities and NaN are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _numbers(cls, value: Any, info: Any) -> Any:
        """Refuse `true` where a number is wanted; pydantic reads it as 1."""
        kind = cls.model_fields[str(info.field_name)].annotation
        kinds = {kind, *get_args(kind)}
        if isinstance(value, bool) and kinds & {int, float} and bool not in kinds:
            raise ValueError("give a number")
        return value


Config = TypeVar("Config", bound=StageConfig)


def named_configs() -> list[str]:
    """Names of the experiments that come with Basin, such as `brown`."""
    return sorted(file.stem for file in (CONFIGS / "runs").glob("*.yaml"))


def find_config(name: str | os.PathLike[str]) -> Path:
    """The config file of a path, or else of an experiment's name.

    Raises:
        BasinError: neither exists; the sentence gives the nearest names.
    """
    given = os.fspath(name)
    path = Path(os.path.expanduser(given))
    # Unlike Path.exists, os.path.exists accepts invalid names.
    if os.path.exists(path) and not os.path.isdir(path):
        return path
    experiments = named_configs()
    if given in experiments:
        return CONFIGS / "runs" / f"{given}.yaml"
    near = difflib.get_close_matches(path.stem[:200], experiments, n=2, cutoff=0.5) or experiments
    if os.path.isdir(path):
        raise BasinError(f"{shortened(given, 200)} is a folder and no config file; name a file in it.")
    raise BasinError(
        f"There is no config file {shortened(given, 200)}; named experiments are {', '.join(near)}: `basin run {near[0]}` "
        "takes one from any folder."
    )


@dataclass(frozen=True)
class PathSetting:
    """Marks a setting (`Annotated[str, PathSetting()]`) whose value may be a path.

    A relative path starts at the folder of the file it is written in, then at the working directory.
    """

    names: Collection[str] = ()
    """Values that are names and never paths."""
    prefix: str | None = None
    """Values that begin like this are no paths either."""
    hub: bool = False
    """Whether a value that leads nowhere may be a hub id."""

    def resolve(self, value: str, folder: Path) -> str:
        """The absolute path, also of a path that leads nowhere; other values unchanged."""
        if value in self.names or (self.prefix is not None and value.startswith(self.prefix)):
            return value
        path = os.path.expanduser(value)
        if found := next((each for each in (folder, Path()) if os.path.exists(each / path)), None):
            return os.path.realpath(found / path)
        is_path = not self.hub or value.startswith((".", "~", os.sep)) or value.endswith(".gguf")
        return os.path.abspath(folder / path) if is_path and value.strip() and "\0" not in value else value


def absolute_paths(config: Config, folder: Path) -> Config:
    """The configuration with every setting that is a path made absolute, so it holds in any folder."""
    changes: dict[str, Any] = {}
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        setting = _path_mark(field)
        if setting is not None and isinstance(value, str):
            changes[name] = setting.resolve(value, folder)
        elif isinstance(value, StageConfig):
            changes[name] = absolute_paths(value, folder)
        elif isinstance(value, tuple) and any(isinstance(each, StageConfig) for each in value):
            changes[name] = tuple(absolute_paths(each, folder) for each in value)
    return config.model_copy(update=changes)


def path_setting(kind: type[BaseModel], key: str) -> PathSetting | None:
    """The mark of a setting by its dotted name; None for an unknown one and for one that is no path."""
    *parents, leaf = key.strip().split(".")
    fields = [model.model_fields.get(leaf) for model in _models_at(kind, parents)]
    return next((mark for field in fields if field and (mark := _path_mark(field))), None)


def _path_mark(field: FieldInfo) -> PathSetting | None:
    return next((each for each in field.metadata if isinstance(each, PathSetting)), None)


def check_number(
    name: str, value: object, *, least: float = -math.inf, most: float = math.inf, whole: bool = False
) -> None:
    """Refuse an argument that is no finite number in [least, most].

    Configurations have their own check; this one is for the command line and Python.

    Raises:
        BasinError: the value is NaN, infinite, out of range, no number, or not whole where it must be.
    """
    kind = numbers.Integral if whole else numbers.Real
    if isinstance(value, kind) and not isinstance(value, bool):
        with suppress(OverflowError):  # an integer beyond the floating-point range
            number = float(value)
            if math.isfinite(number) and least <= number <= most:
                return
    wanted = "a whole number" if whole else "a finite number"
    low = f" from {least:g}" if least > -math.inf else ""
    high = f" to {most:g}" if most < math.inf else " on" if low else ""
    raise BasinError(f"{name} was {quoted(value)}: give {wanted}{low}{high}.")


LONGEST_NAME = 120
WANTED = {"string_type": "give a text, in quotes", "tuple_type": "give a list, such as [one, two]"}
"""By the kind of error, what to write; for the others pydantic's message says it."""


def explain(error: ValidationError, kind: Any) -> str:
    """The first error of a validation against `kind`: a model, or a list or mapping of models."""
    errors = error.errors(include_url=False, include_context=False)
    first = errors[0]
    place = [str(part) for part in first["loc"]]
    if place and place[-1].startswith("literal["):  # pydantic's name for one alternative of several
        place.pop()
        tried = [each["msg"] for each in errors if each["loc"][:-1] == first["loc"][:-1]]
        first["msg"] = ", or ".join([tried[0], *(each[0].lower() + each[1:] for each in tried[1:])])
    name = shortened(".".join(place), LONGEST_NAME) or "the whole"
    if first["type"] == "extra_forbidden":
        near = _nearest(place[-1], kind, place[:-1])
        meant = (
            f"; the nearest known one is {shortened('.'.join([*place[:-1], near]), LONGEST_NAME)}"
            if near
            else ""
        )
        return f"there is no setting {name}{meant}."
    if first["type"] == "missing":
        return f"{name} is missing."
    message = WANTED.get(first["type"]) or first["msg"].removeprefix("Value error, ")
    return f"{name}: {shortened(message[0].lower() + message[1:], 120)} (got {quoted(first['input'])})."


def _nearest(unknown: str, kind: Any, place: Sequence[str]) -> str | None:
    known = sorted({name for model in _models_at(kind, place) for name in model.model_fields})
    return next(iter(difflib.get_close_matches(unknown[:60], known, n=1, cutoff=0)), None)


def _models_at(kind: Any, place: Sequence[str]) -> Iterator[type[BaseModel]]:
    """Every model that may stand at a place, through lists, mappings and unions."""
    if get_origin(kind) in (Union, types.UnionType):
        for each in get_args(kind):
            # The place may name the alternative that was tried.
            yield from _models_at(
                each, place[1:] if place and place[0] == getattr(each, "__name__", "") else place
            )
    elif isinstance(kind, type) and issubclass(kind, BaseModel):
        if not place:
            yield kind
        elif place[0] in kind.model_fields:
            yield from _models_at(kind.model_fields[place[0]].annotation, place[1:])
    elif place and get_args(kind):
        for each in get_args(kind):
            yield from _models_at(each, place[1:])
