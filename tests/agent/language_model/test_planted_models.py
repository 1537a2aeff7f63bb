"""Models and tokenizers with something about them that published ones have too."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_causal_lm, make_language_model, make_tokenizer, sentence
from planted_adapters import random_adapter
from safetensors.torch import load_file, save_file
from transformers import AddedToken, ByT5Tokenizer

from agent.adapting.config import LessonConfig, LoraConfig
from agent.adapting.lesson import draw
from agent.adapting.supervised import fit_lora
from agent.errors import BasinError
from agent.language_model.activation_cache import record_cached
from agent.language_model.decoding.config import GenerationConfig
from agent.language_model.load import LanguageModelConfig
from agent.language_model.model import LanguageModel

TEXTS = [sentence(1, 2, 3, 4, 5), sentence(7, 8), sentence(*range(20, 32))]
HEAD, BLOCK = "lm_head.weight", "model.layers.1.mlp.up_proj.weight"


def planted(folder: Path, change=None, config=None, tokenizer=None, told=None) -> LanguageModelConfig:
    """A model folder whose weights, config.json or tokenizer were changed after saving."""
    model = make_causal_lm("llama")
    model.save_pretrained(folder)
    (tokenizer or make_tokenizer()).save_pretrained(folder)
    if change:
        weights = load_file(folder / "model.safetensors")
        change(weights)
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    edit(folder / "config.json", config or {})
    edit(folder / "tokenizer_config.json", told or {})
    return LanguageModelConfig(name=str(folder), dtype="float32", device="cpu")


def edit(file: Path, changes: dict) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def renamed(weights):
    for key in [key for key in weights if ".layers.1." in key]:
        weights[f"base_model.{key}"] = weights.pop(key)


def broken(value):
    def change(weights):
        weights[BLOCK][3, 5] = value

    return change


def more_tokens(holes: int = 0):
    tokenizer = make_tokenizer()
    tokenizer.add_tokens([AddedToken(f"<more{number}>") for number in range(3 + holes)])
    return tokenizer


OWN_CODE = {
    "auto_map": {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.Own"},
    "model_type": "own",
}


@pytest.mark.parametrize(
    ("change", "config", "tokenizer", "wrong"),
    [
        (renamed, {}, None, "lacks model.layers.1.*and 8 more; has base_model.*and 8 more"),
        (lambda weights: weights.pop(BLOCK), {}, None, f"lacks {BLOCK}\\)"),
        (lambda weights: weights.pop(HEAD), {}, None, f"lacks {HEAD}\\)"),
        (lambda weights: weights.update({"score.weight": torch.ones(2, 16)}), {}, None, "has score.weight, which"),
        (lambda weights: weights.update({BLOCK: torch.ones(9, 16)}), {}, None, f"another shape for {BLOCK}"),
        (None, {"num_hidden_layers": 3}, None, "lacks model.layers.2"),
        (None, {"vocab_size": 90}, None, "another shape for lm_head.weight and 1 more"),
        (broken(torch.nan), {}, None, f"NaN or infinite \\({BLOCK}\\): its file is damaged"),
        (broken(-torch.inf), {}, None, f"NaN or infinite \\({BLOCK}\\)"),
        (None, {}, more_tokens(), "has 97 tokens, and the model's embedding only 96 rows"),
        (None, OWN_CODE, None, "language_model.trust_remote_code to true"),
        (None, {"hidden_act": "no-such"}, None, "could not be loaded \\(.*: check that the folder holds all"),
    ],
)  # fmt: skip
def test_a_model_that_is_not_whole_is_refused_by_name(tmp_path, change, config, tokenizer, wrong):
    with pytest.raises(BasinError, match=wrong) as refused:
        LanguageModel.load(planted(tmp_path, change, config, tokenizer))
    assert "float32" not in str(refused.value)


def tied(weights):
    weights["model.embed_tokens.weight"] = weights.pop(HEAD)


@pytest.mark.parametrize(
    ("change", "config"),
    [
        (lambda weights: weights.update({"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}), {}),
        (tied, {"tie_word_embeddings": True}),
    ],
)
def test_what_is_missing_or_left_over_without_harm_is_not_refused(tmp_path, change, config):
    loaded = LanguageModel.load(planted(tmp_path, change, config))
    whole = make_causal_lm("llama")
    if config:
        whole.model.embed_tokens.weight.data.copy_(whole.lm_head.weight)
    plain = LanguageModel(whole, make_tokenizer(), loaded.config)
    np.testing.assert_array_equal(loaded.record(TEXTS), plain.record(TEXTS))
    np.testing.assert_array_equal(loaded.losses(TEXTS), plain.losses(TEXTS))


ROPE = {"rope_parameters": {"rope_theta": 500.0, "rope_type": "default"}}


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        ("weights", {"change": lambda weights: weights[BLOCK].mul_(1 + 1e-6)}),
        ("config", {"config": ROPE}),
        ("config", {"config": {"rms_norm_eps": 1e-2}}),
        ("config", {"config": {"eos_token_id": [2, 17]}}),
        ("tokenizer", {"told": {"eos_token": "<s>"}}),
        ("tokenizer", {"told": {"truncation_side": "left"}}),
        ("tokenizer", {"told": {"split_special_tokens": True}}),
        ("tokenizer", {"told": {"chat_template": "{{ messages[0].content }}"}}),
        ("tokenizer", {"tokenizer": more_tokens(-1)}),
        ("tokenizer", {"tokenizer": make_tokenizer(begins_with_bos=False)}),
    ],
)
def test_an_identity_changes_with_each_part_and_no_stale_activation_is_used(
    tmp_path, monkeypatch, part, changes
):
    monkeypatch.setenv("BASIN_CACHE", str(tmp_path / "cache"))
    begun, again = (LanguageModel.load(planted(tmp_path / "model")) for _ in range(2))
    assert begun.identity.differences(again.identity) == [] and begun.fingerprint == again.fingerprint
    record_cached(begun, TEXTS)
    now = LanguageModel.load(planted(tmp_path / "model", **changes))
    assert begun.identity.differences(now.identity) == [part] and begun.fingerprint != now.fingerprint
    np.testing.assert_array_equal(record_cached(now, TEXTS), now.record(TEXTS))


def test_an_identity_is_of_the_numbers_not_of_their_place_or_format(tmp_path):
    saved = [planted(tmp_path / name, lambda weights: [each.copy_(each.bfloat16()) for each in weights.values()])
             for name in ("here", "there")]  # fmt: skip
    here, there = (LanguageModel.load(each) for each in saved)
    narrow = LanguageModel.load(saved[0].model_copy(update={"dtype": "bfloat16"}))
    assert here.identity == there.identity and here.fingerprint == there.fingerprint
    assert here.identity.weights == narrow.identity.weights and here.fingerprint != narrow.fingerprint
    adapted = here.adapted(random_adapter(here))
    assert here.identity.differences(adapted.identity) == ["weights"]
    longer = LanguageModel.load(saved[0].model_copy(update={"max_tokens": 4}))
    assert longer.identity == here.identity and longer.fingerprint != here.fingerprint


def no_end():
    tokenizer = make_tokenizer()
    tokenizer.pad_token = tokenizer.eos_token = None
    return tokenizer


@pytest.mark.parametrize("tokenizer", [no_end, ByT5Tokenizer], ids=["no end", "python only"])
def test_tokenizers_without_an_end_or_offsets_are_read_written_and_trained(tmp_path, tokenizer):
    made = make_causal_lm("llama")
    if tokenizer is ByT5Tokenizer:
        made.resize_token_embeddings(384)
    language_model = LanguageModel(made, tokenizer(), LanguageModelConfig(name="planted"))
    before = language_model.identity
    alone = np.concatenate([language_model.record([text]) for text in TEXTS])
    np.testing.assert_allclose(language_model.record(TEXTS), alone, atol=1e-5)
    whole = language_model.token_losses([" w1 w2 w3 w4"])[0]
    rest = language_model.token_losses([" w3 w4"], [" w1 w2"])[0]
    np.testing.assert_allclose(rest, whole[-len(rest) :], atol=1e-5)
    assert len(rest) == (2 if tokenizer is no_end else 6)
    assert all(language_model.generate(TEXTS, range(3), GenerationConfig(new_tokens=4)))
    lesson = draw(language_model, TEXTS, np.ones(3), LessonConfig(tokens=96, window=16), 0)
    lora = LoraConfig(batch=3, learning_rate=0.03)
    adapter, _ = fit_lora(language_model, lesson, lora, seed=0, folder=tmp_path)
    assert language_model.adapted(adapter).losses(TEXTS).mean() < language_model.losses(TEXTS).mean()
    assert LanguageModel(made, language_model.tokenizer, language_model.config).identity == before
    if tokenizer is ByT5Tokenizer:
        with pytest.raises(BasinError, match="does not say which characters"):
            next(language_model.token_states(TEXTS))


@pytest.mark.parametrize(
    ("template", "wrong"),
    [
        ("{{ raise_exception('roles must alternate') }}", "does not work .roles must alternate"),
        ("{{ messages[0]['content'] | no_such_filter }}", "does not work"),
        ("{{ messages[0]['parts'][0] }}", "does not work"),
        ("{% if false %}{{ messages }}{% endif %}", "leaves the question out"),
        ({"tool_use": "{{ messages }}"}, "does not work"),
    ],
)
def test_a_chat_template_that_fails_ends_in_one_sentence(template, wrong):
    language_model = make_language_model()
    language_model.tokenizer.chat_template = template
    with pytest.raises(BasinError, match=wrong):
        language_model.chat("w1 w2")


def test_a_remedy_does_not_name_the_format_that_is_in_use():
    language_model = make_language_model()
    with torch.no_grad():
        language_model.blocks[0].mlp.down_proj.weight.fill_(3e38)
    for work in (language_model.record, language_model.losses):
        with pytest.raises(BasinError, match="float32 is the widest format"):
            work(TEXTS)
