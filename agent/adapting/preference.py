"""Preference training of an adapter: accepted against rejected passages of the same opening, held near the base model.

Direct preference optimisation (Rafailov et al. 2305.18290) by TRL's DPOTrainer, the adapter as it was being the reference.
A barrier is added to its loss: the root mean square over tokens of KL(adapted || base) may not pass a limit. A mean lets a few
tokens pay for many, and those few are where text falls apart; the root mean square feels them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from jaxtyping import Bool, Float, Int
from torch import Tensor
from trl import DPOConfig, DPOTrainer

from agent.adapting.config import PreferenceConfig
from agent.adapting.precision import trainee
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
from agent.language_model.adapter import Adapter
from agent.language_model.architecture import base_of
from agent.language_model.model import LanguageModel
from agent.language_model.output_layer import OutputLayer

TINY = 1e-12


@dataclass(frozen=True)
class Pair:
    """Two continuations of one opening."""

    prompt: str
    chosen: str
    rejected: str


def prefer(
    language_model: LanguageModel,
    pairs: Sequence[Pair],
    start: Adapter,
    config: PreferenceConfig,
    tokens: int,
    seed: int,
    folder: Path,
) -> tuple[Adapter, list[dict[str, float]]]:
    """The adapter after one pass over the first `config.pairs` pairs, begun from `start`.

    Args:
        tokens: length to which prompt and continuation together are cut.

    A history row has TRL's `loss`, `rewards/accuracies`, `rewards/margins` (nats, times beta) and so on of each step, and
    `rms_nats`, the distance that the barrier holds. Deterministic given the seed; interrupted training goes on from its last
    kept step in `folder`.

    Raises:
        BasinError: there are no pairs, the loss is not a number, or `folder` cannot be written.
    """
    if not pairs:
        raise BasinError(
            "There are no accepted passages beside rejected ones to learn a preference from: write more samples."
        )
    columns = _columns(language_model, pairs[: config.pairs], tokens)
    place = scratch(folder, "preference", language_model.fingerprint, start.digest, config, seed, columns)
    arguments = settings(
        language_model,
        place,
        seed,
        -(-len(columns["prompt_ids"]) // config.batch),
        per_device_train_batch_size=config.batch,
        learning_rate=config.learning_rate,
    )
    with quiet():
        trainer = _BarredTrainer(
            model=start.attach(trainee(language_model), trainable=True),
            args=DPOConfig(**arguments, beta=config.beta, max_length=None),
            train_dataset=Dataset.from_dict(columns),
            processing_class=language_model.tokenizer,
            callbacks=[Told("prefer")],
        )
    trainer.barred = config
    history = train(trainer, place)
    return Adapter.of(trainer.model, language_model.config.name), history


def barrier(rms_nats: Float[Tensor, ""], limit_nats: float, weight: float) -> Float[Tensor, ""]:
    """`weight * max(0, rms / limit - 1)^2`: nothing inside the limit, `weight` at twice it."""
    return weight * (rms_nats / limit_nats - 1).clamp(min=0).square()


def rms_divergence(
    model: Any, ids: Int[Tensor, "text token"], real: Bool[Tensor, "text token"]
) -> Float[Tensor, ""]:
    """Root mean square over real tokens of KL(adapted || base) in nats, `model` being a PEFT model; differentiable.

    The square of a token's divergence is what weighs: ten tokens of 1 nat among ninety of none are as far as all at 0.32.
    """
    core = model.get_base_model()
    output = OutputLayer(core.get_output_embeddings(), core.config.get_text_config())
    batch = {"input_ids": ids, "attention_mask": real.long(), "use_cache": False}
    adapted = base_of(core)(**batch).last_hidden_state[real]
    with torch.no_grad(), model.disable_adapter():
        base = base_of(core)(**batch).last_hidden_state[real]
    # Not from zero: there the root's slope is infinite, and a fresh adapter begins there.
    return (output.divergences(adapted, base).square().mean() + TINY).sqrt()


class _BarredTrainer(PlainState, DPOTrainer):
    """TRL's trainer with the barrier added to its loss."""

    barred: PreferenceConfig

    def _prepare_dataset(self, dataset: Dataset, *_: Any, **__: Any) -> Dataset:
        # Tokenised already, and without the end of text that TRL would append: passages are cut, they do not end.
        return dataset

    def compute_loss(self, model: Any, inputs: Any, *arguments: Any, **options: Any) -> Any:
        loss = super().compute_loss(model, inputs, *arguments, **options)
        if not self.barred.barrier:
            return loss
        # The first half of a batch is what was chosen.
        some = slice(0, min(self.barred.barrier_passages, len(inputs["input_ids"]) // 2))
        peft_model = self.accelerator.unwrap_model(model)
        real = inputs["attention_mask"][some].bool()
        rms = rms_divergence(peft_model, inputs["input_ids"][some], real)
        self._metrics["train"]["rms_nats"].append(float(rms.detach()))
        return loss + barrier(rms, self.barred.limit_nats, self.barred.barrier).to(loss.dtype)


def _columns(language_model: LanguageModel, pairs: Sequence[Pair], tokens: int) -> dict[str, list[list[int]]]:
    """What TRL's collator wants of every pair; the seam is where the two texts' tokens part."""
    columns: dict[str, list[list[int]]] = {"prompt_ids": [], "chosen_ids": [], "rejected_ids": []}
    for pair in pairs:
        prompt, chosen, rejected = token_ids(
            language_model, [pair.prompt, pair.prompt + pair.chosen, pair.prompt + pair.rejected], tokens
        )
        seam = min(_common(prompt, chosen), _common(prompt, rejected))
        columns["prompt_ids"].append(prompt[:seam])
        columns["chosen_ids"].append(chosen[seam:])
        columns["rejected_ids"].append(rejected[seam:])
    return columns


def _common(first: Sequence[int], second: Sequence[int]) -> int:
    """Length of the common beginning."""
    for place, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return place
    return min(len(first), len(second))
