"""A low-rank adapter as plain data: PEFT's files, held in memory.

LoRA (Hu et al. 2106.09685): a frozen weight W becomes W + (alpha / r) B A, with A [r, in] and B
[out, r] trained. PEFT is imported on use: it takes two seconds.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import safetensors.torch
import torch
from torch import Tensor, nn

from agent.errors import BasinError, first_sentence, writing
from agent.files.checked import DamagedError, parse_json, parse_tensors
from agent.language_model.architecture import decoder_blocks

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
"""Names that `PeftModel.from_pretrained` looks for."""
MOST_RANK = 4096
SET: Mapping[str, Callable[[Any], bool]] = {
    "peft_type": lambda value: value == "LORA",
    "task_type": lambda value: value == "CAUSAL_LM",
    "bias": lambda value: value == "none",
    "init_lora_weights": lambda value: value is True,
    "r": lambda value: type(value) is int and 1 <= value <= MOST_RANK,
    "lora_alpha": lambda value: type(value) in (int, float) and value > 0,
    "lora_dropout": lambda value: type(value) in (int, float) and 0 <= value < 1,
    "target_modules": lambda value: isinstance(value, list) and all(isinstance(each, str) for each in value),
    "base_model_name_or_path": lambda value: isinstance(value, str),
    "inference_mode": lambda value: isinstance(value, bool),
    "peft_version": lambda value: isinstance(value, str),
    "fan_in_fan_out": lambda value: isinstance(value, bool),
    "megatron_core": lambda value: value == "megatron.core",
}
"""Settings of a plain LoRA adapter, with their valid values. All other settings of PEFT must be off
in an adapter that is read: some import a module by name, or match a pattern for hours. Numbers are
harmless."""


@dataclass(frozen=True, eq=False)
class Adapter:
    """Weights and settings under PEFT's own names."""

    config: Mapping[str, Any]
    """Content of adapter_config.json."""
    tensors: Mapping[str, Tensor]
    """Content of adapter_model.safetensors; float32 on the CPU."""
    FILES: ClassVar[tuple[str, str]] = (CONFIG, WEIGHTS)

    @classmethod
    def of(cls, model: Any, base: str) -> Adapter:
        """The active adapter of a PEFT model; `base` is the name of its base model."""
        from peft import get_peft_model_state_dict

        config = model.peft_config[model.active_adapter].to_dict()
        # Otherwise PEFT asks the hub for a model of this name, and keeps the embedding if vocabularies differ.
        config |= {"base_model_name_or_path": base, "inference_mode": True}
        tensors = {
            name: tensor.detach().to("cpu", torch.float32, copy=True).contiguous()
            for name, tensor in get_peft_model_state_dict(model, save_embedding_layers=False).items()
        }
        return cls(json.loads(json.dumps(config, default=_plain)), dict(sorted(tensors.items())))

    def files(self) -> dict[str, bytes]:
        """The two files of PEFT's layout; equal adapters give equal bytes."""
        return {
            CONFIG: (json.dumps(dict(self.config), indent=1, sort_keys=True) + "\n").encode(),
            WEIGHTS: safetensors.torch.save(dict(self.tensors), metadata={"format": "pt"}),
        }

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Adapter:
        """Inverse of `files`. Raises `BasinError` for anything but a plain LoRA adapter."""
        try:
            if files.keys() != {CONFIG, WEIGHTS}:
                raise DamagedError(
                    f"it should be {CONFIG} and {WEIGHTS}, and is {', '.join(sorted(files))[:120]}"
                )
            return cls(
                _plain_lora(parse_json(files[CONFIG], CONFIG)),
                _numbers(parse_tensors(files[WEIGHTS], WEIGHTS)),
            )
        except DamagedError as damage:
            raise BasinError(
                f"An adapter is damaged ({damage}): take it from another round, or run the round again."
            ) from None

    def save(self, folder: Path) -> None:
        """Write the two files; the configuration, last, completes them. Raises `BasinError`."""
        with writing(folder, "make room there"):
            folder.mkdir(parents=True, exist_ok=True)
            for name, content in reversed(sorted(self.files().items())):
                draft = folder / f".{name}"
                draft.write_bytes(content)
                draft.replace(folder / name)

    @classmethod
    def saved_in(cls, folder: Path) -> Adapter | None:
        """The adapter that `save` completed there, or None. Raises `BasinError` for a damaged one."""
        if not (folder / CONFIG).exists():
            return None
        return cls.from_files({name: (folder / name).read_bytes() for name in cls.FILES})

    @property
    def digest(self) -> str:
        """16 hex digits that change with any weight or setting."""
        digest = hashlib.sha256()
        for content in self.files().values():
            digest.update(content)
        return digest.hexdigest()[:16]

    def attach(self, model: Any, trainable: bool = False) -> Any:
        """A PEFT model; replaces modules of `model`. Raises `BasinError` if it does not fit."""
        from peft import LoraConfig, get_peft_model_state_dict, set_peft_model_state_dict

        try:
            config = LoraConfig(**{**self.config, "inference_mode": not trainable})
            peft_model = _wrapped(model, config)
            result = set_peft_model_state_dict(peft_model, dict(self.tensors))
        except (TypeError, ValueError, RuntimeError) as error:
            raise _does_not_fit(self, first_sentence(error)) from None
        wanted = set(get_peft_model_state_dict(peft_model, save_embedding_layers=False))
        if result.unexpected_keys or wanted != set(self.tensors):
            raise _does_not_fit(self, "it has weights for other layers")
        return peft_model

    def merge_into(self, model: Any) -> None:
        """Add the low-rank products to copies of the weights of `model`; raises as `attach`.

        Models that share the weights are unchanged. Beside quantised weights, the products stay
        separate.
        """
        peft_model = self.attach(model)
        adapted = [
            each for each in peft_model.modules() if hasattr(each, "lora_A") and hasattr(each, "base_layer")
        ]
        if not all(each.base_layer.weight.is_floating_point() for each in adapted):
            return
        for module in adapted:
            weight = module.base_layer.weight
            module.base_layer.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
        peft_model.merge_and_unload()


