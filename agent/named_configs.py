"""Where the named experiments and suites lie: beside the packages in a checkout, inside this one once Basin is installed."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path

from agent.errors import BasinError, shortened

_HERE = Path(__file__).resolve().parent
CONFIGS = _HERE / "configs" if (_HERE / "configs").is_dir() else _HERE.parent / "configs"

_OF_A_RUN = re.compile(r"^corpus:", re.MULTILINE)
"""What tells an experiment from a suite or a file of labels."""


def named_configs() -> list[str]:
    """Names of the experiments that come with Basin, as `brown`."""
    files = sorted(CONFIGS.glob("*.yaml"))
    return [file.stem for file in files if _OF_A_RUN.search(file.read_text(encoding="utf-8"))]


def find_config(name: str | os.PathLike[str]) -> Path:
    """The file that was named: a path, or the name of an experiment that comes with Basin, from any folder.

    A file of that path goes before an experiment of that name.

    Raises:
        BasinError: there is neither; the nearest names are given.
    """
    said = os.fspath(name)
    path = Path(os.path.expanduser(said))
    # Unlike Path.exists, os.path's takes a name that cannot be one.
    if os.path.exists(path) and not os.path.isdir(path):
        return path
    experiments = named_configs()
    if said in experiments:
        return CONFIGS / f"{said}.yaml"
    near = difflib.get_close_matches(path.stem[:200], experiments, n=2, cutoff=0.5) or experiments
    if os.path.isdir(path):
        raise BasinError(f"{shortened(said, 200)} is a folder and no config file; name a file in it.")
    raise BasinError(
        f"There is no config file {shortened(said, 200)}; named experiments are {', '.join(near)}: `basin run {near[0]}` "
        "takes one from any folder."
    )
