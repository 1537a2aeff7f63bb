"""Everything that may happen to a run's files: by chance (bits, ends, whole files) and on purpose (with hashes that fit).

`damages(run)` lists them for a run of at least three rounds; `become(...)` says what reading a damaged copy comes to.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from agent.errors import BasinError
from benchmarks.torture import evil, forging
from loops.checkpoint import encode
from loops.checkpoint.store import RunStore

Outcome = Literal["refused", "told", "unharmed", "silent"]
"""A sentence and no result; a result and a sentence; all that was there before; something else, and nobody was told."""


@dataclass(frozen=True)
class Damage:
    """Something done to a copy of a run."""

    name: str
    apply: Callable[[Path], None]
    kind: str = "by chance"
    """`by chance`, `between rounds`, `manifest` or `forged`: those with hashes that fit."""


def damages(run: Path) -> list[Damage]:
    """Several hundred, each with a name of its own and the same every time."""
    newest = max(int(folder.name[6:]) for folder in run.glob("round_*"))
    kinds = {
        "by chance": _by_chance(run),
        "between rounds": _between_rounds(newest),
        "manifest": _of_manifests(newest),
        "forged": _on_purpose(run, newest),
    }
    return [replace(damage, kind=kind) for kind, found in kinds.items() for damage in found]


@dataclass(frozen=True)
class Reading:
    """All that a run says, in bytes, and what was told on the way."""

    contents: Mapping[str, bytes]
    told: tuple[str, ...]


def read_all(run: Path) -> Reading:
    """Everything of a run that a command may read. Raises `BasinError` where something is refused."""
    told: list[str] = []
    store = RunStore.open(run)
    contents = {"config": store.config.model_dump_json().encode(), "about": repr(store.about).encode()}
    told += store.remarks
    told += [f"round {number} is broken" for number in store.broken()]
    for number in range(max(store.every(), default=-1) + 1):
        for name, content in encode.encode_round(store.load_kept(number)).items():
            contents[f"{number}/{name}"] = content
    contents |= encode.encode_passages(store.load_passages())
    contents |= encode.encode_pointer(store.load_pointer())
    if (certificate := store.load_certificate(told.append)) is not None:
        contents["certificate"] = json.dumps(certificate).encode()
    return Reading(contents, tuple(told))


def become(run: Path, whole: Reading) -> tuple[Outcome, str]:
    """What reading a damaged run comes to, and the sentence. Whatever is raised but `BasinError` is a failure of ours."""
    try:
        found = read_all(run)
    except BasinError as error:
        return "refused", str(error)
    if found.told:
        return "told", found.told[0]
    # A run that has not ended has no certificate either: one that is deleted is not loaded.
    missing = whole.contents.keys() - found.contents.keys() - {"certificate"}
    same = not missing and all(whole.contents.get(name) == each for name, each in found.contents.items())
    return ("unharmed" if same else "silent"), ""


def _by_chance(run: Path) -> list[Damage]:
    """To every file: bits, ends, and the whole of it."""
    found = []
    for file in sorted(each for each in run.rglob("*") if each.is_file() and each.suffix != ".log"):
        name, size = file.relative_to(run).as_posix(), file.stat().st_size
        for place in sorted({0, 8, size // 3, size // 2, size - 2}):
            found.append(Damage(f"bit {place % 8} of byte {place} of {name}", partial(_flip, name, place)))
        for what, change in (
            ("cut in half", lambda content: content[: len(content) // 2]),
            ("without its last byte", lambda content: content[:-1]),
            ("emptied", lambda content: b""),
            ("zeros of its length", lambda content: bytes(len(content))),
            ("there twice over", lambda content: content * 2),
        ):
            found.append(Damage(f"{name} {what}", partial(_rewrite, name, change)))
        for what, change in (
            ("deleted", lambda path: path.unlink()),
            ("a folder", _as_folder),
            ("a link to its copy", _as_link),
            ("a pipe", _as_pipe),
        ):
            found.append(Damage(f"{name} {what}", partial(_replace, name, change)))
    return found


def _between_rounds(newest: int) -> list[Damage]:
    """Files and folders of one round in another's place."""
    files = (
        "concept.json",
        "samples.json",
        "tensors.safetensors",
        "round.json",
        "cost.json",
        "manifest.json",
    )
    found = [
        Damage(
            f"{name} of rounds {newest - 1} and {newest} swapped", partial(_swap, newest - 1, newest, name)
        )
        for name in files
    ]
    found += [
        Damage(f"rounds {first} and {second} swapped", partial(_swap, first, second, ""))
        for first, second in ((newest - 1, newest), (0, 1))
    ]
    found += [
        Damage(f"round {source} copied over round {target}", partial(_copy, source, target))
        for source, target in ((newest - 1, newest), (newest, newest - 1), (0, newest))
    ]
    found += [
        Damage(f"round {number} is gone", lambda run, at=number: shutil.rmtree(forging.round_folder(run, at)))
        for number in range(newest)
    ]
    for what, change in (("a file", _folder_as_file), ("a link to its copy", _as_link), ("empty", _emptied)):
        found += [
            Damage(
                f"round {number} is {what}",
                lambda run, at=number, do=change: do(forging.round_folder(run, at)),
            )
            for number in (0, newest)
        ]
    # A round of another run, whole in itself: only what its neighbours know of it tells.
    found.append(Damage(f"round {newest - 1} of another run", partial(_of_another_run, newest - 1)))
    return found


