"""The loop over tokens: penalties, models without keys and values; see also test_architectures."""

from __future__ import annotations

import pytest
import torch
import transformers
from conftest import make_language_model, make_mamba, sentence

from agent.errors import BasinError
from agent.language_model.decoding.config import GenerationConfig
from agent.steering.vector import SteeringVector

GREEDY = GenerationConfig(new_tokens=12, temperature=0)


def some_vector() -> SteeringVector:
    generator = torch.Generator().manual_seed(3)
    return SteeringVector({layer: 2 * torch.randn(16, generator=generator) for layer in (1, 3)})


def test_a_penalty_is_that_of_transformers():
    language_model = make_language_model("gemma2", depth=4)
    prompts = [sentence(1, 2, 3), sentence(4, 5, 6, 7, 8, 9)]
    settings = transformers.GenerationConfig(
        max_new_tokens=12,
        min_new_tokens=12,
        do_sample=False,
        pad_token_id=0,
        suppress_tokens=language_model._writer.barred.nonzero()[:, 0].tolist(),
        disable_compile=True,
        repetition_penalty=1.5,
    )
    expected = []
    for prompt in prompts:
        encoded = language_model.tokenizer(prompt, return_tensors="pt")
        ids = language_model.model.generate(**encoded, generation_config=settings)
        expected.append(language_model.tokenizer.decode(ids[0, encoded["input_ids"].shape[1] :]))
    penalised = GREEDY.model_copy(update={"repetition_penalty": 1.5})
    assert language_model.generate(prompts, [1, 2], penalised) == expected
    assert language_model.generate(prompts, [1, 2], GREEDY) != expected


def test_a_model_without_keys_and_values_generates_by_transformers_and_says_so_once(messages):
    language_model = make_mamba()
    prompts, config = [sentence(1, 2, 3), sentence(4, 5, 6)], GenerationConfig(new_tokens=6, top_k=96)
    written = language_model.generate(prompts, [1, 2], config, some_vector())
    assert [len(text.split()) for text in written] == [6, 6]
    assert language_model.generate(prompts, [1, 2], config, some_vector()) == written
    assert language_model.generate(prompts, [3, 4], config, some_vector()) != written
    assert ["slower" in message for message in messages] == [True]


def test_vectors_that_do_not_pair_up_with_the_prompts_are_refused():
    language_model = make_language_model(depth=4)
    with pytest.raises(BasinError, match="each of the 3"):
        language_model.generate([sentence(1)] * 3, [1, 2, 3], GREEDY, some_vector(), [1.0, 2.0])
