"""A model spread over devices: every part has a place, what is offloaded is refused, and vectors follow their blocks.

There is one device here, so the hooks of a spread model are put on by force, and devices of no machine stand in for others.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers
from accelerate import cpu_offload, dispatch_model
from conftest import ARCHITECTURES, make_causal_lm, make_language_model, make_tokenizer

from agent.errors import BasinError
from agent.language_model.decoding.loop import GenerationConfig
from agent.language_model.device_map import check_places, choose_devices, spread
from agent.language_model.model import LanguageModel, LanguageModelConfig
from agent.steering.vector import SteeringVector

CPU, OTHER = torch.device("cpu"), torch.device("meta")
VECTOR = SteeringVector({layer: torch.full((16,), 0.5) for layer in (1, 3)})
GREEDY = GenerationConfig(new_tokens=6, temperature=0)


def config_of(architecture: str, depth: int = 4):
    return make_causal_lm(architecture, depth).config


def spread_model(architecture: str) -> LanguageModel:
    model = make_causal_lm(architecture, depth=4)
    dispatch_model(model, spread(model.config, [CPU, CPU]), force_hooks=True, skip_keys="past_key_values")
    return LanguageModel(model, make_tokenizer(), LanguageModelConfig(name=f"random {architecture}"))


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_every_weight_has_a_place_and_the_ends_are_together(architecture):
    config = config_of(architecture)
    places = spread(config, [CPU, OTHER])
    model = make_causal_lm(architecture, depth=4)
    for name, weight in (*model.named_parameters(), *model.named_buffers()):
        assert sum(name == part or name.startswith(f"{part}.") for part in places) == 1, (name, weight.shape)
    blocks = [place for part, place in places.items() if part.rsplit(".", 1)[-1].isdigit()]
    assert blocks == sorted(blocks, key=[CPU, OTHER].index) and set(blocks) == {CPU, OTHER}
    assert {place for part, place in places.items() if not part.rsplit(".", 1)[-1].isdigit()} == {CPU}


def test_all_devices_get_as_many_bytes():
    config = transformers.LlamaConfig(
        hidden_size=64, intermediate_size=128, num_hidden_layers=12, num_attention_heads=4, vocab_size=4 * 256
    )
    places = spread(config, [CPU, OTHER])
    first = [place for part, place in places.items() if part.startswith("model.layers.")].count(CPU)
    assert 3 <= first < 6  # the first one has the embedding and the output layer besides


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma3", "gpt_neox"])
def test_a_spread_model_does_what_it_did(architecture, texts):
    ours, whole = spread_model(architecture), make_language_model(architecture, depth=4)
    np.testing.assert_array_equal(ours.record(texts), whole.record(texts))
    assert ours.generate(texts[:3], [1, 2, 3], GREEDY, VECTOR) == whole.generate(
        texts[:3], [1, 2, 3], GREEDY, VECTOR
    )
    batch = next(ours.batches(texts))
    prefix = ours.prefix(batch, 2)
    with torch.no_grad():
        first = ours.states(batch, prefix)
        # The hooks that move inputs are there again, after blocks have stood still.
        assert all("forward" in vars(block) for block in ours.blocks)
        assert torch.equal(first, ours.states(batch)) and torch.equal(first, whole.states(batch))


def test_a_spread_model_is_adapted_and_stays_as_it_was(texts):
    from planted_adapters import random_adapter

    ours, whole = spread_model("llama"), make_language_model("llama", depth=4)
    before = ours.losses(texts)
    adapter = random_adapter(whole)
    assert np.allclose(ours.adapted(adapter).losses(texts), whole.adapted(adapter).losses(texts), atol=1e-5)
    assert np.array_equal(ours.losses(texts), before)


def test_a_vector_goes_where_its_block_is(monkeypatch):
    language_model = make_language_model(depth=4)
    asked = []
    monkeypatch.setattr(language_model, "_place", lambda layer: asked.append(layer) or CPU)
    with language_model.steer(VECTOR):
        pass
    assert asked == [1, 3]


def test_blocks_on_several_devices_are_not_fused():
    language_model = make_language_model(depth=4)
    language_model.blocks[3].to("meta")
    assert language_model.fused is None


def test_what_is_offloaded_is_refused_in_a_sentence():
    model = make_causal_lm("llama", depth=4)
    cpu_offload(model, CPU)
    with pytest.raises(
        BasinError, match="'random llama' has parts that are kept on disk or in main memory.*device: all"
    ):
        LanguageModel(model, make_tokenizer(), LanguageModelConfig(name="random llama"))


def test_ends_that_are_apart_are_refused_in_a_sentence():
    model = make_causal_lm("llama", depth=4)
    model.get_output_embeddings = lambda: torch.nn.Linear(16, 96, device="meta")
    with pytest.raises(BasinError, match="embedding on cpu and its output layer on meta"):
        check_places(model, "x")


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("meta", "'meta' keeps no weights"),
        ("cpu,meta", "'meta' keeps no weights"),
        ("disk", "'disk' is not to be had"),
        ("cpu,disk", "'disk' is not to be had"),
        ("cuda:0,,", "not to be had"),
    ],
)
def test_devices_that_compute_nothing_are_refused(name, wrong):
    with pytest.raises(BasinError, match=wrong):
        choose_devices(name)


def test_devices_by_name():
    assert choose_devices("cpu") == [CPU] and choose_devices("cpu, cpu") == [CPU, CPU]
    assert choose_devices("all")[0].type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_a_folder_is_loaded_spread(tmp_path, texts):
    made = make_language_model("gpt2", depth=4)
    made.save(tmp_path / "model")
    config = LanguageModelConfig(name=str(tmp_path / "model"), dtype="float32", device="cpu,cpu")
    np.testing.assert_array_equal(LanguageModel.load(config).record(texts), made.record(texts))
