"""What a model is: digests of everything that its numbers depend on.

Caches and training states are kept by them, and runs and successors are held to them.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xxhash

LIBRARIES = ("torch", "transformers", "tokenizers")
VOLATILE = ("transformers_version", "_name_or_path", "dtype", "torch_dtype", "_from_model_config")
"""Settings that change no number, or have a field of their own."""
SAMPLE = 4096


@dataclass(frozen=True)
class ModelIdentity:
    """Digests of the parts of a model in memory, adapters and quantisation included."""

    weights: str
    """Formats that hold the numbers exactly, and their digest: equal for float32 and bfloat16."""
    config: str
    """Settings that differ from the defaults of their class, and the generation settings."""
    tokenizer: str
    """Vocabulary, merges, special tokens, truncation, and chat template."""
    code: str
    """Of a model that brings its own; else empty."""
    dtype: str
    revision: str | None
    """The commit on the hub. The parts decide, so another commit of equal parts is the same model."""

    @classmethod
    def of(cls, model: Any, tokenizer: Any) -> ModelIdentity:
        """Of a transformers model as it is in memory; reads all weights once."""
        settings = [
            type(model).__name__,
            _settings(model.config),
            _settings(getattr(model, "generation_config", None)),
        ]
        return cls(
            _weights(model),
            _digest([json.dumps(settings, sort_keys=True, default=str).encode()]),
            _digest(_tokenizer(tokenizer)),
            _code(model, tokenizer),
            str(model.dtype).removeprefix("torch."),
            getattr(model.config, "_commit_hash", None),
        )

    @property
    def digest(self) -> str:
        """32 hex digits that change with any part and with the libraries that compute the numbers."""
        parts = asdict(self) | {name: importlib.metadata.version(name) for name in LIBRARIES}
        del parts["revision"]
        return _digest([json.dumps(parts, sort_keys=True).encode()])

    def may_have_weights_of(self, model: Any) -> bool:
        """False if a transformers model has other weights, in the same number formats."""
        return self._may_have(_weights(model), str(model.dtype).removeprefix("torch."))

    def _may_have(self, weights: str, dtype: str) -> bool:
        comparable = dtype == self.dtype or weights.split(":")[0] == self.weights.split(":")[0]
        return weights == self.weights or not comparable

    def differences(self, other: ModelIdentity) -> list[str]:
        """The parts in which two models differ. Another number format rounds weights, which is none."""
        found = [] if self._may_have(other.weights, other.dtype) else ["weights"]
        others = ("config", "tokenizer", "code")
        found += [part for part in others if getattr(self, part) != getattr(other, part)]
        return found + ["revision"] * bool(found and self.revision != other.revision)


def _digest(parts: Iterable[Any]) -> str:
    digest = xxhash.xxh3_128()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _weights(model: Any) -> str:
    digest, formats, seen = xxhash.xxh3_128(), set(), dict[tuple[Any, ...], str]()
    for name, weight in model.state_dict().items():
        place = (weight.data_ptr(), weight.device, tuple(weight.shape), weight.dtype)
        tied = seen.setdefault(place, name) if weight.numel() else name
        digest.update(f"{name} {tuple(weight.shape)} {tied}".encode())
        if tied == name:
            kind, bits = _bits(weight.detach().cpu().reshape(-1))
            formats.add(kind)
            digest.update(bits)
    return f"{' '.join(sorted(formats))}:{digest.hexdigest()}"


def _bits(flat: torch.Tensor) -> tuple[str, Any]:
    """The bits of the numbers, as bfloat16 where that holds all of them."""
    if flat.dtype == torch.float32:
        bits = flat.view(torch.int32).numpy()
        if not any(np.bitwise_or.reduce(part) & 0xFFFF for part in (bits[:SAMPLE], bits)):
            return "bfloat16", np.ascontiguousarray(bits.view(np.int16)[1::2])
    return str(flat.dtype).removeprefix("torch."), flat.contiguous().view(torch.uint8).numpy()


def _settings(config: Any) -> Any:
    """Settings other than their class's defaults, which a later release of transformers may add to."""
    if config is None:
        return None
    try:
        usual = type(config)().to_dict()
    except Exception:  # a class without defaults
        usual = {}
    return _apart(config.to_dict(), usual)


def _apart(tree: dict[Any, Any], usual: dict[Any, Any]) -> dict[str, Any]:
    found = {}
    for name, value in tree.items():
        default = usual.get(name)
        if isinstance(value, dict) and isinstance(default, dict):
            value, default = _apart(value, default), {}
        if name not in VOLATILE and value != default:
            found[str(name)] = value
    return found


def _tokenizer(tokenizer: Any) -> Iterable[bytes]:
    about = {
        "class": type(tokenizer).__name__,
        "special": tokenizer.special_tokens_map,
        "added": {index: repr(token) for index, token in tokenizer.added_tokens_decoder.items()},
        "sides": [tokenizer.truncation_side, tokenizer.padding_side],
        "template": tokenizer.chat_template,
    }
    if getattr(tokenizer, "split_special_tokens", False):
        about["split_special_tokens"] = True
    if (backend := getattr(tokenizer, "backend_tokenizer", None)) is not None:
        backend.no_truncation()  # each call sets what it needs
        backend.no_padding()
        return [json.dumps(about, sort_keys=True, default=str).encode(), backend.to_str().encode()]
    plain = {key: each for key, each in tokenizer.init_kwargs.items() if isinstance(each, bool | int | float)}
    about |= {"settings": plain, "vocabulary": tokenizer.get_vocab()}
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_vocabulary(folder)
        files = [file.read_bytes() for file in sorted(Path(folder).rglob("*")) if file.is_file()]
    return [json.dumps(about, sort_keys=True, default=str).encode(), *files]


def _code(*objects: Any) -> str:
    files = {
        file
        for each in objects
        if type(each).__module__.startswith("transformers_modules")
        for file in Path(str(sys.modules[type(each).__module__].__file__)).parent.rglob("*.py")
    }
    found = sorted(file.name + hashlib.sha256(file.read_bytes()).hexdigest() for file in files)
    return _digest(each.encode() for each in found) if found else ""
