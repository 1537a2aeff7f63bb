"""Names of models lead to folders; conversions are whole or absent, and one sentence tells what is wrong."""

import json

import pytest

from agent.errors import BasinError
from agent.hub import models
from agent.hub.models import EMBEDDED, is_whole, model_status, resolve_model
from agent.hub.quiet import quiet_transformers


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BASIN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write_folder(folder, content="weights"):
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_text(content)
    entry = {"bytes": len(content), "sha256": models.sha256_of(folder / "model.safetensors")}
    (folder / "manifest.json").write_text(json.dumps({"files": {"model.safetensors": entry}}))
    return folder


def test_a_hub_id_is_returned_as_it_is():
    assert resolve_model("gpt2") == "gpt2"
    assert resolve_model("EleutherAI/pythia-70m") == "EleutherAI/pythia-70m"


def test_a_model_folder_is_itself_and_any_other_folder_is_told(tmp_path):
    with pytest.raises(BasinError, match="has no config.json"):
        resolve_model(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    assert resolve_model(str(tmp_path)) == tmp_path


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("smollm2-135", "did you mean 'smollm2-135m'"),
        ("./nowhere/at/all", "no model folder or file"),
        ("a b", "no model folder or file"),
        ("missing.gguf", "no GGUF file at missing.gguf"),
    ],
)
def test_names_that_lead_nowhere(cache, name, sentence):
    with pytest.raises(BasinError, match=sentence):
        resolve_model(name)


def test_what_is_no_gguf_file_or_a_broken_one_is_told(cache, tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(b"PK\3\4")
    with pytest.raises(BasinError, match="does not begin with GGUF"):
        resolve_model(str(path))
    path.write_bytes(b"GGUF\3\0\0\0" + bytes(40))
    with pytest.raises(BasinError, match="cannot be read as a language model"):
        resolve_model(str(path))
    assert list((cache / "models").iterdir()) == []


def test_a_converted_model_is_used_without_its_package_and_a_damaged_one_is_not(cache, monkeypatch):
    model = EMBEDDED["smollm2-135m"]
    assert model_status(model.name) == "missing"
    write_folder(model.folder)
    assert resolve_model(model.name) == model.folder
    assert model_status(model.name) == "cached"

    (model.folder / "model.safetensors").write_text("wEights")
    assert not is_whole(model.folder)
    assert model_status(model.name) == "damaged"

    (model.folder / "model.safetensors").write_text("short")
    fetched = []
    monkeypatch.setattr(models, "fetch_all", lambda files: fetched.append(files) or [cache / "x.gguf"])
    monkeypatch.setattr(
        models, "_convert", lambda gguf, folder, title, draft: models._commit(write_folder(draft), folder)
    )
    assert resolve_model(model.name) == model.folder
    assert len(fetched) == 1
    assert is_whole(model.folder)


def test_a_conversion_that_fails_leaves_nothing(cache, monkeypatch):
    def interrupted(gguf, folder, title, draft):
        write_folder(draft)
        raise KeyboardInterrupt

    monkeypatch.setattr(models, "fetch_all", lambda files: [cache / "x.gguf"])
    monkeypatch.setattr(models, "_convert", interrupted)
    with pytest.raises(KeyboardInterrupt):
        resolve_model("smollm2-135m")
    assert list((cache / "models").iterdir()) == []


def test_a_whole_folder_that_another_process_made_stays(cache, tmp_path):
    folder = write_folder(tmp_path / "final", "theirs")
    models._commit(write_folder(tmp_path / "draft", "mine"), folder)
    assert (folder / "model.safetensors").read_text() == "theirs"


def test_quiet_puts_back_what_it_found(capsys):
    import sys

    from transformers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    with pytest.raises(RuntimeError), quiet_transformers():
        print("noise", file=sys.stderr)
        raise RuntimeError
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before
    assert capsys.readouterr().err == ""


@pytest.mark.weights
@pytest.mark.parametrize(
    ("name", "depth", "width", "begins"), [("smollm2-135m", 30, 576, False), ("gemma3-270m", 18, 640, True)]
)
def test_embedded_models_predict_text_and_tokenise_it_without_loss(name, depth, width, begins):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = resolve_model(name)
    assert model_status(name) == "cached"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    assert (model.config.num_hidden_layers, model.config.hidden_size) == (depth, width)
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight

    text = " I don't   like\n\nit — “she” message, 1945; naïve café\t中文 😀"
    assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True) == text
    ids = tokenizer("The cat sat on the mat, and the dog lay on the floor.", return_tensors="pt").input_ids
    assert (ids[0, 0] == tokenizer.bos_token_id) == begins
    with torch.no_grad():
        loss = model(ids, labels=ids).loss
    assert loss < 4  # nats per token; a wrongly converted model is near log(vocabulary) = 11
