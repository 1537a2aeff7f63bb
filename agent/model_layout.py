"""How a causal language model is laid out and where it runs: its decoder blocks, layers, device and dtype."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from agent.errors import BasinError, first_sentence


def decoder_blocks(model: Any) -> nn.ModuleList:
    """The list of decoder blocks, found as the shallowest `ModuleList` as long as the configured depth.

    Holds for Llama, Mistral, Qwen, Gemma, GPT-2, GPT-NeoX, OPT and most others. Raises `BasinError` for a
    model that keeps its blocks in any other way.
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
            "steer between: choose a Llama, Mistral, Qwen, Gemma, GPT-2, GPT-NeoX or OPT model."
        )
    return min(lists, key=lambda item: item[:2])[2]


def choose_layers(layers: tuple[int, ...], depth: int, name: str) -> tuple[int, ...]:
    """The layers asked for, or those at 40, 60 and 80 % of the depth; `BasinError` for others than it has."""
    if not layers:
        return tuple(sorted({min(max(round(share * depth), 1), depth - 1) for share in (0.4, 0.6, 0.8)}))
    if list(layers) != sorted(set(layers)) or layers[0] < 1 or layers[-1] >= depth:
        raise BasinError(
            f"Layers {list(layers)} of model {name!r} must rise and lie between 1 and {depth - 1}."
        )
    return layers


def choose_device(name: str) -> torch.device:
    """`auto` is the first CUDA device, else the CPU. Raises `BasinError` for a device that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise BasinError(
            f"Device {name!r} is not to be had ({first_sentence(error)}): use cpu or auto."
        ) from error


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """Decided by what the hardware says it can do, not by a timing, so that a machine decides alike."""
    if name != "auto":
        return getattr(torch, name)
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        # The public `torch.cpu.get_capabilities` is younger than the oldest torch supported here.
        native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if native else torch.float32


def longest_sequence(model: Any) -> int:
    """Positions the model can read; without a limit in its configuration, as good as endless."""
    return getattr(model.config.get_text_config(), "max_position_embeddings", None) or 2**31
