"""Real consumers open every export and reproduce it; each export says what it leaves out."""

import re
from pathlib import Path
from unittest.mock import Mock

import datasets
import gguf
import peft
import pytest
import safetensors
import torch
import transformers
import typer.testing
import yaml
from conftest import ARCHITECTURES, make_causal_lm, make_language_model, save_tiny_model, sentence
from planted_export import TEXTS, exported_run, tiny_vector

from agent.errors import BasinError
from agent.language_model.decoding.baked import LAST_MAPS, bake, can_bake
from agent.language_model.load import LanguageModelConfig
from agent.language_model.model import LanguageModel
from loops.checkpoint.store import RunStore
from loops.cli.main import app
from loops.export.formats import FORMATS, Made, export_round
from loops.export.subject import Export


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model") / "tiny", depth=4)


@pytest.fixture(scope="module")
def store(tmp_path_factory, folder) -> RunStore:
    return exported_run(tmp_path_factory.mktemp("runs") / "planted", folder)


@pytest.fixture
def place(store, tmp_path, monkeypatch) -> Path:
    """An empty working folder from which the run is found by its name."""
    monkeypatch.setenv("BASIN_CHECKPOINTS", str(store.path.parent))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _basin(line: str) -> typer.testing.Result:
    return typer.testing.CliRunner().invoke(app, ["export", *line.split()])


def _made(store: RunStore, name: str, out: Path, number: int | None = None, **how: object) -> Made:
    return export_round(Export.of(store, number, **how), name, out)


def _loaded(path: Path) -> transformers.PreTrainedModel:
    return transformers.AutoModelForCausalLM.from_pretrained(path)


def _expected(store: RunStore, number: int) -> torch.Tensor:
    """Logits of the round's own writer: adapted and steered."""
    concept = store.load(number).concept
    own = LanguageModel.load(LanguageModelConfig(name=store.config.language_model.name, dtype="float32"))
    own = own.adapted(concept.adapter)
    with torch.no_grad(), own.steer(concept.vector):
        return own.model(_ids(own.tokenizer)).logits


def _ids(tokenizer: transformers.PreTrainedTokenizerBase) -> torch.Tensor:
    return tokenizer(TEXTS[0], return_tensors="pt")["input_ids"]


@pytest.mark.parametrize("number", [1, 2])
def test_a_model_folder_is_the_rounds_writer_to_transformers(store, tmp_path, number):
    path = _made(store, "model", tmp_path / "m", number, dtype="float32").path
    ids = _ids(transformers.AutoTokenizer.from_pretrained(path))
    with torch.no_grad():
        assert torch.allclose(_loaded(path)(ids).logits, _expected(store, number), atol=1e-4)
    write = transformers.pipeline("text-generation", model=str(path))
    assert write(TEXTS[0], max_new_tokens=3, do_sample=False)[0]["generated_text"].startswith(TEXTS[0])


def test_round_0_at_strength_0_is_the_base_model(store, folder, tmp_path):
    made = _made(store, "model", tmp_path / "m", 0, dtype="float32", strength=0)
    base, loaded = (_loaded(each).state_dict().values() for each in (folder, made.path))
    assert all(map(torch.equal, base, loaded)) and made.sentences == []


def test_gguf_reads_the_control_vector(store, tmp_path):
    made = _made(store, "control-vector", tmp_path / "v.gguf", 1, strength=2.0)
    found = {each.name: torch.tensor(each.data) for each in gguf.GGUFReader(made.path).tensors}
    directions = tiny_vector(2, 3).directions
    assert found.keys() == {"direction.1", "direction.2"}
    assert all(torch.allclose(found[f"direction.{layer - 1}"], 2 * row) for layer, row in directions.items())


def test_peft_loads_the_adapter(store, folder, tmp_path):
    made = _made(store, "adapter", tmp_path / "a", 2)
    loaded = peft.PeftModel.from_pretrained(_loaded(folder), made.path)
    own = LanguageModel.load(LanguageModelConfig(name=str(folder), dtype="float32"))
    own = own.adapted(store.load(2).concept.adapter)
    ids = _ids(own.tokenizer)
    with torch.no_grad():
        assert torch.allclose(loaded(ids).logits, own.model(ids).logits, atol=1e-4)
    assert any("steering.safetensors" in sentence for sentence in made.sentences)
    assert (made.path / "steering.safetensors").is_file()


@pytest.mark.parametrize(
    ("name", "how", "message"),
    [
        ("model", {"dtype": "float16", "strength": 1e6}, r"bias has numbers beyond float16.*--dtype"),
        ("control-vector", {"strength": 1e300}, "beyond float32: lower --strength"),
        ("safetensors", {"strength": 1e300}, "beyond float32: lower --strength"),
    ],
)
def test_no_export_has_infinite_numbers(store, tmp_path, name, how, message):
    with pytest.raises(BasinError, match=message):
        _made(store, name, tmp_path / "out", 1, **how)
    assert not (tmp_path / "out").exists()


