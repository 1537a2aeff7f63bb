"""Where an export goes: to a draft beside its place, which takes the place when everything is written."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from agent.errors import BasinError


@contextmanager
def drafted(target: Path) -> Iterator[Path]:
    """A path to write a file or a folder to; nothing is left of it when that fails.

    Raises:
        BasinError: something is at the target already, or it cannot be written.
    """
    refuse_taken(target)
    draft = target.with_name(f".{target.name}.tmp-{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        remove(draft)
        yield draft
        os.replace(draft, target)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BasinError(
            f"{target} cannot be written ({reason}); make room there, or name another place with --out."
        ) from None
    finally:
        remove(draft)


def refuse_taken(target: Path) -> None:
    """Raise `BasinError` where something is at the target already: an export replaces nothing."""
    if os.path.lexists(target):
        raise BasinError(f"{target} exists already; move it away, or name another place with --out.")


def remove(path: Path) -> None:
    """Take away a file or a folder, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
