"""A baked model equals the steered model, also after saving and loading."""

import pytest
import torch
import transformers
from conftest import ARCHITECTURES, make_causal_lm, make_language_model, sentence

from agent.steering.vector import SteeringVector
from loops.export.model import LAST_MAPS, bake, can_bake

WIDTH = 16


def _vector() -> SteeringVector:
    generator = torch.Generator().manual_seed(3)
    return SteeringVector({layer: torch.randn(WIDTH, generator=generator) for layer in (1, 2)})


@pytest.mark.parametrize("architecture", sorted(LAST_MAPS))
def test_baked_is_steered(architecture, tmp_path):
    steered = make_language_model(architecture, depth=3)
    ids = steered.tokenizer(sentence(4, 8, 15), return_tensors="pt")["input_ids"]
    with torch.no_grad():
        plain = steered.model(ids).logits
        with steered.steer(_vector()):
            expected = steered.model(ids).logits
        baked = bake(steered.model, _vector())
        assert torch.allclose(baked(ids).logits, expected, atol=1e-4)
        assert torch.equal(steered.model(ids).logits, plain), "the model itself stays as it is"
    assert not torch.allclose(expected, plain, atol=1e-2)
    baked.save_pretrained(tmp_path)
    loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    with torch.no_grad():
        assert torch.allclose(loaded(ids).logits, expected, atol=1e-4)


@pytest.mark.parametrize("architecture", sorted(set(ARCHITECTURES) - set(LAST_MAPS)))
def test_models_without_a_place_for_it_say_so(architecture):
    model = make_causal_lm(architecture)
    assert not can_bake(model)
    with pytest.raises(ValueError, match="no bias"):
        bake(model, _vector())
