"""Forged run folders: changed files under manifests whose hashes fit, and pickles that act."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from loops.checkpoint.schema import digest_of

MANIFEST = "manifest.json"


class Trap:
    """Leaves a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.file,))


def round_folder(run: Path, number: int) -> Path:
    return run / f"round_{number:03d}"


def forge(run: Path, number: int, name: str, content: bytes | None) -> None:
    """Write a file of a round, or delete it for None, and make the manifests of all rounds fit."""
    folder = round_folder(run, number)
    tree = json.loads((folder / MANIFEST).read_bytes())
    if content is None:
        del tree["files"][name]
        (folder / name).unlink()
    else:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
        tree["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    write_manifest(run, number, tree)
    chain(run)


def forge_json(run: Path, number: int, name: str, change: Callable[[Any], Any]) -> None:
    """Change a JSON file of a round."""
    tree = json.loads((round_folder(run, number) / name).read_bytes())
    forge(run, number, name, json.dumps(change(tree)).encode())


def forge_arrays(
    run: Path, number: int, change: Callable[[dict[str, np.ndarray]], Mapping[str, np.ndarray]], name: str
) -> None:
    """Change the arrays of a safetensors file of a round."""
    arrays = safetensors.numpy.load((round_folder(run, number) / name).read_bytes())
    changed = {key: np.ascontiguousarray(each) for key, each in change(arrays).items()}
    forge(run, number, name, safetensors.numpy.save(changed))


def forge_manifest(run: Path, number: int, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change a manifest, with a fitting digest and fitting later rounds."""
    folder = round_folder(run, number)
    write_manifest(run, number, change(json.loads((folder / MANIFEST).read_bytes())))
    chain(run, after=number)


def write_manifest(run: Path, number: int, tree: Any) -> None:
    """Write a manifest with its own digest."""
    if isinstance(tree, dict):
        tree = {key: value for key, value in tree.items() if key != "sha256"}
        tree["sha256"] = digest_of(tree)
    (round_folder(run, number) / MANIFEST).write_text(json.dumps(tree, indent=1, sort_keys=True))


def chain(run: Path, after: int = 0) -> None:
    """Recompute the `follows` digest of every round after `after`."""
    for folder in sorted(run.glob("round_*")):
        number = int(folder.name.removeprefix("round_"))
        before = round_folder(run, number - 1) / MANIFEST
        if number > after and before.exists():
            tree = json.loads((folder / MANIFEST).read_bytes())
            tree["follows"] = hashlib.sha256(before.read_bytes()).hexdigest()
            write_manifest(run, number, tree)


def seal_again(file: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Change a file beside the rounds, with a fitting digest."""
    tree = json.loads(file.read_bytes())
    tree.pop("sha256", None)
    tree = change(tree)
    file.write_text(json.dumps({**tree, "sha256": digest_of(tree)}))
