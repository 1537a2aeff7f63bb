"""A LoRA adapter taught by the concept's own passages: the supervised part (Hu et al. 2106.09685, TRL's SFTTrainer).

The lesson is a sample of texts drawn in proportion to their weights (sampling-importance resampling, Rubin 1988). With
memberships as weights, likelihood on the lesson is, up to sampling, cross-entropy to corpus(x) m(x) / Z; texts that the model
wrote get the weight that takes them to p(x) m(x) / Z, see `agent/adapting/training_data.py`.
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
from agent.adapting.precision import NarrowProducts, trainee
from agent.adapting.trainer import (
    Told,
    quiet,
    scratch,
    settings,
    token_ids,
    train,
)
from agent.adapting.trainer_state import PlainState
from agent.errors import BasinError
from agent.language_model.adapter import Adapter, new_adapter
from agent.language_model.architecture import base_of
from agent.language_model.memory import memory_at_hand
from agent.language_model.model import LanguageModel
from agent.language_model.output_layer import OutputLayer

MOST_REPEATS = 3
NOTHING = -100
"""The label that TRL gives to padding."""


def teach(
    language_model: LanguageModel,
    texts: Sequence[str],
    weights: Float[np.ndarray, "text"],
    start: Adapter | None,
    config: LoraConfig,
    seed: int,
    folder: Path,
) -> tuple[Adapter, list[dict[str, float]]]:
    """The adapter after one pass over a lesson drawn from `texts`, begun from `start` or from the model itself.

    Deterministic given the seed, and interrupted training goes on from its last kept step in `folder`. A history row has
    TRL's `loss` (nats per token), `learning_rate`, `grad_norm` and `num_tokens` of each step.

    Raises:
        BasinError: no text has weight, the loss is not a number, or `folder` cannot be written.
    """
    lesson = [texts[index] for index in resample(weights, config.passages, seed)]
    rows = token_ids(language_model, lesson, config.tokens)
    place = scratch(folder, "lora", language_model.fingerprint, start and start.digest, config, seed, rows)
    model = trainee(language_model)
    torch.manual_seed(seed)  # the first A of a fresh adapter is drawn
    arguments = settings(
        language_model,
        place,
        seed,
        -(-len(rows) // config.batch),
        per_device_train_batch_size=config.batch,
        learning_rate=config.learning_rate,
        # A third more time, so only where memory demands it.
        gradient_checkpointing=language_model.need.teaching(config.batch * config.tokens)
        > memory_at_hand(language_model.device),
    )
    with quiet():
        trainer = _Teacher(
            model=start.attach(model, trainable=True)
            if start
            else new_adapter(model, config.rank, config.alpha, config.modules, language_model.config.name),
            args=SFTConfig(**arguments, max_length=None, packing=False),
            train_dataset=Dataset.from_dict({"input_ids": rows, "labels": rows}),
            processing_class=language_model.tokenizer,
            callbacks=[Told("teach")],
        )
    history = train(trainer, place)
    return Adapter.of(trainer.model, language_model.config.name), history


class _Teacher(PlainState, NarrowProducts, SFTTrainer):
    """TRL's trainer with the loss of our output layer, which computes no logits twice and no entropies for the log.

    It keeps its state without pickles.
    """

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        core = self.accelerator.unwrap_model(model).get_base_model()
        output = OutputLayer(core.get_output_embeddings(), core.config.get_text_config())
        real, labels = inputs["attention_mask"], inputs["labels"]
        where = labels[:, 1:] != NOTHING
        states = base_of(core)(
            input_ids=inputs["input_ids"], attention_mask=real, use_cache=False
        ).last_hidden_state
        losses = output.losses(states[:, :-1][where], labels[:, 1:][where])
        self._total_train_tokens += int(real.sum())
        self._metrics["train"]["num_tokens"] = [self._total_train_tokens]
        count = where.sum() if num_items_in_batch is None else num_items_in_batch
        loss = losses.sum() / torch.as_tensor(count, device=losses.device).clamp(min=1)
        return (loss, None) if return_outputs else loss


def resample(weights: Float[np.ndarray, "text"], count: int, seed: int) -> Int[np.ndarray, "drawn"]:
    """`count` indices in proportion to the weights, by systematic resampling (Kitagawa 1996), shuffled.

    Every text is drawn its expected number of times, rounded up or down; none of weight 0 is. The heaviest are clipped so
    that none is drawn more than three times: repeating a text teaches its words and not its kind. Fewer than `count` where
    too few texts have weight for that.

    Raises `BasinError` where no text has weight.
    """
    total = float(weights.sum())
    if not (np.isfinite(total) and total > 0):
        raise BasinError(
            "No text has any weight to be taught with: the concept has no members; take another topic."
        )
    count = min(count, MOST_REPEATS * int(np.count_nonzero(weights)))
    generator = np.random.default_rng(seed)
    sums = np.cumsum(_clipped(weights / total, MOST_REPEATS / count))
    marks = (np.arange(count) + generator.random()) * sums[-1] / count
    drawn = np.searchsorted(sums, marks, side="right").clip(max=np.flatnonzero(weights)[-1])
    return generator.permutation(drawn)


def _clipped(shares: Float[np.ndarray, "text"], most: float) -> Float[np.ndarray, "text"]:
    """Shares of 1, none above `most`: what is cut off the heaviest goes to the others in proportion, and so on."""
    held = np.zeros(len(shares), dtype=bool)
    while (over := ~held & (shares > most)).any():
        held |= over
        rest = float(shares[~held].sum())
        shares = np.where(held, most, shares * (1 - most * held.sum()) / rest if rest else 0.0)
    return shares
