"""A model of bfloat16 is taught with attention in float32, and only the twin that is taught."""

from __future__ import annotations

import pytest
import torch
from conftest import make_causal_lm, make_language_model, make_tokenizer, sentence
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from agent.language_model import LanguageModel, LanguageModelConfig
from agent.model_layout import base_of
from agent.updating.wide_attention import NAME, attend, trainee

TEXTS = [sentence(*range(12)), sentence(*range(5, 40))]


def in_bfloat16(architecture="llama"):
    core = make_causal_lm(architecture).to(torch.bfloat16)
    return LanguageModel(core, make_tokenizer(), LanguageModelConfig(name="random"))


def slopes(model, language_model):
    """Of a sum of the last states, in the embeddings of two texts of which one is padded."""
    (batch,) = language_model.batches(TEXTS)
    inputs = model.get_input_embeddings()(batch.ids).detach().requires_grad_()
    states = base_of(model)(
        inputs_embeds=inputs, attention_mask=batch.real.long(), use_cache=False
    ).last_hidden_state
    states[batch.real].float().sin().sum().backward()
    return inputs.grad[batch.real].float()


@pytest.mark.parametrize("architecture", ["llama", "gemma3", "gpt2", "mistral"])
def test_a_taught_model_reads_and_learns_as_before(architecture):
    exact, narrow = make_language_model(architecture), in_bfloat16(architecture)
    wanted = slopes(exact.twin(), exact)
    for model in (narrow.twin(), trainee(narrow)):
        assert (slopes(model, narrow) - wanted).norm() < 0.1 * wanted.norm()


def test_attention_in_float32_is_nearer_to_the_exact_one():
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randn(2, 3, 40, 8, generator=generator).bfloat16() for _ in range(4)]
    module = torch.nn.Module()
    module.is_causal, module.num_key_value_groups = True, 1

    def slope(forward, dtype):
        inputs = [each.to(dtype).requires_grad_() for each in drawn[:3]]
        mixed, _ = forward(module, *inputs, None, scaling=0.3)
        mixed.backward(drawn[3].to(dtype).transpose(1, 2))
        return torch.stack([each.grad.double() for each in inputs])

    exact = slope(sdpa_attention_forward, torch.float64)
    wide, narrow = (
        float((slope(forward, torch.bfloat16) - exact).norm()) for forward in (attend, sdpa_attention_forward)
    )
    assert wide < narrow


def test_only_the_twin_is_changed_and_only_where_it_is_narrow():
    narrow, exact = in_bfloat16(), make_language_model()
    assert trainee(narrow).config._attn_implementation == NAME
    assert narrow.model.config._attn_implementation == "sdpa"
    assert trainee(exact).config._attn_implementation == "sdpa"


def test_attention_chosen_by_hand_is_kept():
    narrow = in_bfloat16()
    narrow.model.set_attn_implementation("eager")
    assert trainee(narrow).config._attn_implementation == "eager"
    assert next(trainee(narrow).parameters()).dtype == torch.bfloat16
