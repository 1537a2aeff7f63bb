"""Everything that Basin does with a model, on tiny models of many architectures, against transformers' own results.

An architecture is supported if it passes here. To add one, add its `model_type` to `ARCHITECTURES`.
"""

import numpy as np
import pytest
import torch
import transformers

from agent.adapting.config import LessonConfig, LoraConfig
from agent.adapting.lesson import draw
from agent.adapting.supervised import fit_lora
from agent.errors import BasinError
from agent.language_model.adapter import Adapter, targets
from agent.language_model.architecture import reads_forward
from agent.language_model.decoding.config import GenerationConfig
from agent.language_model.decoding.sampling import barred_tokens
from agent.language_model.load import LanguageModelConfig
from agent.language_model.model import LanguageModel
from agent.steering.vector import SteeringVector
from loops.diagnostics.tiny_twin import WORDS, tiny_tokenizer, tiny_twin

ARCHITECTURES = (
    *("llama", "mistral", "mixtral", "qwen2", "qwen3", "qwen3_moe", "gemma2", "gemma3_text", "phi", "phi3"),
    *("olmo2", "granite", "cohere", "falcon", "bloom", "gpt2", "gptj", "gpt_neox", "opt", "stablelm"),
    *("starcoder2", "glm4", "smollm3", "phi3 longrope"),
)
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0] * 4,
    "long_factor": [9.0, 20.0, 40.0, 60.0],
    "original_max_position_embeddings": 16,
}
"""Of texts and continuations here, some stay below 16 tokens, some pass them, and some begin above."""
CLOSE = 1e-4
"""Largest difference, relative to the size of the values; float32."""
GREEDY = GenerationConfig(new_tokens=8, temperature=0)
LORA, LESSON = LoraConfig(learning_rate=0.03), LessonConfig(tokens=128, window=16)


@pytest.fixture(scope="module", params=ARCHITECTURES)
def language_model(request) -> LanguageModel:
    name, _, longrope = request.param.partition(" ")
    config = transformers.AutoConfig.for_model(name)
    if longrope:
        config.rope_parameters, config.original_max_position_embeddings = LONGROPE, 16
    model = tiny_twin(config)
    assert reads_forward(model)
    made = LanguageModel(model, tiny_tokenizer(), LanguageModelConfig(name=request.param))
    return made.reading(range(1, made.depth))


@pytest.fixture(scope="module")
def vector(language_model) -> SteeringVector:
    generator = torch.Generator().manual_seed(2)
    return SteeringVector({1: torch.randn(language_model.width, generator=generator)})


def passages() -> list[str]:
    """Longer than a short window, and of several lengths."""
    generator = torch.Generator().manual_seed(1)
    numbers = [torch.randint(0, WORDS, (length,), generator=generator).tolist() for length in (12, 3, 21, 7)]
    return ["".join(f" w{number}" for number in row) for row in numbers]


def inputs(language_model, text: str) -> dict[str, torch.Tensor]:
    ids = language_model.tokenizer(text, return_tensors="pt")["input_ids"]
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def difference(ours, theirs) -> float:
    ours, theirs = (np.asarray(each, dtype=np.float64) for each in (ours, theirs))
    return float(np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-9))


@torch.no_grad()
def test_padded_batches_are_recorded_as_single_texts(language_model):
    for text, rows in zip(passages(), language_model.record(passages()), strict=True):
        hidden = language_model.model(**inputs(language_model, text), output_hidden_states=True).hidden_states
        for layer, row in zip(language_model.layers, rows, strict=True):
            assert difference(row, hidden[layer][0, 1:].mean(0)) < CLOSE


@torch.no_grad()
def test_steering_moves_its_layer_and_leaves_nothing_behind(language_model, vector):
    before = language_model.record(passages())
    with language_model.steer(vector):
        after = language_model.record(passages())
    moved = after[:, 0] - before[:, 0] - vector.directions[1].numpy()
    assert np.abs(moved).max() < CLOSE * max(1.0, float(np.abs(after[:, 0]).max()))
    first = inputs(language_model, passages()[0])
    base = language_model.model(**first).logits
    with language_model.steer(0.0 * vector):
        assert torch.equal(language_model.model(**first).logits, base)
    with language_model.steer(vector):
        assert not torch.allclose(language_model.model(**first).logits, base, atol=1e-3)
    assert torch.equal(language_model.model(**first).logits, base)


@torch.inference_mode()
@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_greedy_batches_are_those_of_transformers(language_model, vector, strength):
    barred = barred_tokens(language_model.model, language_model.tokenizer).nonzero().tolist()
    how = dict.fromkeys(("max_new_tokens", "min_new_tokens"), GREEDY.new_tokens) | {"bad_words_ids": barred}
    ours = language_model.generate(passages(), range(4), GREEDY, vector, strength)
    for prompt, text in zip(passages(), ours, strict=True):
        given = inputs(language_model, prompt)
        with language_model.steer(vector, strength):
            written = language_model.model.generate(**given, **how, do_sample=False, pad_token_id=0)
        assert language_model.tokenizer.decode(written[0, given["input_ids"].shape[1] :]) == text


def test_a_text_is_read_and_continued_beside_others_as_alone(language_model):
    texts, seeds, drawn = passages(), range(4), GenerationConfig(new_tokens=8)
    alone = [language_model.losses([text])[0] for text in texts]
    assert difference(language_model.losses(texts), alone) < CLOSE
    assert difference(language_model.losses(texts[:2], texts[2:]), [
        language_model.losses([text], [before])[0] for text, before in zip(texts[:2], texts[2:], strict=True)
    ]) < CLOSE  # fmt: skip
    each = [
        language_model.generate([text], [seed], drawn)[0] for text, seed in zip(texts, seeds, strict=True)
    ]
    assert language_model.generate(texts, seeds, drawn) == each


@pytest.mark.parametrize("name", ["recurrent_gemma", "lfm2", "qwen3_next", "mpt", "llama4_text"])
def test_padding_does_not_reach_a_text_of_other_kinds(name):
    made = LanguageModel(
        tiny_twin(transformers.AutoConfig.for_model(name)), tiny_tokenizer(), LanguageModelConfig(name=name)
    )
    test_a_text_is_read_and_continued_beside_others_as_alone(made)


def test_an_adapter_learns_and_merges_as_in_peft(language_model, tmp_path):
    try:
        modules = targets(language_model.model, "attention") and "attention"
    except BasinError:
        modules = "all"
    config = LORA.model_copy(update={"modules": modules})
    texts = passages()
    lesson = draw(language_model, texts, np.ones(len(texts)), LESSON, 0)
    adapter, _ = fit_lora(language_model, lesson, config, seed=0, folder=tmp_path)
    again = Adapter.from_files(adapter.files())
    assert again.digest == adapter.digest
    adapted, first = language_model.adapted(again), inputs(language_model, texts[0])
    with torch.no_grad():
        peft = again.attach(language_model.twin()).eval()
        base, ours, theirs = (each(**first).logits for each in (language_model.model, adapted.model, peft))
    assert difference(ours, theirs) < 10 * CLOSE and difference(ours, base) > 1e-3
    assert adapted.losses(texts).mean() < language_model.losses(texts).mean()
