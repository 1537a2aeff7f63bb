"""Checks of what transformers loaded, which only warns where a layer is left at random."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from glob import escape, glob
from typing import Any

import torch

from agent.errors import BasinError, first_sentence

HARMLESS = re.compile(r"(inv_freq|masked_bias|\.attn\.bias|\.attention\.bias)$")
"""Buffers of old releases, which models compute from their configuration."""
EXPONENT = {torch.float32: (torch.int32, 0x7F800000), torch.bfloat16: (torch.int16, 0x7F80)}
"""The bits that are all set in a number that is not finite; ten times as fast as `isfinite`."""


def refuse_unloaded(found: Mapping[str, Any], name: str) -> None:
    """Raise `BasinError` if weights of the file and of the model do not pair up, by name.

    Args:
        found: the loading info of `from_pretrained`. A head tied to the embedding is not missing.
    """
    unexpected = [key for key in found.get("unexpected_keys", ()) if not HARMLESS.search(key)]
    parts = [
        _named("lacks {}", found.get("missing_keys", ())),
        _named("has {}, which the model does not have", unexpected),
        _named("has another shape for {}", [key for key, *_ in found.get("mismatched_keys", ())]),
        *map(str, found.get("error_msgs", ())),
    ]
    if wrong := "; ".join(filter(None, parts)):
        raise BasinError(
            f"The weights of {name!r} are not those of its configuration (the file {wrong}): such layers would be "
            "random; use a file and a config.json that belong together."
        )


def refuse_not_finite(model: Any, name: str) -> None:
    """Raise `BasinError` naming the first weight that is NaN or infinite."""
    wrong = [key for key, weight in model.state_dict().items() if not _is_finite(weight)]
    if wrong:
        raise BasinError(
            f"Model {name!r} has weights that are NaN or infinite ({_named('{}', wrong)}): its file is damaged, or was "
            "saved by a training that failed; use another copy."
        )


def refuse_larger_tokenizer(model: Any, tokenizer: Any, name: str) -> None:
    """Raise `BasinError` if the tokenizer has tokens without a row of the embedding."""
    tokens = max(tokenizer.get_vocab().values(), default=-1) + 1
    rows = model.get_input_embeddings().weight.shape[0]
    if tokens > rows:
        raise BasinError(
            f"The tokenizer of {name!r} has {tokens} tokens, and the model's embedding only {rows} rows: use the "
            "model's own tokenizer, or resize the embedding (`resize_token_embeddings`) and train it."
        )


def not_loaded(kind: str, name: str, error: Exception, remedy: str) -> BasinError:
    """The error for a model or configuration that transformers could not load."""
    if "trust_remote_code" in str(error):
        return BasinError(
            f"{kind} {name!r} comes with Python code of its own: set language_model.trust_remote_code to true if you "
            "trust its authors, since the code gets all your permissions."
        )
    if isinstance(error, ImportError):
        remedy = "install it, or name a model whose weights are not quantised"
        return BasinError(
            f"{kind} {name!r} needs a library that is not installed ({first_sentence(error)}): {remedy}."
        )
    if os.path.isdir(name):
        whole = "config.json, the tokenizer, and every weight file as safetensors"
        remedy = f"check that the folder holds all of a model that transformers knows ({whole})"
    shut = next((file for file in glob(f"{escape(name)}/*") if not os.access(file, os.R_OK)), None)
    if shut is not None:
        remedy = f"{shut} cannot be read, so check its permissions"
    if sys.flags.optimize > 1:
        remedy = "run Python without -OO and PYTHONOPTIMIZE=2, since transformers reads its docstrings"
    return BasinError(f"{kind} {name!r} could not be loaded ({first_sentence(error)}): {remedy}.")


def _named(sentence: str, keys: Any) -> str:
    first, *rest = sorted(map(str, keys)) or [""]
    return sentence.format(first + (f" and {len(rest)} more" if rest else "")) if first else ""


def _is_finite(weight: torch.Tensor) -> bool:
    if not weight.is_floating_point() or weight.device.type == "meta":
        return True
    if weight.dtype not in EXPONENT:
        return weight.itemsize == 1 or bool(torch.isfinite(weight).all())
    if weight.dtype == torch.float32 and torch.isfinite(weight.sum()):
        return True
    whole, bits = EXPONENT[weight.dtype]
    exponents = weight.detach().reshape(-1).view(whole) & bits
    return not exponents.numel() or int(exponents.max()) != bits
