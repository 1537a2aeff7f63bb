"""Preference training of an adapter on pairs of passages, kept near the base model.

Direct preference optimisation (Rafailov et al. 2305.18290) by TRL's DPOTrainer, with the adapter at
its start as the reference. A barrier limits the root mean square over tokens of KL(adapted ||
base). Text breaks at a few tokens far from the base model, which a limit on the mean would allow.
"""

from __future__ import annotations

import os
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
from agent.adapting.trainer import (
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


def fit_preferences(
    language_model: LanguageModel,
    pairs: Sequence[Pair],
    start: Adapter,
    config: PreferenceConfig,
    *,
    tokens: int,
    seed: int,
    folder: Path,
) -> tuple[Adapter, list[dict[str, float]]]:
    """The adapter after one pass over the first `config.pairs` pairs, starting from `start`.

    A history row has TRL's metrics of a step (`loss`, `rewards/accuracies`, `rewards/margins` in
    nats times beta) and `rms_nats`, the distance that the barrier limits. Deterministic given the
    seed.

    Args:
        tokens: prompt and continuation together are cut to this length.
        folder: interrupted training resumes from the state kept here.

    Raises:
        BasinError: there are no pairs, the loss is not a number, or `folder` cannot be written.
    """
    if not pairs:
        raise BasinError(
            "There are no accepted passages beside rejected ones to learn a preference from: write more samples."
        )
    columns = _columns(language_model, pairs[: config.pairs], tokens)
    place = training_folder(
        folder, "preference", language_model.fingerprint, start.digest, config, seed, columns
    )
    options = trainer_options(language_model, place, seed, -(-len(columns["prompt_ids"]) // config.batch))
    options |= {"per_device_train_batch_size": config.batch, "learning_rate": config.learning_rate}
    with quiet():
        trainer = _PreferenceTrainer(
            model=start.attach(trainable_twin(language_model), trainable=True),
            args=DPOConfig(**options, beta=config.beta, max_length=None),
            train_dataset=Dataset.from_dict(columns),
            processing_class=padding_tokenizer(language_model),
            callbacks=[ReportSteps("train preferences")],
        )
    trainer.limits = config
    history = train(trainer, place)
    return Adapter.of(trainer.model, language_model.config.name), history


def barrier(rms_nats: Float[Tensor, ""], limit_nats: float, weight: float) -> Float[Tensor, ""]:
    """`weight * max(0, rms / limit - 1)^2`: zero inside the limit, `weight` at twice it."""
    return weight * (rms_nats / limit_nats - 1).clamp(min=0).square()


def rms_divergence(
    model: Any, ids: Int[Tensor, "text token"], real: Bool[Tensor, "text token"]
) -> Float[Tensor, ""]:
    """Root mean square over real tokens of KL(adapted || base) of a PEFT model, in nats."""
    core = model.get_base_model()
    output = OutputLayer(core.get_output_embeddings(), core.config.get_text_config())
    batch = {"input_ids": ids, "attention_mask": real.long(), "use_cache": False}
    adapted = base_of(core)(**batch).last_hidden_state[real]
    with torch.no_grad(), model.disable_adapter():
        base = base_of(core)(**batch).last_hidden_state[real]
    # The root has no finite slope at zero, where a fresh adapter starts.
    return (output.divergences(adapted, base).square().mean() + TINY).sqrt()


class _PreferenceTrainer(PlainState, DPOTrainer):
    """TRL's trainer with the barrier added to its loss."""

    limits: PreferenceConfig

    def _prepare_dataset(self, dataset: Dataset, *_: Any, **__: Any) -> Dataset:
        # Tokenised before. TRL would append an end of text, and these passages are cut.
        return dataset

    def compute_loss(self, model: Any, inputs: Any, *arguments: Any, **options: Any) -> Any:
        loss = super().compute_loss(model, inputs, *arguments, **options)
        if not self.limits.barrier:
            return loss
        # The first half of a batch are the chosen passages.
        some = slice(0, min(self.limits.barrier_passages, len(inputs["input_ids"]) // 2))
        peft_model = self.accelerator.unwrap_model(model)
        rms = rms_divergence(peft_model, inputs["input_ids"][some], inputs["attention_mask"][some].bool())
        self._metrics["train"]["rms_nats"].append(float(rms.detach()))
        return loss + barrier(rms, self.limits.limit_nats, self.limits.barrier).to(loss.dtype)


def _columns(language_model: LanguageModel, pairs: Sequence[Pair], tokens: int) -> dict[str, list[list[int]]]:
    """The columns of TRL's collator; the prompt ends where the two token sequences part."""
    columns: dict[str, list[list[int]]] = {"prompt_ids": [], "chosen_ids": [], "rejected_ids": []}
    whole = [pair.prompt + each for pair in pairs for each in (pair.chosen, pair.rejected)]
    say_lessons_cut(language_model, whole, tokens)
    for pair in pairs:
        texts = [pair.prompt, pair.prompt + pair.chosen, pair.prompt + pair.rejected]
        prompt, chosen, rejected = token_ids(language_model, texts, tokens)
        seam = min(len(os.path.commonprefix([prompt, other])) for other in (chosen, rejected))
        columns["prompt_ids"].append(prompt[:seam])
        columns["chosen_ids"].append(chosen[seam:])
        columns["rejected_ids"].append(rejected[seam:])
    return columns
