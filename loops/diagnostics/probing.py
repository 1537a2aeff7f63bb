"""Whether a model can be recorded, steered, written with, adapted and exported, said before any of its weights is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers

from agent.errors import BasinError, first_sentence
from agent.hub.models import EMBEDDED, local_files_only, model_status, resolve_model
from agent.hub.quiet import quiet_transformers
from agent.language_model.adapter import targets
from agent.language_model.architecture import (
    choose_batch_tokens,
    choose_device,
    choose_layers,
    decoder_blocks,
    empty_model,
    refuse_other_kinds,
)
from agent.language_model.decoding.fused import LARGEST_SHARE
from agent.language_model.memory import MemoryNeed, total_memory
from loops.config import parse_config
from loops.diagnostics.model_trial import Trial, try_out
from loops.round.forecast import stage_peaks

QUANTISED: Mapping[str, str] = {
    "4-bit bitsandbytes": "tried: recorded, steered, written with and adapted; the adapter stays beside the weights. Not fused",
    "8-bit bitsandbytes": "tried: recorded, steered and adapted. It rounds what it reads batch by batch, so what it writes "
    "depends a little on the batch. Not fused",
}
"""What was found with each kind of quantised weights; others were not tried."""
GGUF_WORD = (
    "read once into weights of 16 bits, and then like any other model: it takes their memory, not the file's"
)


@dataclass(frozen=True)
class Probe:
    """What is known of a model from its configuration, and from a tiny random twin of it."""

    origin: str
    """Where the configuration was found."""
    trial: Trial
    blocks: str = ""
    """Where the decoder blocks lie in the model."""
    depth: int = 0
    width: int = 0
    layers: tuple[int, ...] = ()
    """Recorded where nothing is configured."""
    parameters: int = 0
    targets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Linear maps that an adapter is made of, by the setting that names them."""
    gigabytes: Mapping[str, float] = field(default_factory=dict)
    """Memory at the peak of each stage, in bfloat16, without quantisation."""
    quantised: str = ""
    exports: tuple[str, ...] = ()

    @property
    def usable(self) -> bool:
        return self.trial.usable


def probe(name: str, trust_remote_code: bool = False) -> Probe:
    """Look at a model by name, as `language_model.name` has it, or at an architecture by its type in transformers.

    Reads its configuration and no weights; a twin is tried on this processor. Raises `BasinError` where there is no such
    model, and for kinds that Basin refuses.
    """
    config, origin = _described(name, trust_remote_code)
    refuse_other_kinds(config, name)
    trial = try_out(config)
    try:
        with quiet_transformers():
            model = empty_model(config).to(torch.bfloat16)
        blocks = decoder_blocks(model)
    except BasinError:
        raise
    except Exception as error:  # whatever a configuration leads a class of transformers to
        raise BasinError(
            f"Model {name!r} cannot be built from its configuration ({first_sentence(error)}): choose another."
        ) from error
    return Probe(
        origin=origin,
        trial=trial,
        blocks=next(path for path, module in model.named_modules() if module is blocks),
        depth=len(blocks),
        width=config.get_text_config().hidden_size,
        layers=choose_layers((), len(blocks), name),
        parameters=sum(weight.numel() for weight in model.parameters()),
        targets=_targets(model),
        gigabytes=_gigabytes(model, trial.fused),
        quantised=f"GGUF: {GGUF_WORD}" if name.lower().endswith(".gguf") else _quantised(config),
        exports=_exports(config, trial),
    )


def _described(name: str, trust_remote_code: bool) -> tuple[Any, str]:
    """The configuration of a model, and where it was found."""
    path = Path(name).expanduser()
    how: dict[str, Any] = {"trust_remote_code": trust_remote_code}
    known = name in transformers.CONFIG_MAPPING and not path.exists()
    try:
        with quiet_transformers():
            if path.suffix.lower() == ".gguf" and path.is_file():
                config = transformers.AutoConfig.from_pretrained(str(path.parent), gguf_file=path.name, **how)
                return config, f"the header of {path.name}"
            if name in EMBEDDED and model_status(name) != "cached":
                raise BasinError(
                    f"{name} is not here yet: `basin run` fetches it, or probe an architecture such as llama."
                )
            where = name if known else resolve_model(name)
            offline = known or local_files_only(where)
            if not known or not offline:
                config = transformers.AutoConfig.from_pretrained(where, local_files_only=offline, **how)
                return config, "its configuration"
            return transformers.AutoConfig.for_model(
                name
            ), "the defaults of that architecture in transformers"
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise BasinError(
            f"The configuration of {name!r} cannot be read ({first_sentence(error)}): name an embedded model, a folder, a GGUF "
            "file, a hub model while the hub is in reach, or an architecture such as qwen3."
        ) from error


def _targets(model: Any) -> dict[str, tuple[str, ...]]:
    found = {}
    for modules in ("attention", "all"):
        try:
            found[modules] = tuple(sorted({name.rpartition(".")[2] for name in targets(model, modules)}))
        except BasinError:
            found[modules] = ()
    return found


def _gigabytes(model: Any, is_fused: bool) -> dict[str, float]:
    """As `loops.round.forecast.peaks`, with the default settings of a run."""
    config, need = parse_config({"corpus": {"source": "brown-fiction"}}, "default"), MemoryNeed.of(model)
    packs = is_fused and need.weights <= LARGEST_SHARE * total_memory()
    device = choose_device(config.language_model.device)
    tokens = choose_batch_tokens(config.language_model.batch_tokens, device)
    found = stage_peaks(need, config, 1 + packs, tokens)
    return {"record": found["record"], "write": found["generate"], "adapt": found["adapt"]}


def _quantised(config: Any) -> str:
    settings = getattr(config, "quantization_config", None)
    if settings is None:
        return ""
    settings = settings if isinstance(settings, dict) else settings.to_dict()
    method = str(settings.get("quant_method", "unknown"))
    if method.endswith("bitsandbytes") or "load_in_4bit" in settings:
        method = f"{4 if settings.get('load_in_4bit') else 8}-bit bitsandbytes"
    return f"{method}: {QUANTISED.get(method, 'not tried; it needs a library of its own, and mostly a GPU')}"


def _exports(config: Any, trial: Trial) -> tuple[str, ...]:
    found = ["control-vector", "safetensors"] if trial.steered else []
    found += ["adapter"] if trial.adapted else []
    if trial.usable and not getattr(config, "quantization_config", None):
        found += ["model"]
    return tuple(found)
