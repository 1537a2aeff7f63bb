"""Loading by name, refusals, and models on several devices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from accelerate import cpu_offload, dispatch_model
from conftest import make_causal_lm, make_language_model, make_tokenizer
from planted_adapters import random_adapter

from agent.errors import BasinError
from agent.hub import models
from agent.language_model.architecture import choose_device
from agent.language_model.decoding.config import GenerationConfig
from agent.language_model.load import LanguageModelConfig, check_places, spread
from agent.language_model.model import LanguageModel
from agent.steering.vector import SteeringVector

CPU = torch.device("cpu")
VECTOR = SteeringVector({layer: torch.full((16,), 0.5) for layer in (1, 3)})
GREEDY = GenerationConfig(new_tokens=6, temperature=0)


def test_a_model_without_a_list_of_blocks_is_named():
    model = make_causal_lm("llama")
    model.model.layers = torch.nn.ModuleList(list(model.model.layers)[:1])
    with pytest.raises(BasinError, match="LlamaForCausalLM"):
        LanguageModel(model, make_tokenizer(), LanguageModelConfig())


def test_load_names_what_it_lacks(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(BasinError, match="could not be loaded"):
        LanguageModel.load(LanguageModelConfig(name=str(tmp_path), device="cpu"))
    with pytest.raises(BasinError, match="'nowhere'"):
        LanguageModel.load(LanguageModelConfig(name=str(tmp_path), device="nowhere"))


@pytest.mark.parametrize("reachable", [True, False])
def test_a_hub_out_of_reach_is_not_asked_for_a_model(monkeypatch, reachable):
    asked = []

    def from_pretrained(name, local_files_only, trust_remote_code):
        assert trust_remote_code is False
        asked.append(not local_files_only)
        raise OSError

    monkeypatch.setattr(models, "hub_is_reachable", lambda: reachable)
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", from_pretrained)
    with pytest.raises(BasinError, match="'nobody/no-such-model' could not be loaded"):
        LanguageModel.load(LanguageModelConfig(name="nobody/no-such-model", device="cpu"))
    assert asked == [reachable]


def test_code_that_comes_with_a_model_runs_only_if_trusted_and_is_announced(monkeypatch, tmp_path, messages):
    asked = []

    def from_pretrained(name, **how):
        asked.append(how)
        raise OSError("no such model")

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", from_pretrained)
    (tmp_path / "config.json").write_text("{}")
    for trusted in (False, True):
        config = LanguageModelConfig(name=str(tmp_path), device="cpu", trust_remote_code=trusted)
        with pytest.raises(BasinError):
            LanguageModel.load(config)
    assert [how["trust_remote_code"] for how in asked] == [False, True]
    assert [str(tmp_path) in message for message in messages if "may run code" in message] == [True]
    trusting = make_language_model(trust_remote_code=True)
    assert trusting.fingerprint == make_language_model().fingerprint


def test_weights_that_are_a_pickle_are_not_opened(tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "trapped",))

    folder = tmp_path / "model"
    make_language_model().save(folder)
    (folder / "model.safetensors").unlink()
    torch.save({"trap": Trap()}, folder / "pytorch_model.bin")
    with pytest.raises(BasinError, match="could not be loaded.*safetensors"):
        LanguageModel.load(LanguageModelConfig(name=str(folder), device="cpu"))
    assert not (tmp_path / "trapped").exists()


def spread_model(architecture: str) -> LanguageModel:
    """There is one device here, so the hooks that accelerate puts on a model on several are forced."""
    model = make_causal_lm(architecture, depth=4)
    places = {name: CPU for name, module in model.named_modules() if not list(module.children())}
    dispatch_model(model, places, force_hooks=True, skip_keys="past_key_values", main_device=CPU)
    return LanguageModel(model, make_tokenizer(), LanguageModelConfig(name=f"random {architecture}"))


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma3", "gpt_neox"])
def test_a_spread_model_gives_the_same_results(architecture, texts):
    ours, whole = spread_model(architecture), make_language_model(architecture, depth=4)
    np.testing.assert_array_equal(ours.record(texts), whole.record(texts))
    written = [each.generate(texts[:3], [1, 2, 3], GREEDY, VECTOR) for each in (ours, whole)]
    assert written[0] == written[1]
    batch = next(ours.batches(texts))
    prefix = ours.prefix(batch, 2)
    with torch.no_grad():
        first = ours.states(batch, prefix)
        assert torch.equal(first, ours.states(batch)) and torch.equal(first, whole.states(batch))
    before, adapter = ours.losses(texts), random_adapter(whole)
    assert np.allclose(ours.adapted(adapter).losses(texts), whole.adapted(adapter).losses(texts), atol=1e-5)
    assert np.array_equal(ours.losses(texts), before)


def test_blocks_on_several_devices_are_not_fused():
    language_model = make_language_model(depth=4)
    language_model.blocks[3].to("meta")
    assert language_model.fused is None


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_ends_are_together_where_blocks_are_spread(architecture, monkeypatch):
    config = make_causal_lm(architecture, depth=8).config
    config.tie_word_embeddings = False
    size = 4 * sum(weight.numel() for weight in make_causal_lm(architecture, depth=8).parameters())
    memory = {0: int(0.7 * size), 1: int(0.7 * size)}
    monkeypatch.setattr("agent.language_model.load.get_balanced_memory", lambda *_, **__: memory)
    places = spread(config, torch.float32)
    blocks = [place for part, place in places.items() if part.rsplit(".", 1)[-1].isdigit()]
    assert blocks == sorted(blocks) and set(blocks) == {0, 1}
    embedding = next(place for part, place in places.items() if part.endswith(("embed_tokens", "wte")))
    assert places["lm_head"] == embedding == 0


def test_offloaded_parts_and_separate_ends_are_refused():
    offloaded, apart = (make_causal_lm("llama", depth=4) for _ in range(2))
    cpu_offload(offloaded, CPU)
    with pytest.raises(BasinError, match="'random llama' has parts on disk or in main memory.*spread"):
        LanguageModel(offloaded, make_tokenizer(), LanguageModelConfig(name="random llama"))
    apart.get_output_embeddings = lambda: torch.nn.Linear(16, 96, device="meta")
    with pytest.raises(BasinError, match="embedding on cpu and its output layer on meta"):
        check_places(apart, "x")


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("meta", "'meta' keeps no weights"),
        ("disk", "'disk' is not available"),
        ("cuda:0,cuda:1", "'cuda:0,cuda:1' is not available .* spread"),
    ],
)
def test_devices_that_cannot_be_used_are_refused(name, wrong):
    with pytest.raises(BasinError, match=wrong):
        choose_device(name)


def test_devices_by_name():
    first = "cuda" if torch.cuda.is_available() else "cpu"
    assert choose_device("cpu") == CPU and choose_device("auto").type == choose_device("spread").type == first


@pytest.mark.parametrize(
    ("architecture", "device"), [("gpt2", "cpu"), ("gpt2", "spread"), ("llama", "spread")]
)
def test_a_saved_folder_is_loaded_as_the_same_model(tmp_path, texts, architecture, device):
    made = make_language_model(architecture, depth=4)
    made.save(tmp_path / "model")
    config = LanguageModelConfig(name=str(tmp_path / "model"), dtype="float32", device=device)
    atol = 0 if device == "cpu" else 1e-5
    np.testing.assert_allclose(
        LanguageModel.load(config).record(texts), made.record(texts), rtol=0, atol=atol
    )


def test_auto_takes_the_cpu_for_a_model_larger_than_the_gpu(tmp_path, monkeypatch, messages):
    class Properties:
        total_memory = 1000

    made = make_language_model("gpt2")
    made.save(tmp_path / "model")
    monkeypatch.setattr("agent.language_model.load.choose_device", lambda name: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Properties)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
    loaded = LanguageModel.load(LanguageModelConfig(name=str(tmp_path / "model")))
    assert loaded.device == CPU and any("it runs on the CPU" in message for message in messages)
