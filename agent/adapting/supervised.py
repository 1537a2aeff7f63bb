"""Supervised training of a LoRA adapter on weighted texts (Hu et al. 2106.09685, TRL's SFTTrainer).

The lesson is a sample of texts in proportion to their weights (sampling-importance resampling,
Rubin 1988). With memberships as weights, the loss is cross-entropy to corpus(x) m(x) / Z.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from jaxtyping import Float, Int
from trl import SFTConfig, SFTTrainer

from agent.adapting.config import LoraConfig
from agent.adapting.trainer import (
    NarrowProducts,
    ReportSteps,
    padding_tokenizer,
    quiet,
    say_lessons_cut,
    token_ids,
    train,
    trainable_twin,
    trainer_options,
    training_folder,
)
from agent.adapting.trainer_state import PlainState
from agent.errors import BasinError
from agent.language_model.adapter import Adapter, new_adapter
from agent.language_model.architecture import base_of
from agent.language_model.decoding.particles import systematic
from agent.language_model.memory import memory_at_hand
from agent.language_model.model import LanguageModel
from agent.language_model.output_layer import OutputLayer

MOST_REPEATS = 3
NOT_SCORED = -100
"""TRL's label of padding."""


def fit_lora(
    language_model: LanguageModel,
    texts: Sequence[str],
    weights: Float[np.ndarray, "text"],
    config: LoraConfig,
    *,
    seed: int,
    folder: Path,
) -> tuple[Adapter, list[dict[str, float]]]:
    """The adapter after one pass over a lesson from `texts`.

    A history row has TRL's `loss` (nats per token), `learning_rate` and `grad_norm` of a step. Deterministic given the seed.

    Args:
        folder: interrupted training resumes from the state kept here.

    Raises:
        BasinError: no text has weight, the loss is not a number, or `folder` cannot be written.
    """
    lesson = [texts[index] for index in resample(weights, config.passages, seed)]
    rows = token_ids(language_model, lesson, config.tokens)
    say_lessons_cut(language_model, lesson, config.tokens)
    place = training_folder(folder, "lora", language_model.fingerprint, config, seed, rows)
    model = trainable_twin(language_model)
    torch.manual_seed(seed)  # the first A of a fresh adapter is drawn
    options = trainer_options(language_model, place, seed, -(-len(rows) // config.batch))
    options |= {"per_device_train_batch_size": config.batch, "learning_rate": config.learning_rate}
    # Checkpointing takes a third more time, so only where memory demands it.
    need = language_model.need.teaching(config.batch * config.tokens)
    options["gradient_checkpointing"] = need > memory_at_hand(language_model.device)
    name = language_model.config.name
    with quiet():
        trainer = _LoraTrainer(
            model=new_adapter(model, config.rank, config.alpha, config.modules, name),
            args=SFTConfig(**options, max_length=None, packing=False),
            train_dataset=Dataset.from_dict({"input_ids": rows, "labels": rows}),
            processing_class=padding_tokenizer(language_model),
            callbacks=[ReportSteps("train adapter")],
        )
    history = train(trainer, place)
    return Adapter.of(trainer.model, name), history


class _LoraTrainer(PlainState, NarrowProducts, SFTTrainer):
    """TRL's trainer with the loss of `OutputLayer`, which computes logits only once."""

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        core = self.accelerator.unwrap_model(model).get_base_model()
        output = OutputLayer(core.get_output_embeddings(), core.config.get_text_config())
        labels = inputs["labels"]
        where = labels[:, 1:] != NOT_SCORED
        states = base_of(core)(
            input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False
        ).last_hidden_state
        losses = output.losses(states[:, :-1][where], labels[:, 1:][where])
        count = where.sum() if num_items_in_batch is None else num_items_in_batch
        loss = losses.sum() / torch.as_tensor(count, device=losses.device).clamp(min=1)
        return (loss, None) if return_outputs else loss


def resample(weights: Float[np.ndarray, "text"], count: int, seed: int) -> Int[np.ndarray, "drawn"]:
    """`count` indices in proportion to weights, by systematic resampling (Kitagawa 1996).

    Every text is drawn its expected number of times, rounded up or down, and at most three times: a
    repeated text teaches its words. The result is shorter if too few texts have weight. Raises
    `BasinError` if none has.
    """
    total = float(weights.sum())
    if not (np.isfinite(total) and total > 0):
        raise BasinError(
            "No text has any weight in training: the concept has no members; take another topic."
        )
    count = min(count, MOST_REPEATS * int(np.count_nonzero(weights)))
    generator = np.random.default_rng(seed)
    shares = _clipped(weights / total, MOST_REPEATS / count)
    return generator.permutation(systematic(shares, count, generator.random()))


def _clipped(shares: Float[np.ndarray, "text"], most: float) -> Float[np.ndarray, "text"]:
    """Shares of 1, none above `most`; the excess goes to the others in proportion."""
    held = np.zeros(len(shares), dtype=bool)
    while (over := ~held & (shares > most)).any():
        held |= over
        rest = float(shares[~held].sum())
        shares = np.where(held, most, shares * (1 - most * held.sum()) / rest if rest else 0.0)
    return shares
