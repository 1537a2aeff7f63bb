"""The export formats by name, and the function that writes one of them whole or not at all."""

from __future__ import annotations

import difflib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError

from agent.errors import BasinError
from loops.export.data import write_dataset, write_gguf_vector, write_tensors
from loops.export.model import write_adapter, write_model
from loops.export.subject import Export

DTYPES = ("bfloat16", "float16", "float32")


@dataclass(frozen=True)
class Format:
    """One export format."""

    write: Callable[[Export, Path], list[str]]
    """Writes to a draft path and returns sentences on what the format leaves out."""
    ending: str
    """Of the file's name; empty for a folder."""


FORMATS = {
    "control-vector": Format(write_gguf_vector, ".gguf"),
    "safetensors": Format(write_tensors, ".safetensors"),
    "adapter": Format(write_adapter, ""),
    "model": Format(write_model, ""),
    "dataset": Format(write_dataset, ""),
}


@dataclass(frozen=True)
class Made:
    """A finished export."""

    path: Path
    sentences: list[str]
    """What the export leaves out, and how to use it."""


def export_round(export: Export, name: str, out: Path | None = None) -> Made:
    """Write one format.

    Args:
        out: the target; by default run, round and format as a name in the working directory.

    Raises:
        BasinError: the format is unknown, the round lacks something it needs, or the target exists
            or cannot be written.
    """
    if name not in FORMATS:
        near = difflib.get_close_matches(name, FORMATS, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}? There are" if near else "there are"
        raise BasinError(f"There is no format {name!r}; {hint} {', '.join(FORMATS)}.")
    if export.dtype not in DTYPES:
        raise BasinError(f"There is no --dtype {export.dtype!r}; there are {', '.join(DTYPES)}.")
    chosen = FORMATS[name]
    target = out or Path(f"{export.store.name}-round{export.round}-{name}{chosen.ending}")
    with _draft_of(target) as draft:
        sentences = chosen.write(export, draft)
    return Made(target, sentences)


@contextmanager
def _draft_of(target: Path) -> Iterator[Path]:
    """A path beside the target that takes its place on success and is removed on failure.

    Raises:
        BasinError: the target exists, or it cannot be written.
    """
    if os.path.lexists(target):
        raise BasinError(f"{target} exists already; move it away, or name another place with --out.")
    draft = target.with_name(f".{target.name}.tmp-{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove(draft)
        yield draft
        os.replace(draft, target)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BasinError(
            f"{target} cannot be written ({reason}); make room there, or name another place with --out."
        ) from None
    finally:
        _remove(draft)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
