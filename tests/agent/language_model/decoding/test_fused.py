"""The fused decoder is taken where it is the model, and packed layers are the layers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import ARCHITECTURES, make_language_model, sentence
from torch import nn
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from agent.language_model.decoding.config import GenerationConfig
from agent.language_model.decoding.fused import Norm, fused
from agent.language_model.output_layer import PackedLinear
from agent.steering.vector import SteeringVector

FUSED = {"llama", "mistral", "qwen2", "qwen3", "gemma3"}
GREEDY = GenerationConfig(new_tokens=12, temperature=0)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_it_is_taken_for_what_is_built_like_llama(name):
    language_model = make_language_model(name, depth=4)
    assert (language_model.fused is not None) == (name in FUSED)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_a_norm_is_the_models_own_at_any_length(dtype, size):
    theirs = LlamaRMSNorm(24, eps=1e-5)
    theirs.weight.data = torch.rand(24)
    inputs = size * torch.randn(3, 5, 24, generator=torch.Generator().manual_seed(0))
    theirs, inputs = theirs.to(dtype), inputs.to(dtype)
    with torch.no_grad():
        torch.testing.assert_close(Norm(theirs)(inputs), theirs(inputs))


@pytest.mark.parametrize("where", ["down_proj", "input_layernorm"])
def test_it_is_refused_where_the_model_does_something_else(where):
    language_model = make_language_model(depth=4)
    block = language_model.blocks[2]
    module = block.mlp.down_proj if where == "down_proj" else block.input_layernorm
    whole = module.forward
    module.forward = lambda inputs: 1.01 * whole(inputs)
    assert fused(language_model.model.base_model, language_model.blocks) is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bias", [(False, False), (True, False)])
def test_a_packed_layer_is_its_layers_side_by_side(dtype, bias):
    torch.manual_seed(0)
    layers = [nn.Linear(20, 12, bias=bias[0], dtype=dtype), nn.Linear(20, 7, bias=bias[1], dtype=dtype)]
    inputs = torch.randn(3, 5, 20, dtype=dtype)
    with torch.no_grad():
        expected = torch.cat([layer(inputs) for layer in layers], dim=-1)
        torch.testing.assert_close(PackedLinear(layers)(inputs), expected)
        # Where it cannot be packed, the layers are called as they are.
        unpacked = PackedLinear(layers)
        unpacked.packed = None
        assert torch.equal(unpacked(inputs), expected)


def test_every_text_of_a_batch_is_steered_in_its_own_way(architecture):
    language_model = make_language_model(architecture, depth=4)
    generator = torch.Generator().manual_seed(3)
    low, high = (SteeringVector({layer: 2 * torch.randn(16, generator=generator)}) for layer in (1, 3))
    prompts, seeds = [sentence(1, 2, 3)] * 5, [1, 2, 3, 4, 5]
    vectors, strengths = [low, high, None, low + high, low], [1.0, 1.0, 1.0, 0.5, -1.0]
    together = language_model.generate(prompts, seeds, GREEDY, vectors, strengths)
    alone = [
        language_model.generate(prompts[:1], [seed], GREEDY, vector, strength)[0]
        for seed, vector, strength in zip(seeds, vectors, strengths, strict=True)
    ]
    assert together == alone and len(set(alone)) > 2
    halves = GREEDY.model_copy(update={"batch_size": 2})
    assert language_model.generate(prompts, seeds, halves, vectors, strengths) == alone


@pytest.mark.parametrize("first", ["record", "generate", "steer"])
def test_it_is_made_whatever_the_model_is_asked_for_first(first, texts):
    language_model, fresh = make_language_model(depth=4), make_language_model(depth=4)
    vector = SteeringVector({1: torch.ones(16)})
    fresh.fused = None  # read by transformers alone
    if first == "record":
        np.testing.assert_allclose(language_model.record(texts), fresh.record(texts), atol=1e-4)
    elif first == "generate":
        assert language_model.generate(texts[:2], [1, 2], GREEDY) == fresh.generate(texts[:2], [1, 2], GREEDY)
    else:
        with language_model.steer(vector), fresh.steer(vector):
            np.testing.assert_allclose(language_model.record(texts), fresh.record(texts), atol=1e-4)
            assert np.allclose(language_model.losses(texts), fresh.losses(texts), atol=1e-4)
    assert language_model.fused is not None