def new_adapter(model: Any, rank: int, alpha: float, modules: str, base: str) -> Any:
    """A PEFT model with a fresh trainable adapter in `model`, whose products are zero.

    Args:
        modules: `attention` for the projections of the attention blocks, `all` for every linear map
            of a block.
    """
    from peft import LoraConfig

    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=0.0,
        target_modules=targets(model, modules),
        task_type="CAUSAL_LM",
        base_model_name_or_path=base,
    )
    return _wrapped(model, config)


def _wrapped(model: Any, config: Any) -> Any:
    from peft import get_peft_model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the base model has another name on this disk
        return get_peft_model(model, config)


def targets(model: Any, modules: str) -> list[str]:
    """Names of the adapted linear maps in a decoder block. Raises `BasinError` if there are none.

    Mixtures of experts have their attention adapted only: PEFT cannot merge into experts' weights.
    """
    blocks = decoder_blocks(model)
    every = sorted(
        name
        for name, module in blocks[0].named_modules()
        if isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"
    )
    names = attention = [name for name in every if "att" in name.lower()]
    experts = any("experts" in name for block in blocks for name, _ in block.named_parameters())
    if modules == "all" and not (experts and attention):
        names = every
    if not names:
        raise BasinError(
            f"Model class {type(model).__name__} has no linear maps called attention in its blocks: set "
            "updating.adapting.lora.modules to all."
        )
    return names


def _plain_lora(tree: Any) -> dict[str, Any]:
    """The settings, if all others than a plain adapter's are off."""
    if not isinstance(tree, dict):
        raise DamagedError(f"{CONFIG} is no table of names and values")
    for key, value in tree.items():
        off = value is None or type(value) in (int, float) or not value
        if not (SET[key](value) or value is None if key in SET else off):
            raise DamagedError(f"{CONFIG} sets {key[:80]!r} to what no adapter of Basin's has")
    return tree


def _numbers(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() or not torch.isfinite(tensor).all():
            raise DamagedError(f"{WEIGHTS} has numbers in {name[:80]!r} that are not finite")
    return tensors


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, set) else str(value)


def _does_not_fit(adapter: Adapter, why: str) -> BasinError:
    return BasinError(
        f"An adapter for {adapter.config.get('base_model_name_or_path') or 'another model'} does not fit this model ({why}): "
        "use the model that it was trained on."
    )
