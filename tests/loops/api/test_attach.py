"""Somebody's own transformers model under the concept: the run's writer inside the block, itself to the bit outside."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from conftest import make_causal_lm, save_tiny_model
from planted_export import TEXTS, exported_run

from agent.errors import BasinError
from agent.language_model.model import LanguageModel
from loops.api.attach import steered
from loops.checkpoint.run_models import keep_model
from loops.checkpoint.store import RunStore


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model") / "tiny", depth=4)


@pytest.fixture(scope="module")
def store(tmp_path_factory, folder) -> RunStore:
    return exported_run(tmp_path_factory.mktemp("runs") / "planted", folder)


@pytest.fixture
def model(folder) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(folder).train()


@pytest.fixture
def ids(folder) -> torch.Tensor:
    return transformers.AutoTokenizer.from_pretrained(folder)(TEXTS[0], return_tensors="pt")["input_ids"]


def _writer(store: RunStore, number: int, ids: torch.Tensor) -> torch.Tensor:
    concept = store.load(number).concept
    own = LanguageModel.load(store.config.language_model.model_copy(update={"dtype": "float32"}))
    own = own.adapted(concept.adapter)
    with torch.no_grad(), own.steer(concept.vector):
        return own.model(ids).logits


@pytest.mark.parametrize("number", [1, 2])
def test_inside_the_block_it_is_the_rounds_writer(store, model, ids, number):
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    with torch.no_grad():
        plain = model(ids).logits
        with pytest.raises(KeyError), steered(model, store.path, number) as same:
            assert same is model
            assert torch.allclose(model(ids).logits, _writer(store, number, ids), atol=1e-4)
            raise KeyError  # nothing outlives an error
        assert torch.equal(model(ids).logits, plain)
    assert all(torch.equal(weight, before[name]) for name, weight in model.named_parameters())
    assert model.training and all(weight.requires_grad for weight in model.parameters())
    assert not torch.allclose(_writer(store, number, ids), plain, atol=1e-2)


def test_a_pipeline_is_taken_too(store, folder):
    write = transformers.pipeline("text-generation", model=str(folder))
    how = {"max_new_tokens": 12, "do_sample": False}
    plain = write(TEXTS[0], **how)
    with steered(write, store.path, 1, strength=5.0):
        assert write(TEXTS[0], **how) != plain
        texts = ["The de\u0301tec\u00adtive", "half \ud83d"]
        assert write(texts, **how) == write(["The d\u00e9tective", "half \ufffd"], **how)
    assert write(TEXTS[0], **how) == plain


def test_other_models_and_rounds_without_a_vector_are_refused(store):
    other = make_causal_lm("llama", depth=4, hidden_size=32)
    for given, number, sentence in (
        (other, 1, "does not fit"),
        (other, 0, "no vector to generate with"),
        (object(), 1, "no causal language model"),
    ):
        with pytest.raises(BasinError, match=sentence), steered(given, store.path, number):
            pass


def test_other_weights_than_the_runs_are_refused_unless_accepted(store, folder, model):
    config = store.config.language_model.model_copy(update={"dtype": "float32"})
    keep_model(store, LanguageModel.load(config))
    for same in (model, transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="bfloat16")):
        with steered(same, store.path, 1):
            pass
    model.lm_head.weight.data[0, 0] += 1
    refused = pytest.raises(BasinError, match="not those that planted was made with.*accept_model=True")
    with refused, steered(model, store.path, 1):
        pass
    with steered(model, store.path, 1, accept_model=True):
        pass
