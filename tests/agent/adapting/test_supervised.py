"""Supervised training: the lesson becomes likelier, and the language model is unchanged."""

from __future__ import annotations

import shutil

import pytest
import torch
from conftest import make_language_model
from planted_adapters import CONFIG, LESSON, lesson, trained

from agent.adapting import supervised, trainer_state
from agent.adapting.supervised import MEMBER_LOSS, fit_lora
from agent.adapting.trainer import compile_blocks, train
from agent.errors import BasinError


def test_the_lesson_becomes_likelier(tmp_path):
    language_model = make_language_model()
    adapter, history = trained(tmp_path, language_model)
    before, after = language_model.losses(LESSON), language_model.adapted(adapter).losses(LESSON)
    assert after.mean() < before.mean() - 0.5
    assert len([row for row in history if "loss" in row]) == 6
    held_out = [row[MEMBER_LOSS] for row in history if MEMBER_LOSS in row]
    assert held_out[-1] < held_out[0] - 0.5 and len(held_out) == 7


def test_the_language_model_is_unchanged(tmp_path):
    language_model = make_language_model()
    before = {name: weight.clone() for name, weight in language_model.model.state_dict().items()}
    trained(tmp_path, language_model)
    assert all(
        torch.equal(weight, before[name]) for name, weight in language_model.model.state_dict().items()
    )
    assert "forward" not in vars(language_model.model) and not language_model.model.training
    assert not any(weight.requires_grad for weight in language_model.model.parameters())


def test_nan_weights_are_neither_kept_nor_returned(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer_state, "SECONDS_BETWEEN_SAVES", 0)
    explosive = CONFIG.model_copy(update={"learning_rate": 1e30})
    model = make_language_model()
    for _ in range(2):  # a resume finds the same
        with pytest.raises(BasinError, match="loss that is not a number"):
            fit_lora(model, lesson(model), explosive, seed=0, folder=tmp_path)


def test_activations_are_checkpointed_only_where_memory_demands_it(tmp_path, monkeypatch):
    model, adapters, seen = make_language_model(), [], []
    for room in (0, 2**60):
        monkeypatch.setattr(supervised, "memory_at_hand", lambda device, room=room: room)
        monkeypatch.setattr(
            supervised, "train", lambda trainer, *where: seen.append(trainer) or train(trainer, *where)
        )
        folder = tmp_path / str(room)
        adapters.append(fit_lora(model, lesson(model), CONFIG, seed=0, folder=folder)[0])
    assert [trainer.args.gradient_checkpointing for trainer in seen] == [True, False]
    for name, weight in adapters[0].tensors.items():
        torch.testing.assert_close(weight, adapters[1].tensors[name], rtol=1e-3, atol=1e-5)
        assert name.endswith("lora_A.weight") or weight.norm() > 0


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_compiled_blocks_read_the_same():
    model, ids = make_language_model().twin(), torch.arange(3, 20)[None]
    with torch.no_grad():
        before = model(ids).logits
        compile_blocks(model)
        torch.testing.assert_close(model(ids).logits, before)


def test_a_compiler_that_fails_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function: 1 / 0)
    model, config = make_language_model(), CONFIG.model_copy(update={"compile": True})
    with pytest.raises(BasinError, match=r"torch.compile does not work here \(division by zero\)"):
        fit_lora(model, lesson(model), config, seed=0, folder=tmp_path)
