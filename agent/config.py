"""Named experiments and suites by name, and error sentences for invalid settings.

The files lie beside the packages in a checkout, and inside this package once installed.
"""

from __future__ import annotations

import difflib
import os
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from agent.errors import BasinError, quoted, shortened

_HERE = Path(__file__).resolve().parent
CONFIGS = _HERE / "configs" if (_HERE / "configs").is_dir() else _HERE.parent / "configs"


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


LONGEST_NAME = 120


def explain(error: ValidationError, kind: Any) -> str:
    """The first error of a validation against `kind`: a model, or a list or mapping of models."""
    first = error.errors(include_url=False, include_context=False)[0]
    place = [str(part) for part in first["loc"]]
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
    message = first["msg"].removeprefix("Value error, ")
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
