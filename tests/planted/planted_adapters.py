"""Adapters of tiny models: one trained on a lesson of repeated words, and a random one."""

import numpy as np
import torch
from conftest import make_language_model, sentence

from agent.adapting.config import LoraConfig
from agent.adapting.supervised import fit_lora
from agent.language_model.adapter import Adapter, new_adapter

CONFIG = LoraConfig(passages=24, batch=4, learning_rate=0.03, tokens=32)
LESSON = [sentence(*[number % 3 + 1] * 8) for number in range(24)]


def trained(tmp_path, language_model=None, weights=None, seed=0):
    language_model = language_model or make_language_model()
    weights = np.ones(len(LESSON)) if weights is None else weights
    return fit_lora(language_model, LESSON, weights, CONFIG, seed=seed, folder=tmp_path)


def random_adapter(language_model, seed: int = 0) -> Adapter:
    """One whose products are not zero."""
    torch.manual_seed(seed)
    model = new_adapter(language_model.twin(), 2, 4.0, "attention", language_model.config.name)
    for weight in model.parameters():
        if weight.requires_grad:
            torch.nn.init.normal_(weight, 0, 0.2)
    return Adapter.of(model, language_model.config.name)
