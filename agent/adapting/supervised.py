"""Supervised training of a LoRA adapter on a lesson (Hu et al. 2106.09685, TRL's SFTTrainer).

Held-out losses are recorded along the way, and training ends early once the members' rises.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch
import transformers
from datasets import Dataset
from torch import Tensor
from trl import SFTConfig, SFTTrainer

from agent import processes
from agent.adapting.config import LoraConfig
from agent.adapting.lesson import Lesson
from agent.adapting.products import multiply_at_once
from agent.adapting.trainer import (
    ReportSteps,
    compile_blocks,
    padding_tokenizer,
    quiet,
    train,
    trainable_twin,
    trainer_options,
    training_folder,
)
from agent.adapting.trainer_state import PlainState, newest_state
from agent.errors import BasinError
from agent.language_model.adapter import Adapter, new_adapter
from agent.language_model.architecture import base_of
from agent.language_model.load import LanguageModelConfig
from agent.language_model.memory import memory_at_hand
from agent.language_model.model import LanguageModel, loaded
from agent.language_model.output_layer import OutputLayer

logger = logging.getLogger(__name__)

NOT_SCORED = -100
"""TRL's label of padding."""
EVALUATIONS = 8
"""Times that held-out losses are measured in one training, besides its start."""
RISE_NATS = 0.002
"""Held-out loss above its minimum, twice in a row, that ends training."""
MEMBER_LOSS, OTHER_LOSS = "eval_member_loss", "eval_other_loss"
"""The trainer's names of held-out losses, in nats per token."""


def fit_lora(
    language_model: LanguageModel,
    lesson: Lesson,
    config: LoraConfig,
    *,
    seed: int,
    folder: Path,
    start: Adapter | None = None,
) -> tuple[Adapter, list[dict[str, float]]]:
    """The adapter after one pass over the lesson, or less where held-out loss rises.

    A history row has TRL's `loss` (nats per token), `learning_rate` and `grad_norm` of a step, or a
    held-out loss. Deterministic given the seed.

    Args:
        folder: interrupted training resumes from the state kept here.
        start: an adapter to go on from, of the same shape; by default a fresh one.

    Raises:
        BasinError: the loss is not a number, `folder` cannot be written, or not all processes of
            a launch see it.
    """
    began = None if start is None else start.digest
    place = training_folder(folder, "lora", language_model.fingerprint, config, seed, lesson, began)
    training = _Training(lesson, config, seed, start, place, newest_state(place))
    with processes.together(partial(training.join, language_model.config)):
        return training.run(language_model)


