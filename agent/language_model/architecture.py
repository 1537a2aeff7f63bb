"""The layout of a causal language model, and the choice of its layers, device and dtype."""

from __future__ import annotations

import copy
from typing import Any, NoReturn

import torch
import transformers
from torch import nn
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from agent.errors import BasinError, first_sentence

SUCH_AS = "Llama, Mistral, Qwen, Gemma, GPT-2, GPT-NeoX or OPT"
SAME = {torch.float32: 1e-4}
"""Relative rounding error of states by dtype; 0.02 for shorter formats."""


def base_of(model: Any) -> Any:
    """The part of a causal model that computes states of tokens: all but the output layer."""
    if model.base_model is not model:
        return model.base_model
    blocks = decoder_blocks(model)  # some classes name a base that they do not have
    return next(child for child in model.children() if any(each is blocks for each in child.modules()))


def decoder_blocks(model: Any) -> nn.ModuleList:
    """The list of decoder blocks: the shallowest `ModuleList` of the configured depth.

    This holds for Llama, Mistral, Qwen, Gemma, GPT-2, GPT-NeoX, OPT and most others. Raises
    `BasinError` for a model without such a list.
    """
    depth = model.config.get_text_config().num_hidden_layers
    lists = [
        (name.count("."), name, module)
        for name, module in model.get_decoder().named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == depth
    ]
    if not lists or depth < 2:
        raise BasinError(
            f"Model class {type(model).__name__} keeps no list of {depth} decoder blocks that Basin could "
            f"steer between: choose a model such as {SUCH_AS}."
        )
    return min(lists, key=lambda item: item[:2])[2]


def empty_model(config: Any) -> Any:
    """The model of a configuration, without weights; takes a second at any size."""
    config = copy.deepcopy(config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    with torch.device("meta"):
        return transformers.AutoModelForCausalLM.from_config(config)


def refuse_other_kinds(config: Any, name: str) -> None:
    """Raise `BasinError` for anything but a causal language model with attention."""
    kind = config.model_type
    if getattr(config, "is_encoder_decoder", False):
        raise BasinError(
            f"Model {name!r} ({kind}) is an encoder-decoder, and Basin needs a model that only reads forward: choose a causal "
            f"language model such as {SUCH_AS}."
        )
    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and not getattr(config, "auto_map", None):
        raise BasinError(
            f"Model {name!r} ({kind}) is no causal language model of transformers: choose one such as {SUCH_AS}."
        )
    if not getattr(config.get_text_config(), "num_attention_heads", None):
        raise BasinError(
            f"Model {name!r} ({kind}) has no attention: Basin cannot adapt state-space and other recurrent models; choose one "
            f"such as {SUCH_AS}."
        )


@torch.no_grad()
def reads_forward(model: Any) -> bool:
    """Whether a token changes no state before it, unlike in an encoder; reads eight tokens."""
    words = model.get_input_embeddings().weight.shape[0]
    ids = (
        torch.tensor([[5, 4, 3, 6], [5, 4, 3, 7]], device=model.get_input_embeddings().weight.device) % words
    )
    states = base_of(model)(
        input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False
    ).last_hidden_state
    apart = (states[0, :3] - states[1, :3]).float().norm() / states[0, :3].float().norm()
    return not apart > SAME.get(states.dtype, 0.02)


def rotation_limit(model: Any) -> int | None:
    """Tokens beyond which a whole batch is rotated by other factors (LongRoPE, Ding et al. 2402.13753).

    None for other models: dynamic scaling too starts at `longest_sequence`, where texts are cut.
    """
    limits = []
    for module in model.modules():
        kinds = getattr(module, "rope_type", None)
        for layer, kind in (kinds if isinstance(kinds, dict) else {None: kinds}).items():
            if kind == "longrope":
                settings = module.config.rope_parameters
                settings = settings if layer is None else settings[layer]
                limits.append(int(settings["original_max_position_embeddings"]))
    return min(limits, default=None)


@torch.no_grad()
def hides_padding(base: Any) -> bool:
    """Whether padding before a text leaves its states alone, unlike in some recurrent models."""
    rows = base.get_input_embeddings().weight.shape[0]
    ids = torch.tensor([[5, 4, 3, 6, 7, 8]], device=base.get_input_embeddings().weight.device) % rows
    real = torch.ones_like(ids)
    alone, beside = (
        base(
            input_ids=nn.functional.pad(ids, (padding, 0)),
            attention_mask=nn.functional.pad(real, (padding, 0)),
            use_cache=False,
        ).last_hidden_state[0, -1]
        for padding in (0, 6)
    )
    return not (alone - beside).float().norm() / alone.float().norm() > SAME.get(alone.dtype, 0.02)


def refuse_encoder(name: str) -> NoReturn:
    raise BasinError(
        f"Model {name!r} is an encoder, which reads both ways, and Basin needs a model that only reads forward: choose a "
        f"causal language model such as {SUCH_AS}."
    )


def choose_layers(layers: tuple[int, ...], depth: int, name: str) -> tuple[int, ...]:
    """The given layers, or those at 40, 60 and 80 % of the depth; `BasinError` for invalid ones."""
    if not layers:
        return tuple(sorted({min(max(round(share * depth), 1), depth - 1) for share in (0.4, 0.6, 0.8)}))
    if list(layers) != sorted(set(layers)) or layers[0] < 1 or layers[-1] >= depth:
        raise BasinError(
            f"Layers {list(layers)} of model {name!r} must rise and lie between 1 and {depth - 1}."
        )
    return layers


def choose_device(name: str) -> torch.device:
    """The device of a name; `auto` and `spread` mean the first CUDA device, or the CPU without one.

    Raises `BasinError` for a device that does not exist or keeps no weights.
    """
    if name in ("auto", "spread"):
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("meta"):
        raise BasinError(f"Device {name!r} keeps no weights: use auto, cpu, cuda or spread.")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise BasinError(
            f"Device {name!r} is not available ({first_sentence(error)}): use auto, cpu, cuda or spread."
        ) from error


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """bfloat16 or float32; `auto` depends on the hardware's capabilities alone."""
    if name != "auto":
        return {"bfloat16": torch.bfloat16, "float32": torch.float32}[name]
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        # The public `torch.cpu.get_capabilities` is younger than the oldest torch supported here.
        native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if native else torch.float32


def choose_batch_tokens(wanted: int | None, device: torch.device) -> int:
    """Tokens of a batch; 4,096 are a fifth slower on a CPU, whose caches they exceed."""
    return wanted or (1024 if device.type == "cpu" else 4096)


def longest_sequence(model: Any) -> int:
    """Positions the model can read; without a limit in its configuration, 2^31."""
    return getattr(model.config.get_text_config(), "max_position_embeddings", None) or 2**31
