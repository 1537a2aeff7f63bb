"""`basin doctor MODEL` reports what loading would find, and reads no weights."""

import json
import re
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
import transformers
import typer.testing
from conftest import make_language_model
from safetensors.torch import load_file, save_file
from transformers import ByT5Tokenizer

from agent.errors import BasinError
from agent.language_model.load import LanguageModelConfig
from agent.language_model.model import LanguageModel
from loops.cli.main import app
from loops.diagnostics.model_check import check_model

RUNNER = typer.testing.CliRunner()


@pytest.fixture(autouse=True)
def offline(monkeypatch) -> None:
    monkeypatch.setattr("loops.diagnostics.model_check.local_files_only", lambda where: True)


def spoil(folder: Path, change) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def folder_of(tmp_path: Path, architecture: str = "gpt2", **settings: object) -> Path:
    """A model folder with weights of the right names and shapes that no load accepts."""
    made = make_language_model(architecture, depth=6)
    made.save(tmp_path / "model")
    spoil(tmp_path / "model", lambda weights: [each.fill_(torch.nan) for each in weights.values()])
    file = tmp_path / "model" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))
    return tmp_path / "model"


def test_a_folder_is_checked_by_its_configuration_alone(tmp_path):
    found = check_model(str(folder_of(tmp_path)))
    made = make_language_model("gpt2", depth=6)
    assert found.usable and not any(found.problems.values()) and not found.fused
    assert found.depth == 6 and found.layers == made.layers
    assert found.parameters == sum(weight.numel() for weight in made.model.parameters())


def test_the_command_prints_what_a_run_can_do(tmp_path):
    result = RUNNER.invoke(app, ["doctor", str(folder_of(tmp_path, "llama"))])
    assert result.exit_code == 0
    printed = {line[:14].strip(): line[14:].strip() for line in result.output.splitlines()[1:]}
    trials = ("recorded", "steered", "generated with", "adapted", "fused decoder")
    assert {printed[name] for name in trials} == {"yes"}


@pytest.mark.parametrize(
    ("change", "tokenizer", "part", "problem"),
    [
        (lambda weights: weights.pop("model.norm.weight"), None, "weights", "lacks model.norm.weight"),
        (
            lambda weights: weights.update(odd=torch.ones(1)),
            None,
            "weights",
            "has odd, which the model does not",
        ),
        (None, ByT5Tokenizer(), "tokenizer", "has 384 tokens, and the model's embedding only 96 rows"),
        (None, "gone", "tokenizer", "."),
        (None, None, "", ""),
    ],
)
def test_a_model_s_own_files_are_tried_as_a_run_reads_them(tmp_path, change, tokenizer, part, problem):
    folder = folder_of(tmp_path, "llama")
    if change:
        spoil(folder, change)
    if tokenizer == "gone":
        for file in folder.glob("tokenizer*"):
            file.unlink()
    elif tokenizer:
        tokenizer.save_pretrained(folder)
        (folder / "tokenizer.json").unlink()
    found = check_model(str(folder))
    assert {name for name, each in found.problems.items() if each} == {part} - {""}
    assert found.usable is not bool(part) and (not part or re.search(problem, found.problems[part]))


def test_a_tokenizer_without_offsets_lacks_only_what_needs_them(tmp_path):
    model = make_language_model()
    model.model.resize_token_embeddings(384)
    model.model.save_pretrained(tmp_path)
    ByT5Tokenizer().save_pretrained(tmp_path)
    found = check_model(str(tmp_path))
    assert found.usable and [name for name, each in found.problems.items() if each] == ["maps between models"]


def test_an_architecture_is_checked_by_its_defaults():
    found = check_model("olmoe")
    assert found.usable and found.depth == 16 and 1e10 < found.parameters < 2e10


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("t5", "'t5' .* is an encoder-decoder.*choose a causal language model"),
        ("clip", "no causal language model of transformers"),
        ("mamba", "has no attention"),
        ("bert", "is an encoder, which reads both ways"),
        ("no/such-model", "could not be loaded"),
        ("there is none", "no model folder or file"),
        ("nothing.gguf", "no GGUF file"),
    ],
)
def test_other_models_are_refused_in_a_sentence(name, sentence):
    with pytest.raises(BasinError, match=sentence):
        check_model(name)
    result = RUNNER.invoke(app, ["doctor", name])
    assert result.exit_code == 1 and "Traceback" not in result.output


def test_loading_refuses_an_encoder_too(tmp_path):
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2}
    model = transformers.BertLMHeadModel(transformers.BertConfig(vocab_size=96, **sizes))
    torch.manual_seed(0)
    for weight in model.parameters():
        if weight.ndim == 2:
            torch.nn.init.normal_(weight, 0, 0.35)  # as far from zero as trained ones
    model.save_pretrained(tmp_path)
    make_language_model("gpt2").tokenizer.save_pretrained(tmp_path)
    with pytest.raises(BasinError, match="is an encoder, which reads both ways"):
        LanguageModel.load(LanguageModelConfig(name=str(tmp_path), device="cpu"))


@pytest.mark.parametrize(
    "settings", [{"quant_method": "bitsandbytes", "load_in_4bit": True}, {"quant_method": "gptq", "bits": 4}]
)
def test_quantised_models_are_checked_without_their_library(tmp_path, settings):
    assert check_model(str(folder_of(tmp_path, quantization_config=settings))).usable


def test_a_library_that_quantised_weights_need_is_named(tmp_path, monkeypatch):
    needs = ImportError("Using `bitsandbytes` 4-bit quantization requires bitsandbytes. Do this. Do that")
    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", Mock(side_effect=needs))
    with pytest.raises(BasinError, match="needs a library that is not installed.*requires bitsandbytes"):
        LanguageModel.load(LanguageModelConfig(name=str(folder_of(tmp_path)), device="cpu"))


BROKEN = {
    "recorded": ("record", lambda whole, *given: 1.01 * whole(*given)),
    "steered": ("_shifts", lambda whole, *given: {key: 2 * each for key, each in whole(*given).items()}),
    "generated with": ("generate", lambda whole, model, prompts, *given, **named: [" w1"] * len(prompts)),
    "adapted": ("adapted", lambda whole, model, adapter: model),
}


@pytest.mark.parametrize("trial", BROKEN)
def test_every_trial_can_fail(trial, monkeypatch):
    name, instead = BROKEN[trial]
    whole = getattr(LanguageModel, name)
    replaced = lambda *given, **named: instead(whole, *given, **named)  # noqa: E731
    monkeypatch.setattr(LanguageModel, name, replaced)
    assert check_model("gpt2").problems[trial]
