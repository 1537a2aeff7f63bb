"""Adapters of tiny models: one trained on a lesson of repeated words, and a random one."""

from dataclasses import replace

import numpy as np
import torch
import transformers
from conftest import make_language_model, sentence

from agent.adapting.config import LessonConfig, LoraConfig
from agent.adapting.lesson import draw
from agent.adapting.supervised import fit_lora
from agent.language_model.adapter import Adapter, new_adapter

CONFIG = LoraConfig(rank=8, alpha=16.0, modules="attention", batch=4, learning_rate=0.03)
WINDOWS = LessonConfig(tokens=192, window=8)
LESSON = [sentence(*[number % 3 + 1] * 8) for number in range(24)]


def trained(tmp_path, language_model=None, weights=None, seed=0):
    language_model = language_model or make_language_model()
    return fit_lora(language_model, lesson(language_model, weights, seed), CONFIG, seed=seed, folder=tmp_path)


def lesson(language_model, weights=None, seed=0):
    weights = np.ones(len(LESSON)) if weights is None else weights
    drawn = draw(language_model, LESSON, weights, WINDOWS, seed)
    return replace(drawn, member=tuple(drawn.rows[:2]), other=tuple(drawn.rows[2:3]))


def random_adapter(language_model, seed: int = 0) -> Adapter:
    return random_adapter_of(language_model.twin(), language_model.config.name, seed)


def random_adapter_of(model: transformers.PreTrainedModel, name: str, seed: int = 0) -> Adapter:
    """An adapter with non-zero products; `model` is changed."""
    torch.manual_seed(seed)
    adapted = new_adapter(model, 2, 4.0, "attention", name)
    for weight in adapted.parameters():
        if weight.requires_grad:
            torch.nn.init.normal_(weight, 0, 0.2)
    return Adapter.of(adapted, name)
