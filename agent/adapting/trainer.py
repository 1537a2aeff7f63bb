"""What every way of training an adapter shares: TRL's settings, progress, and going on where a kill interrupted it.

The trainer works on a twin of the language model (the same weights, modules of its own), so whatever TRL and PEFT do to a
model, the one that is read and measured stays as it was.
"""

from __future__ import annotations

import hashlib
import logging
import math
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import transformers
from safetensors import SafetensorError

from agent.adapting.trainer_state import KeepsState, newest_state
from agent.errors import BasinError
from agent.files.checked import DamagedError
from agent.hub.quiet import quiet_transformers
from agent.language_model.model import LanguageModel
from agent.progress import advance

logger = logging.getLogger(__name__)


def settings(
    language_model: LanguageModel, folder: Path, seed: int, steps: int, **particular: Any
) -> dict[str, Any]:
    """Arguments of a TRL configuration: what is left out here, TRL takes from its own defaults."""
    return {
        "output_dir": str(folder),
        "num_train_epochs": 1,
        "gradient_checkpointing": False,
        "lr_scheduler_type": "cosine",
        # A warm-up begins at no rate at all, and few steps are worth having.
        "warmup_steps": min(4, steps // 4),
        "max_grad_norm": 1.0,
        "weight_decay": 0.0,
        "seed": seed,
        "data_seed": seed,
        "bf16": False,  # the weights are in the model's own format already, the adapter's in float32
        "use_cpu": language_model.device.type == "cpu",
        "dataloader_pin_memory": False,
        "save_strategy": "no",  # `KeepsState` says when
        "logging_steps": 1,
        "logging_nan_inf_filter": False,  # it would show the mean of the losses before in place of one that is none
        "report_to": "none",
        "disable_tqdm": True,
        **particular,
    }


def train(trainer: transformers.Trainer, folder: Path) -> list[dict[str, float]]:
    """Run a trainer to its end, from its newest whole state in `folder` where there is one; a row of numbers per step.

    Raises:
        BasinError: the loss is not a number, or the disk is full.
    """
    last = newest_state(folder)
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.add_callback(_StopsAtNoNumber())
    trainer.add_callback(KeepsState(folder))
    try:
        with quiet():
            trainer.train(resume_from_checkpoint=last and str(last))
    except DamagedError as damage:
        shutil.rmtree(str(last), ignore_errors=True)
        raise BasinError(
            f"The state of training that was kept in {folder} is none ({damage}): it was removed, and a resume begins that "
            "training anew."
        ) from None
    except OSError as error:
        raise _cannot_keep(folder, error.strerror or str(error)) from None
    except (SafetensorError, RuntimeError) as error:
        if not any(word in str(error) for word in ("PytorchStreamWriter", "I/O error", "iostream")):
            raise
        raise _cannot_keep(folder, "the disk is full or cannot be written") from None
    rows = [row for row in trainer.state.log_history if "loss" in row]
    if not rows or not all(math.isfinite(row["loss"]) for row in rows):
        raise _no_number()
    return rows


def scratch(folder: Path, *parts: object) -> Path:
    """A folder that only training on exactly these `parts` goes on from; those of other trainings are removed.

    Raises `BasinError` where it cannot be made.
    """
    digest = hashlib.sha256(repr(parts).encode()).hexdigest()[:12]
    wanted = folder / digest
    if folder.is_dir():
        for other in folder.iterdir():
            if other != wanted and other.is_dir():
                shutil.rmtree(other, ignore_errors=True)
    try:
        wanted.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_keep(wanted, error.strerror or str(error)) from None
    return wanted


def _cannot_keep(folder: Path, why: str) -> BasinError:
    return BasinError(f"Training cannot keep its state in {folder} ({why}); make room there and resume.")


def _no_number() -> BasinError:
    return BasinError(
        "Training an adapter gave a loss that is not a number: lower updating.adapting.lora.learning_rate, or use "
        "dtype float32."
    )


class _StopsAtNoNumber(transformers.TrainerCallback):
    """Ends training before a state is kept whose weights are no numbers: a resume would go on from it."""

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if not all(
            math.isfinite(float(logs[name])) for name in ("loss", "grad_norm") if name in (logs or {})
        ):
            raise _no_number()


class Told(transformers.TrainerCallback):
    """Tells how many steps are done."""

    def __init__(self, what: str) -> None:
        self.what = what

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        advance(self.what, state.global_step, state.max_steps, "steps")


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings and progress bars of the libraries that train."""
    with quiet_transformers(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def token_ids(language_model: LanguageModel, texts: Sequence[str], most: int) -> list[list[int]]:
    """Token ids of each text as recording reads it, at most `most` of them, without an end of text."""
    rows = language_model.tokenizer(list(texts), truncation=True, max_length=most)["input_ids"]
    end = language_model.tokenizer.eos_token_id
    return [row[:-1] if len(row) > 1 and row[-1] == end else row for row in rows]
