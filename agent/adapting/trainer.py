"""What both ways of training an adapter share: TRL's options, progress, and resuming after a kill.

The trainer works on a twin of the language model (the same weights, modules of its own). TRL and
PEFT therefore change nothing of the model that is read and measured.
"""

from __future__ import annotations

import copy
import hashlib
import math
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import transformers

from agent.adapting.trainer_state import SaveState, newest_state
from agent.errors import BasinError, writing
from agent.files.checked import DamagedError
from agent.hub.quiet import quiet_transformers
from agent.language_model.model import LanguageModel
from agent.progress import advance


def trainer_options(language_model: LanguageModel, folder: Path, seed: int, steps: int) -> dict[str, Any]:
    """Arguments of a TRL configuration; the rest are TRL's defaults."""
    return {
        "output_dir": str(folder),
        "num_train_epochs": 1,
        "gradient_checkpointing": False,
        "lr_scheduler_type": "cosine",
        # A warm-up starts at rate zero, and a short training has no step to lose.
        "warmup_steps": min(4, steps // 4),
        "max_grad_norm": 1.0,
        "weight_decay": 0.0,
        "seed": seed,
        "data_seed": seed,
        "bf16": False,  # the model is in its own format already, the adapter in float32
        "use_cpu": language_model.device.type == "cpu",
        "dataloader_pin_memory": False,
        "save_strategy": "no",  # `SaveState` decides
        "logging_steps": 1,
        "logging_nan_inf_filter": False,  # it would replace a loss that is NaN
        "report_to": "none",
        "disable_tqdm": True,
    }


def train(trainer: transformers.Trainer, folder: Path) -> list[dict[str, float]]:
    """Train to the end, from the newest complete state if there is one; a row per step.

    Raises `BasinError` if the loss is not a number, the kept state is damaged, or the disk is full.
    """
    last = newest_state(folder)
    trainer.remove_callback(transformers.PrinterCallback)
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
    return [row for row in trainer.state.log_history if "loss" in row]


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
        values = [float(logs[name]) for name in ("loss", "grad_norm") if name in (logs or {})]
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


@contextmanager
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


def token_ids(language_model: LanguageModel, texts: Sequence[str], most: int) -> list[list[int]]:
    """Token ids of each text as recording reads it, at most `most`, without an end of text."""
    rows = language_model.tokenizer(list(texts), truncation=True, max_length=most)["input_ids"]
    end = language_model.tokenizer.eos_token_id
    return [row[:-1] if len(row) > 1 and row[-1] == end else row for row in rows]