@dataclass(frozen=True)
class _Training:
    """One training, as every process of a launch gets it."""

    lesson: Lesson
    config: LoraConfig
    seed: int
    start: Adapter | None
    folder: Path
    last: Path | None
    """The state that it goes on from."""

    def join(self, name: LanguageModelConfig) -> None:
        """Train in step with the first process, which keeps the result."""
        if self.last is not None and not self.last.exists():
            raise BasinError(
                f"{self.last} is not here: keep the checkpoints folder where all machines see it, or run on one."
            )
        self.run(loaded(name))

    def run(self, language_model: LanguageModel) -> tuple[Adapter, list[dict[str, float]]]:
        """The adapter, and its history as of `fit_lora`."""
        lesson, config, start = self.lesson, self.config, self.start
        model = trainable_twin(language_model)
        output = OutputLayer(model.get_output_embeddings(), model.config.get_text_config())
        model.forward = partial(_summed_losses, model, output.packed())
        torch.manual_seed(self.seed)  # the first A of a fresh adapter is drawn
        # Whole steps only, which any number of processes shares alike.
        steps, longest = max(1, len(lesson.rows) // config.batch), max(map(len, lesson.rows))
        rows = list(islice(cycle(lesson.rows), steps * config.batch))
        share = config.batch // processes.count()
        options = trainer_options(language_model, self.folder, self.seed, steps)
        options |= {"per_device_train_batch_size": share, "learning_rate": config.learning_rate}
        # Checkpointing takes a third more time, so only where memory demands it.
        need = language_model.need.teaching(share * longest)
        options["gradient_checkpointing"] = need > memory_at_hand(language_model.device)
        held = {"member": lesson.member, "other": lesson.other} if lesson.member else {}
        if held:
            options |= {"eval_strategy": "steps", "eval_steps": max(1, steps // EVALUATIONS)}
            options |= {"eval_on_start": self.last is None, "prediction_loss_only": True}
            # One by one, since a shared batch would be filled up with other rows.
            options |= {"per_device_eval_batch_size": 1}
        name = language_model.config.name
        with quiet():
            arguments = SFTConfig(**options, max_length=None, packing=False)
            arguments._n_gpu = min(arguments.n_gpu, 1)  # a process has one, and TRL refuses several
            adapted = (
                start.attach(model, trainable=True)
                if start
                else new_adapter(model, config.rank, config.alpha, config.modules, name)
            )
            multiply_at_once(adapted)
            if config.compile:
                compile_blocks(model)
            trainer = _LoraTrainer(
                model=adapted,
                args=arguments,
                train_dataset=_dataset(rows),
                eval_dataset={side: _dataset(each) for side, each in held.items() if each} or None,
                processing_class=padding_tokenizer(language_model),
                callbacks=[ReportSteps("train adapter"), _StopRising(config.batch * longest)],
            )
        history = train(trainer, self.folder, self.last)
        return Adapter.of(trainer.model, name), history


def _dataset(rows: Any) -> Dataset:
    return Dataset.from_dict({"input_ids": list(rows), "labels": list(rows)})


class _StopRising(transformers.TrainerCallback):
    """Log held-out losses, and end training once the members' has risen twice in a row."""

    def __init__(self, tokens_per_step: int) -> None:
        self.tokens_per_step = tokens_per_step

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        row = state.log_history[-1]
        read = state.global_step * self.tokens_per_step
        for name, side in ((MEMBER_LOSS, "member"), (OTHER_LOSS, "other")):
            if name in row:
                logger.info(
                    f"After {read:,} tokens the held-out {side} loss is {row[name]:.4f} nats per token"
                )
        losses = [each[MEMBER_LOSS] for each in state.log_history if MEMBER_LOSS in each]
        if MEMBER_LOSS in row and len(losses) > 2 and min(losses[-2:]) > min(losses) + RISE_NATS:
            control.should_training_stop = True
            logger.info(f"Held-out member loss rises: training ends after {read:,} tokens")


class _LoraTrainer(PlainState, SFTTrainer):
    """TRL's trainer with the loss of `OutputLayer`, which computes logits only once."""

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        parts = self.accelerator.num_processes
        if parts == 1:
            model = self.accelerator.unwrap_model(model)
        names = ("input_ids", "attention_mask", "labels")
        total = model(**{name: inputs[name] for name in names})
        count = (inputs["labels"][:, 1:] != NOT_SCORED).sum()
        if num_items_in_batch is not None:  # of all processes, whose gradients are averaged
            count, total = num_items_in_batch, total * parts
        loss = total / torch.as_tensor(count, device=total.device).clamp(min=1)
        return (loss, None) if return_outputs else loss


def _summed_losses(
    core: Any,
    output: OutputLayer,
    input_ids: Tensor,
    attention_mask: Tensor,
    labels: Tensor,
    **unused: Any,
) -> Tensor:
    """The sum of a batch's losses in nats, as the `forward` of a model that is only trained."""
    scored = labels[:, 1:] != NOT_SCORED
    states = base_of(core)(
        input_ids=input_ids,
        # Without padding, attention is causal and needs no mask.
        attention_mask=None if bool(attention_mask.all()) else attention_mask,
        use_cache=False,
    ).last_hidden_state
    return output.losses(states[:, :-1][scored], labels[:, 1:][scored]).sum()