def test_an_adapter_names_its_base_model_as_peft_finds_it(store, folder, tmp_path, monkeypatch):
    made = _made(store, "adapter", tmp_path / "a", 2)
    assert peft.PeftConfig.from_pretrained(made.path).base_model_name_or_path == str(folder)
    assert "base model tiny by its folder on this machine" in made.sentences[-1]
    monkeypatch.setattr(Export, "base_name", "smollm2-135m")
    made = _made(store, "adapter", tmp_path / "b", 2)
    hub = peft.PeftConfig.from_pretrained(made.path).base_model_name_or_path
    assert hub == "HuggingFaceTB/SmolLM2-135M-Instruct" and hub in made.sentences[-1]


def test_datasets_opens_the_labels(store, tmp_path):
    made = _made(store, "dataset", tmp_path / "d", 1)
    rows = datasets.load_dataset(str(made.path), split="train", cache_dir=str(tmp_path / "cache"))
    texts, concept = store.load_passages().texts, store.load(1).concept
    assert rows["text"][:] == texts and rows["inside"][:] == concept.inside.tolist()
    assert rows["membership"][:] == pytest.approx(concept.membership, abs=1e-6)
    assert rows["topic_weight"][:] == pytest.approx(store.load_pointer().weights(texts), abs=1e-6)
    assert rows["title"][:] == ["A [Title]"] * 3 + [""] * 3 + ["T"]


def test_safetensors_hold_the_scaled_vector(store, tmp_path):
    made = _made(store, "safetensors", tmp_path / "v.safetensors", 1, strength=2.0)
    with safetensors.safe_open(made.path, framework="pt") as file:
        assert torch.allclose(file.get_tensor("layer_2"), 2 * tiny_vector(2, 3).directions[2])
        assert file.metadata()["use"] == "added at every position" and file.metadata()["strength"] == "2.0"


def test_a_vector_that_weights_cannot_hold_is_refused_or_noted(store, tmp_path, monkeypatch):
    monkeypatch.setattr("loops.export.model.can_bake", lambda model: False)
    with pytest.raises(BasinError, match="safetensors"):
        _made(store, "model", tmp_path / "model", 1)
    assert not (tmp_path / "model").exists()
    # With an adapter the weights hold something, and the card says what they leave out.
    made = _made(store, "model", tmp_path / "m", 2)
    assert any("not in the weights" in sentence for sentence in made.sentences)
    assert (made.path / "steering.safetensors").is_file()
    assert "not in the weights" in (made.path / "README.md").read_text()


def test_the_card_holds_topic_size_and_limits(store, tmp_path):
    card = (_made(store, "model", tmp_path / "m", 1).path / "README.md").read_text()
    _, front, body = card.split("---\n", 2)
    assert yaml.safe_load(front)["library_name"] == "transformers"
    parts = ["police", "0.25", "Nothing was measured against labels", "This round has none", "Limits"]
    assert [part for part in parts if part not in body] == []


def test_an_export_that_fails_leaves_nothing(store, tmp_path, monkeypatch):
    full = Mock(side_effect=OSError(28, "No space left on device"))
    monkeypatch.setattr("pyarrow.parquet.write_table", full)
    with pytest.raises(BasinError, match="No space left"):
        _made(store, "dataset", tmp_path / "d", 1)
    assert list(tmp_path.iterdir()) == []


def test_every_mistake_is_one_sentence(place):
    (place / "mine").mkdir()
    for line, told in (
        ("planted --to control_vector", "did you mean control-vector"),
        ("planted --to dataset --round 9", "no round 9"),
        ("planted --to adapter --round 1", "round 2 has"),
        ("planted --to model --round 0", "later --round"),
        ("planted --to control-vector --round 0", "no steering vector"),
        ("planted --to model --dtype int3", "--dtype"),
        ("plnted --to dataset", "no run 'plnted'"),
        ("planted --to dataset --out mine", "exists already"),
    ):
        result = _basin(line)
        assert result.exit_code == 1 and isinstance(result.exception, SystemExit), result.output
        assert told in [line for line in result.stderr.splitlines() if line][-1]
    assert [each.name for each in place.iterdir()] == ["mine"]


def test_an_export_is_named_after_run_round_and_format(place):
    result = _basin("planted --to control-vector --round 1")
    assert result.exit_code == 0, result.output
    assert (place / "planted-round1-control-vector.gguf").is_file()
    assert "planted-round1-control-vector.gguf" in result.stdout and "--control-vector" in result.stdout
    assert set(FORMATS) <= set(re.findall(r"[\w-]+", _basin("--help").output))


def test_layer_one_has_no_direction(folder, tmp_path):
    store = exported_run(tmp_path / "run", folder, layers=(1, 2))
    with pytest.raises(BasinError, match="first block"):
        _made(store, "control-vector", tmp_path / "v.gguf", 1)


@pytest.mark.parametrize("architecture", sorted(LAST_MAPS))
def test_baked_is_steered(architecture, tmp_path):
    steered = make_language_model(architecture, depth=3)
    ids = steered.tokenizer(sentence(4, 8, 15), return_tensors="pt")["input_ids"]
    with torch.no_grad():
        plain = steered.model(ids).logits
        with steered.steer(tiny_vector(1, 2)):
            expected = steered.model(ids).logits
        baked = bake(steered.model, tiny_vector(1, 2))
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
        bake(model, tiny_vector(1, 2))
