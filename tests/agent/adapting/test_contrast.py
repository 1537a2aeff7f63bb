"""The contrast of two adapters is the exact combination of their products."""

from __future__ import annotations

import torch
from conftest import make_language_model
from planted_adapters import random_adapter

from agent.adapting.contrast import contrasted


def product(adapter, name):
    scale = adapter.config["lora_alpha"] / adapter.config["r"]
    other = name.replace("lora_A", "lora_B")
    return scale * adapter.tensors[other] @ adapter.tensors[name]


def test_a_contrast_adds_the_difference_of_the_products():
    model = make_language_model()
    concept, corpus = random_adapter(model, 1), random_adapter(model, 2)
    both = contrasted(concept, corpus, 0.5)
    for name in (each for each in both.tensors if "lora_A" in each):
        wanted = 1.5 * product(concept, name) - 0.5 * product(corpus, name)
        torch.testing.assert_close(product(both, name), wanted)
    text = ["w1 w2 w3 w4 w5"]
    same = contrasted(concept, corpus, 0.0)
    assert abs(model.adapted(same).losses(text) - model.adapted(concept).losses(text)) < 1e-4
    assert both.from_files(both.files()).digest == both.digest


def test_an_adapter_against_itself_is_itself():
    model = make_language_model()
    adapter = random_adapter(model)
    text = ["w1 w2 w3 w4 w5"]
    found = model.adapted(contrasted(adapter, adapter, 3.0)).losses(text)
    assert abs(found - model.adapted(adapter).losses(text)) < 1e-3
