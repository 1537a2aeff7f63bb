"""A bfloat16 model is trained with attention by blocks, without a change to the model itself."""

from __future__ import annotations

import pytest
import torch
from conftest import make_causal_lm, make_language_model, make_tokenizer, sentence
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from agent.adapting.attention import BLOCK, NAME, attend
from agent.adapting.products import AdaptedProduct, multiply_at_once
from agent.adapting.trainer import trainable_twin
from agent.language_model.adapter import new_adapter
from agent.language_model.architecture import base_of
from agent.language_model.load import LanguageModelConfig
from agent.language_model.model import LanguageModel

TEXTS = [sentence(*range(12)), sentence(*range(5, 40))]


def in_bfloat16(architecture="llama"):
    core = make_causal_lm(architecture).to(torch.bfloat16)
    return LanguageModel(core, make_tokenizer(), LanguageModelConfig(name="random"))


def gradients(model, language_model):
    """Gradients of a sum of last states in the embeddings of two texts, one of them padded."""
    (batch,) = language_model.batches(TEXTS)
    inputs = model.get_input_embeddings()(batch.ids).detach().requires_grad_()
    states = base_of(model)(
        inputs_embeds=inputs, attention_mask=batch.real.long(), use_cache=False
    ).last_hidden_state
    states[batch.real].float().sin().sum().backward()
    return inputs.grad[batch.real].float()


@pytest.mark.parametrize("architecture", ["llama", "gemma3", "gpt2", "mistral"])
def test_a_trainable_twin_has_the_same_gradients(architecture):
    exact, narrow = make_language_model(architecture), in_bfloat16(architecture)
    wanted = gradients(exact.twin(), exact)
    for model in (narrow.twin(), trainable_twin(narrow)):
        assert (gradients(model, narrow) - wanted).norm() < 0.1 * wanted.norm()


@pytest.mark.parametrize("length", [40, BLOCK, 2 * BLOCK + 30])
def test_attention_by_blocks_is_as_near_to_the_exact_one_as_float32(length):
    generator = torch.Generator().manual_seed(0)
    heads = (6, 3, 3, 6)
    drawn = [torch.randn(2, head, length, 8, generator=generator).bfloat16() for head in heads]
    module = torch.nn.Module()
    module.is_causal, module.num_key_value_groups = True, 2

    def slope(forward, dtype):
        inputs = [each.to(dtype).requires_grad_() for each in drawn[:3]]
        mixed, _ = forward(module, *inputs, None, scaling=0.3)
        mixed.backward(drawn[3].to(dtype).transpose(1, 2))
        return torch.cat([mixed.double().flatten(), *(each.grad.double().flatten() for each in inputs)])

    exact = slope(sdpa_attention_forward, torch.float64)
    ours, narrow = (
        float((slope(forward, torch.bfloat16) - exact).norm()) for forward in (attend, sdpa_attention_forward)
    )
    assert ours < 1.2 * narrow and ours < 0.01 * exact.norm()


def adapter_gradients(at_once, language_model):
    """Gradients of an adapter with non-zero products, by `AdaptedProduct` or by PEFT."""
    torch.manual_seed(0)
    model = new_adapter(language_model.twin(), 4, 8, "attention", "random")
    parts = {
        name: each for name, each in model.named_modules() if "lora_" in name and hasattr(each, "weight")
    }
    for name, part in parts.items():
        part.weight.data = 0.1 * torch.randn(
            part.weight.shape, generator=torch.Generator().manual_seed(len(name))
        )
    (batch,) = language_model.batches(TEXTS)
    if at_once:
        multiply_at_once(model)
    states = base_of(model.get_base_model())(
        input_ids=batch.ids, attention_mask=batch.real.long(), use_cache=False
    ).last_hidden_state
    states[batch.real].float().sin().sum().backward()
    assert {part.weight.grad.dtype for part in parts.values()} == {torch.float32}
    return torch.cat([part.weight.grad.flatten() for part in parts.values()])


@pytest.mark.parametrize("architecture", ["llama", "gemma3", "gpt2"])
def test_products_at_once_have_the_gradients_of_pefts(architecture):
    exact, narrow = make_language_model(architecture), in_bfloat16(architecture)
    wanted = adapter_gradients(False, exact)
    assert (adapter_gradients(True, exact) - wanted).norm() < 1e-4 * wanted.norm()
    of_peft, ours = (
        float((adapter_gradients(at_once, narrow) - wanted).norm() / wanted.norm())
        for at_once in (False, True)
    )
    assert ours < max(0.05, 1.5 * of_peft)


def test_a_product_with_an_adapter_has_exact_gradients():
    generator = torch.Generator().manual_seed(0)
    x, a, b = (
        torch.randn(*shape, generator=generator, dtype=torch.float64, requires_grad=True)
        for shape in ((2, 3, 5), (2, 5), (4, 2))
    )
    base = torch.nn.Linear(5, 4, dtype=torch.float64).requires_grad_(False)
    wanted = base(x) + x @ a.mT @ b.mT
    assert torch.allclose(AdaptedProduct.apply(x, (base.weight, base.bias), a, b), wanted)
    assert torch.autograd.gradcheck(
        lambda *given: AdaptedProduct.apply(given[0], (base.weight, base.bias), *given[1:]), (x, a, b)
    )


def test_exact_models_keep_their_attention():
    narrow, exact = in_bfloat16(), make_language_model()
    assert trainable_twin(narrow).config._attn_implementation == NAME
    assert {each.config._attn_implementation for each in (narrow.model, trainable_twin(exact))} == {"sdpa"}
