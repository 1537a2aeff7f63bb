"""Loading a causal language model by name."""

from __future__ import annotations

import logging
from typing import Annotated, Any, Literal

import torch
import transformers
from accelerate import infer_auto_device_map
from accelerate.utils import get_balanced_memory
from pydantic import Field

from agent.config import PathSetting, StageConfig
from agent.errors import BasinError
from agent.hub.loaded import not_loaded, refuse_larger_tokenizer, refuse_not_finite, refuse_unloaded
from agent.hub.models import EMBEDDED, local_files_only, resolve_model
from agent.hub.quiet import quiet_transformers
from agent.language_model.architecture import (
    choose_device,
    choose_dtype,
    empty_model,
    reads_forward,
    refuse_encoder,
    refuse_other_kinds,
)

logger = logging.getLogger(__name__)

LOADING = {"output_loading_info": True, "ignore_mismatched_sizes": True}
"""Options that name all keys that do not pair up, for `refuse_unloaded`."""


class LanguageModelConfig(StageConfig):
    """The model, its device, and the layers to record."""

    name: Annotated[str, PathSetting(tuple(EMBEDDED), hub=True)] = "smollm2-135m"
    """An embedded model, a hub id, a local folder, or a local GGUF file."""
    layers: tuple[int, ...] = ()
    """Recorded layers, rising; empty: those at 40, 60 and 80 % of the depth."""
    dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    """`auto`: bfloat16 where the hardware multiplies it natively, else float32."""
    device: str = "auto"
    """`auto`: the first CUDA device if the model fits, else the CPU; `cpu`; `cuda`, `cuda:1`;
    `spread`: the blocks on all CUDA devices."""
    batch_tokens: int | None = Field(None, ge=1)
    """Tokens read at a time, with padding; empty: 1,024 on a CPU, 4,096 elsewhere."""
    max_tokens: int = Field(512, ge=2)
    """Longer texts are cut."""
    trust_remote_code: bool = False
    """Run the Python code of a model outside transformers, with all your permissions."""


def load_model(config: LanguageModelConfig) -> tuple[Any, Any]:
    """The transformers model and its tokenizer.

    Raises `BasinError` if the model is not in reach, is not a causal language model, or lacks a
    library; if weights are missing, foreign, misshapen or not finite; or if the tokenizer is larger
    than the embedding.
    """
    path = resolve_model(config.name)
    device = choose_device(config.device)
    if config.trust_remote_code:
        logger.warning(
            f"{config.name} may run code of its own on this machine (language_model.trust_remote_code)."
        )
    options: dict[str, Any] = {
        "local_files_only": local_files_only(path),
        "trust_remote_code": config.trust_remote_code,
    }
    try:
        with quiet_transformers():
            tokenizer = transformers.AutoTokenizer.from_pretrained(path, **options)
            described = transformers.AutoConfig.from_pretrained(path, **options)
            refuse_other_kinds(described, config.name)
            quantised = bool(getattr(described, "quantization_config", None))
            dtype = choose_dtype(config.dtype, device)
            if config.device == "auto" and device.type == "cuda" and not quantised:
                device = _fitting(described, dtype, device, config.name)
                dtype = choose_dtype(config.dtype, device)
            logger.info(
                f"language model: loading {config.name} in {str(dtype).removeprefix('torch.')} on {device}"
            )
            if config.device == "spread":
                options["device_map"] = spread(described, dtype)
            elif quantised:
                options["device_map"] = {"": device}  # packed weights are made where they stay
            # Safetensors alone: the older format of weights is a pickle.
            model, found = transformers.AutoModelForCausalLM.from_pretrained(
                path, dtype=dtype, use_safetensors=True, **LOADING, **options
            )
    except BasinError:
        raise
    except Exception as error:  # transformers, and code that a model brings, raise anything
        remedy = (
            f"name an embedded model ({', '.join(EMBEDDED)}), a local folder, or a hub model while the hub is in "
            "reach, whose weights are safetensors"
        )
        raise not_loaded("Language model", config.name, error, remedy) from error
    refuse_unloaded(found, config.name)
    refuse_larger_tokenizer(model, tokenizer, config.name)
    model = model if "device_map" in options else model.to(device)
    check_places(model, config.name)
    refuse_not_finite(model, config.name)
    if not reads_forward(model):
        refuse_encoder(config.name)
    return model, tokenizer


def _fitting(described: Any, dtype: torch.dtype, device: torch.device, name: str) -> torch.device:
    """The CUDA device if the weights fit into its memory, else the CPU."""
    size = sum(weight.numel() for weight in empty_model(described).parameters()) * dtype.itemsize
    if size < torch.cuda.get_device_properties(device).total_memory:
        return device
    logger.warning(
        f"{name} has {size / 1e9:.0f} GB of weights, more than {device} holds: it runs on the CPU "
        "(language_model.device: spread uses all GPUs)."
    )
    return torch.device("cpu")


def spread(described: Any, dtype: torch.dtype) -> dict[str, Any]:
    """accelerate's automatic device map, with the output layer moved to the embedding."""
    model = empty_model(described)
    model.tie_weights()
    whole = list(model._no_split_modules or ())
    memory = get_balanced_memory(model, no_split_module_classes=whole, dtype=dtype)
    places: dict[str, Any] = infer_auto_device_map(model, memory, no_split_module_classes=whole, dtype=dtype)
    names = {module: name for name, module in model.named_modules()}
    embedding, head = names[model.get_input_embeddings()], names[model.get_output_embeddings()]
    if head in places:
        places[head] = next(
            place for name, place in places.items() if embedding == name or embedding.startswith(f"{name}.")
        )
    return places


def check_places(model: Any, name: str) -> None:
    """Raise `BasinError` for offloaded parts, or an output layer apart from the embedding."""
    away = [part for part, weight in model.named_parameters() if weight.device.type == "meta"]
    if away:
        raise BasinError(
            f"Model {name!r} has parts on disk or in main memory ({away[0]} and {len(away) - 1} more), which cannot be "
            "steered or adapted: choose a smaller model, or GPUs that hold all of it (language_model.device: spread)."
        )
    ends = [each.weight.device for each in (model.get_input_embeddings(), model.get_output_embeddings())]
    if ends[0] != ends[1]:
        raise BasinError(
            f"Model {name!r} has its embedding on {ends[0]} and its output layer on {ends[1]}: load it with "
            "language_model.device, which keeps both together."
        )
