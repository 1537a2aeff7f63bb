"""One model on several devices: its blocks in equal runs, and all else on the first, where tokens, states and scores meet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from agent.errors import BasinError
from agent.language_model.architecture import choose_device, decoder_blocks, empty_model


def choose_devices(name: str) -> list[torch.device]:
    """One device, or several with commas between them; `all` is every CUDA device.

    Raises `BasinError` for one that is not there, that keeps no weights, or for several of different kinds.
    """
    if name == "all":
        return [torch.device("cuda", number) for number in range(torch.cuda.device_count())] or [
            choose_device("auto")
        ]
    devices = [choose_device(part.strip()) for part in name.split(",")]
    if any(device.type == "meta" for device in devices):
        raise BasinError(
            "Device 'meta' keeps no weights, so nothing can be computed there: use cpu, auto or all."
        )
    if len({device.type for device in devices}) > 1:
        raise BasinError(
            f"Devices {name!r} are of different kinds: spread a model over GPUs alone, or keep it on the CPU."
        )
    return devices


def spread(config: Any, devices: Sequence[torch.device]) -> dict[str, torch.device]:
    """A device for every part of the model that `config` describes, as transformers' `device_map` has it.

    The first device has the embedding and the output layer, and so many blocks less that all have as many bytes.
    """
    model = empty_model(config)
    blocks = decoder_blocks(model)
    path = next(name for name, module in model.named_modules() if module is blocks)
    sizes = [sum(weight.nbytes for weight in block.parameters()) for block in blocks]
    rest = sum(weight.nbytes for weight in model.parameters()) - sum(sizes)
    share = (rest + sum(sizes)) / len(devices)
    places = _beside(model, path, devices[0])
    begun = float(rest)
    for index, size in enumerate(sizes):
        places[f"{path}.{index}"] = devices[min(int((begun + size / 2) / share), len(devices) - 1)]
        begun += size
    return places


def _beside(module: nn.Module, path: str, device: torch.device) -> dict[str, torch.device]:
    """Every part that does not hold the blocks, by the shortest names that leave them out."""
    head, _, rest = path.partition(".")
    own = {
        name: device
        for name, _ in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))
    }
    for name, child in module.named_children():
        if name != head:
            own[name] = device
        elif rest:
            own |= {f"{name}.{inner}": place for inner, place in _beside(child, rest, device).items()}
    return own


def check_places(model: Any, name: str) -> None:
    """Raise `BasinError` for a model of which a part is kept where nothing is computed, or whose ends are apart."""
    away = [part for part, weight in model.named_parameters() if weight.device.type == "meta"]
    if away:
        raise BasinError(
            f"Model {name!r} has parts that are kept on disk or in main memory ({away[0]} and {len(away) - 1} more), which "
            "cannot be steered or adapted: choose a smaller model, or spread it over GPUs that hold all of it (device: all)."
        )
    ends = [model.get_input_embeddings().weight.device, model.get_output_embeddings().weight.device]
    if ends[0] != ends[1]:
        raise BasinError(
            f"Model {name!r} has its embedding on {ends[0]} and its output layer on {ends[1]}: load it with "
            "language_model.device, which keeps both together."
        )
