"""An adapter is plain data: equal after its files, merged without a change to its model, and readable by PEFT."""

from __future__ import annotations

import pytest
import torch
from conftest import make_language_model
from peft import PeftModel
from planted_adapters import random_adapter

from agent.errors import BasinError
from agent.language_model.adapter import Adapter, new_adapter, targets

IDS = torch.tensor([[1, 5, 9, 20, 30]])


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model(IDS).logits


def test_a_fresh_adapter_is_the_model_itself(architecture):
    language_model = make_language_model(architecture)
    fresh = new_adapter(language_model.twin(), 2, 4.0, "attention", "x")
    assert torch.equal(logits(fresh), logits(language_model.model))


def test_merging_equals_peft_and_leaves_the_model_unchanged(architecture):
    language_model = make_language_model(architecture)
    before = logits(language_model.model)
    adapter = random_adapter(language_model)
    wanted = logits(adapter.attach(language_model.twin()).eval())
    assert (wanted - before).abs().max() > 0.1
    torch.testing.assert_close(logits(language_model.adapted(adapter).model), wanted, atol=1e-4, rtol=1e-4)
    assert torch.equal(logits(language_model.model), before)


def test_files_are_peft_s_own(tmp_path):
    language_model = make_language_model()
    adapter = random_adapter(language_model)
    for name, content in adapter.files().items():
        (tmp_path / name).write_bytes(content)
    loaded = PeftModel.from_pretrained(language_model.twin(), str(tmp_path)).eval()
    assert torch.equal(logits(loaded), logits(adapter.attach(language_model.twin()).eval()))


def test_the_hub_is_not_asked_for_the_model_and_the_embedding_is_not_kept(monkeypatch):
    def asked(*_):
        raise AssertionError("asked the hub")

    monkeypatch.setattr("peft.utils.save_and_load.check_file_exists_on_hf_hub", asked)
    language_model = make_language_model()
    adapter = random_adapter(language_model)
    adapter.attach(language_model.twin())
    assert not any("embed" in name for name in adapter.tensors)


def test_nothing_is_added_to_quantised_weights(monkeypatch):
    language_model = make_language_model()
    adapter, twin = random_adapter(language_model), language_model.twin()
    wanted = logits(adapter.attach(language_model.twin()).eval())
    whole = language_model.blocks[0].self_attn.q_proj.weight
    monkeypatch.setattr(torch.Tensor, "is_floating_point", lambda tensor: tensor is not whole)
    adapter.merge_into(twin)
    monkeypatch.undo()
    assert torch.equal(logits(twin.eval()), wanted)
    assert any(hasattr(module, "lora_A") for module in twin.modules())
    assert twin.model.layers[0].self_attn.q_proj.base_layer.weight is whole


def test_files_are_read_back_to_the_bit():
    adapter = random_adapter(make_language_model())
    again = Adapter.from_files(adapter.files())
    assert again.files() == adapter.files()
    assert again.digest == adapter.digest != random_adapter(make_language_model(), seed=1).digest


def test_an_adapted_model_shares_what_is_not_adapted():
    language_model = make_language_model()
    adapted = language_model.adapted(random_adapter(language_model))
    assert adapted.output.head.weight.data_ptr() == language_model.output.head.weight.data_ptr()
    assert language_model.adapted(None) is language_model


def test_attention_is_less_than_all():
    model = make_language_model().model
    assert set(targets(model, "attention")) < set(targets(model, "all"))


@pytest.mark.parametrize(
    ("other", "settings"), [({"architecture": "gpt2"}, {}), ({"depth": 3}, {}), ({}, {"from_the_future": 1})]
)
def test_adapters_of_another_model_or_of_unknown_settings_are_refused_in_one_sentence(other, settings):
    adapter = random_adapter(make_language_model())
    with pytest.raises(BasinError, match="does not fit this model"):
        make_language_model(**other).adapted(Adapter({**adapter.config, **settings}, adapter.tensors))


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
@pytest.mark.parametrize("content", [b"", b"{", b"\x00" * 64, None])
def test_damaged_files_are_refused_in_one_sentence(name, content):
    files = random_adapter(make_language_model()).files()
    if content is None:
        del files[name]
    else:
        files[name] = content
    with pytest.raises(BasinError, match="damaged"):
        Adapter.from_files(files)
