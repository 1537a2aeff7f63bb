"""The probe says what loading would find, and reads no weights."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest
import torch
import transformers
import typer.testing
from conftest import make_language_model

from agent.errors import BasinError
from agent.language_model.model import LanguageModel, LanguageModelConfig
from loops.cli.main import app
from loops.diagnostics.model_trial import try_out
from loops.diagnostics.probing import probe

RUNNER = typer.testing.CliRunner()


def folder_of(tmp_path: Path, architecture: str = "gpt2", **settings: object) -> Path:
    """A model folder whose weights nobody can read."""
    made = make_language_model(architecture, depth=6)
    made.save(tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"none")
    file = tmp_path / "model" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))
    return tmp_path / "model"


def test_a_folder_is_told_by_its_configuration_alone(tmp_path):
    found = probe(str(folder_of(tmp_path)))
    made = make_language_model("gpt2", depth=6)
    assert found.usable and found.trial.adapted and not found.trial.fused
    assert (found.blocks, found.depth, found.width) == ("transformer.h", 6, 16)
    assert found.layers == made.layers
    assert found.parameters == sum(weight.numel() for weight in made.model.parameters())
    assert found.targets["attention"] == ("c_attn", "c_proj") and set(found.targets["all"]) > {"c_attn"}
    assert "model" in found.exports and not any("gguf" in each for each in found.exports)


def test_the_command_says_it_and_ends_well(tmp_path):
    result = RUNNER.invoke(app, ["probe", str(folder_of(tmp_path, "llama"))])
    assert result.exit_code == 0
    said = {line.split("  ")[0]: line.split("  ", 1)[-1].strip() for line in result.output.splitlines()}
    assert said["written with"] == "yes, fused" and said["blocks"].startswith("model.layers: 6 of width 16")


def test_an_architecture_without_any_model_is_told_by_its_defaults(monkeypatch):
    monkeypatch.setattr("loops.diagnostics.probing.local_files_only", lambda where: True)
    found = probe("olmoe")
    assert found.usable and "defaults" in found.origin and found.depth == 16
    assert "experts" in found.trial.note and 1e10 < found.parameters < 2e10


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("t5", "'t5' .* is an encoder-decoder.*choose a causal language model"),
        ("clip", "no causal language model of transformers"),
        ("mamba", "has no attention"),
        ("no/such-model", "cannot be read"),
        ("there is none", "no model folder or file"),
        ("nothing.gguf", "no GGUF file"),
    ],
)
def test_what_is_no_such_model_is_refused_in_a_sentence(name, sentence, monkeypatch):
    monkeypatch.setattr("loops.diagnostics.probing.local_files_only", lambda where: True)
    with pytest.raises(BasinError, match=sentence):
        probe(name)
    result = RUNNER.invoke(app, ["probe", name])
    assert result.exit_code == 1 and "Traceback" not in result.output


def test_an_encoder_is_refused_by_the_probe_and_by_loading(tmp_path, monkeypatch):
    monkeypatch.setattr("loops.diagnostics.probing.local_files_only", lambda where: True)
    assert "reads both ways" in probe("bert").trial.note
    assert RUNNER.invoke(app, ["probe", "bert"]).exit_code == 1
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2}
    config = transformers.BertConfig(vocab_size=96, **sizes)
    torch.manual_seed(0)
    model = transformers.BertLMHeadModel(config)
    for weight in model.parameters():
        if weight.ndim == 2:
            torch.nn.init.normal_(weight, 0, 0.35)  # as far from nothing as trained ones
    model.save_pretrained(tmp_path)
    make_language_model("gpt2").tokenizer.save_pretrained(tmp_path)
    with pytest.raises(BasinError, match="is an encoder, which reads both ways"):
        LanguageModel.load(LanguageModelConfig(name=str(tmp_path), device="cpu"))


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "4-bit bitsandbytes: tried"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "8-bit bitsandbytes: tried"),
        ({"quant_method": "gptq", "bits": 4}, "gptq: not tried"),
    ],
)
def test_quantised_weights_have_a_clear_word(tmp_path, settings, word):
    found = probe(str(folder_of(tmp_path, quantization_config=settings)))
    assert found.quantised.startswith(word) and found.usable
    assert "model" not in found.exports and "adapter" in found.exports


def test_a_library_that_quantised_weights_need_is_named(tmp_path, monkeypatch):
    def from_pretrained(*_, **__):
        raise ImportError("Using `bitsandbytes` 4-bit quantization requires bitsandbytes. Do this. Do that")

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", from_pretrained)
    with pytest.raises(BasinError, match="needs a library that is not installed.*requires bitsandbytes"):
        LanguageModel.load(LanguageModelConfig(name=str(folder_of(tmp_path)), device="cpu"))


BROKEN = {
    "recorded": ("record", lambda whole, self, texts: 1.01 * whole(self, texts)),
    "steered": ("_shifts", lambda whole, self, *given: {k: 2 * v for k, v in whole(self, *given).items()}),
    "generated": ("generate", lambda whole, self, prompts, *given, **named: [" w1"] * len(prompts)),
    "adapted": ("adapted", lambda whole, self, adapter: self),
}


@pytest.mark.parametrize("part", BROKEN)
def test_a_trial_can_fail_at_every_part(part, monkeypatch):
    name, instead = BROKEN[part]
    monkeypatch.setattr(
        LanguageModel, name, functools.partialmethod(_handed(getattr(LanguageModel, name), instead))
    )
    trial = try_out(transformers.AutoConfig.for_model("gpt2"))
    assert not getattr(trial, part) and f"{part}: " in trial.note


def _handed(whole, instead):
    return lambda self, *given, **named: instead(whole, self, *given, **named)
