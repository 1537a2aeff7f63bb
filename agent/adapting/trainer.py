"""Parts of training an adapter: number formats, TRL's options, progress, and resuming.

The trainer works on a twin of the language model (the same weights, modules of its own). TRL and
PEFT therefore change nothing of the model that is read and measured.

An adapter's weights, gradients and optimiser are float32; products are in the model's own format.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import math
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import transformers

from agent.adapting.attention import NAME
from agent.adapting.trainer_state import SaveState
from agent.errors import BasinError, first_sentence, writing
from agent.files.checked import DamagedError
from agent.hub.quiet import quiet_transformers
from agent.language_model.architecture import decoder_blocks
from agent.language_model.model import LanguageModel
from agent.progress import advance


def trainable_twin(language_model: LanguageModel) -> Any:
    """A twin of the model to train, with a faster attention where the format is bfloat16 on a CPU."""
    model = language_model.twin()
    narrow = language_model.device.type == "cpu" and model.dtype == torch.bfloat16
    if narrow and model.config._attn_implementation == "sdpa":
        with quiet_transformers():  # a model that refuses warns, and stays unchanged
            model.set_attn_implementation(NAME)
    return model


def compile_blocks(model: Any) -> None:
    """Let `torch.compile` fuse each block of a causal model; raises `BasinError` where it does not work."""
    try:
        torch.compile(torch.sin)(torch.ones(1, device=model.device))
    except Exception as error:
        raise BasinError(
            f"torch.compile does not work here ({first_sentence(error)}): install what it asks for, or set "
            "updating.adapting.lora.compile to false."
        ) from error
    for block in decoder_blocks(model):
        block.compile()


def trainer_options(language_model: LanguageModel, folder: Path, seed: int, steps: int) -> dict[str, Any]:
    """Arguments of a TRL configuration; the rest are TRL's defaults."""
    return {
        "output_dir": str(folder),
        "num_train_epochs": 1,
        "gradient_checkpointing": False,
        "lr_scheduler_type": "cosine",
        # A warm-up starts at rate zero, and a short training has no step to lose.
        "warmup_steps": max(min(4, steps // 4), steps // 30),
        "max_grad_norm": 1.0,
        "weight_decay": 0.0,
        "seed": seed,
        "data_seed": seed,
        "bf16": False,  # the model is in its own format already, the adapter in float32
        "use_cpu": language_model.device.type == "cpu",
        "dataloader_pin_memory": False,
        "ddp_find_unused_parameters": False,
        "ddp_broadcast_buffers": False,
        "save_strategy": "no",  # `SaveState` decides
        "logging_steps": 1,
        "logging_nan_inf_filter": False,  # it would replace a loss that is NaN
        "report_to": "none",
        "disable_tqdm": True,
    }


def train(trainer: transformers.Trainer, folder: Path, last: Path | None) -> list[dict[str, float]]:
    """Train to the end, from the state `last` if there is one; a row per step and measurement.

    Raises `BasinError` if the loss is not a number, the kept state is damaged, or the disk is full.
    """
    trainer.remove_callback(transformers.PrinterCallback)
    if trainer.is_world_process_zero():  # the others end with it
        trainer.add_callback(_StopAtNan())
    trainer.add_callback(SaveState())
    try:
        with quiet(), writing(folder, "make room there and resume"):
            trainer.train(resume_from_checkpoint=last and str(last))
    except DamagedError as damage:
        shutil.rmtree(str(last), ignore_errors=True)
        raise BasinError(
            f"The training state in {folder} is damaged ({damage}): it was removed, and a resume starts that training anew."
        ) from None
    return [row for row in trainer.state.log_history if "train_runtime" not in row]


def training_folder(folder: Path, *parts: object) -> Path:
    """The folder of the training that is defined by `parts`; those of other trainings are removed.

    Raises `BasinError` where it cannot be made.
    """
    digest = hashlib.sha256(repr(parts).encode()).hexdigest()[:12]
    wanted = folder / digest
    if folder.is_dir():
        for other in folder.iterdir():
            if other != wanted and other.is_dir():
                shutil.rmtree(other, ignore_errors=True)
    with writing(wanted, "make room there and resume"):
        wanted.mkdir(parents=True, exist_ok=True)
    return wanted


class _StopAtNan(transformers.TrainerCallback):
    """End training before a state with NaN weights is kept."""

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        found = logs or {}
        values = [float(found[name]) for name in found if name.endswith("loss") or name == "grad_norm"]
        if not all(map(math.isfinite, values)):
            raise BasinError(
                "Training an adapter gave a loss that is not a number: lower updating.adapting.lora.learning_rate."
            )


class ReportSteps(transformers.TrainerCallback):
    """Report steps as the progress of a stage."""

    def __init__(self, stage: str) -> None:
        self.stage = stage

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        advance(self.stage, state.global_step, state.max_steps, "steps")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence warnings and progress bars of the training libraries."""
    with quiet_transformers(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def padding_tokenizer(language_model: LanguageModel) -> Any:
    """A copy for TRL, which sets its padding token: any token pads, since the mask decides."""
    tokenizer = copy.deepcopy(language_model.tokenizer)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)
    return tokenizer