def _of_manifests(newest: int) -> list[Damage]:
    """Manifests that name what they must not, with a digest that fits."""
    return [
        Damage(
            f"the manifest of round {newest} {name}",
            partial(forging.forge_manifest, number=newest, change=change),
        )
        for name, change in evil.manifests().items()
    ]


def _on_purpose(run: Path, newest: int) -> list[Damage]:
    """Contents that are wrong, in files whose hashes fit."""
    found = []
    for name, content in evil.no_json().items():
        for file in ("round.json", "concept.json", "samples.json", "cost.json"):
            found.append(
                Damage(
                    f"forged {file}: {name}",
                    partial(forging.forge, number=newest, name=file, content=content),
                )
            )
        for file in ("passages.json", "topic.json"):
            found.append(
                Damage(f"forged {file}: {name}", partial(forging.forge, number=0, name=file, content=content))
            )
    for file, changes in evil.changes().items():
        at = 0 if file in ("passages.json", "topic.json") else newest
        found += [
            Damage(f"forged {file}: {name}", partial(forging.forge_json, number=at, name=file, change=change))
            for name, change in changes.items()
        ]
    for name, change in evil.arrays().items():
        found.append(
            Damage(
                f"forged arrays: {name}",
                partial(forging.forge_arrays, number=newest, change=change, name="tensors.safetensors"),
            )
        )
    for name, change in evil.topics().items():
        found.append(
            Damage(
                f"forged topics: {name}",
                partial(forging.forge_arrays, number=0, change=change, name="topic.safetensors"),
            )
        )
    for name, content in evil.headers().items():
        found.append(
            Damage(
                f"forged header: {name}",
                partial(forging.forge, number=newest, name="tensors.safetensors", content=content),
            )
        )
    with_adapter = [folder for folder in sorted(run.glob("round_*")) if (folder / "adapter").is_dir()]
    if with_adapter:
        at = int(with_adapter[-1].name[6:])
        for name, change in evil.adapters().items():
            found.append(
                Damage(
                    f"forged adapter: {name}",
                    partial(forging.forge_json, number=at, name="adapter/adapter_config.json", change=change),
                )
            )
        weights = "adapter/adapter_model.safetensors"
        found += [
            Damage(
                "forged adapter: no weights", partial(forging.forge, number=at, name=weights, content=None)
            ),
            Damage(
                "forged adapter: a pickle beside it",
                partial(forging.forge, number=at, name="adapter/adapter_model.bin", content=b"\x80\x04."),
            ),
            Damage(
                "forged adapter: weights that are not finite",
                partial(
                    forging.forge_arrays,
                    number=at,
                    change=lambda arrays: {k: v * np.nan for k, v in arrays.items()},
                    name=weights,
                ),
            ),
        ]
    return found


def _flip(name: str, place: int, run: Path) -> None:
    content = bytearray((run / name).read_bytes())
    content[place % len(content)] ^= 1 << place % 8
    (run / name).write_bytes(content)


def _rewrite(name: str, change: Callable[[bytes], bytes], run: Path) -> None:
    (run / name).write_bytes(change((run / name).read_bytes()))


def _replace(name: str, change: Callable[[Path], None], run: Path) -> None:
    change(run / name)


def _as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _as_link(path: Path) -> None:
    """Moved out of the run, with a link left in its place."""
    outside = (
        path.parents[1] / f"outside-{path.name}" if path.is_dir() else path.with_name(f".outside-{path.name}")
    )
    path.rename(outside)
    path.symlink_to(outside)


def _as_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder_as_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_bytes(b"a round was here")


def _emptied(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def _swap(first: int, second: int, name: str, run: Path) -> None:
    one, other, between = (
        forging.round_folder(run, first) / name,
        forging.round_folder(run, second) / name,
        run / "between",
    )
    one.rename(between)
    other.rename(one)
    between.rename(other)


def _copy(source: int, target: int, run: Path) -> None:
    shutil.rmtree(forging.round_folder(run, target))
    shutil.copytree(forging.round_folder(run, source), forging.round_folder(run, target))


def _of_another_run(number: int, run: Path) -> None:
    """Another cost, as a second run of the same configuration has: whole in itself."""
    folder, name = forging.round_folder(run, number), "cost.json"
    tree = json.loads((folder / "manifest.json").read_bytes())
    content = json.dumps({**json.loads((folder / name).read_bytes()), "other": 1.0}).encode()
    (folder / name).write_bytes(content)
    tree["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    forging.write_manifest(run, number, tree)
