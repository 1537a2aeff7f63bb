"""Training reports a state that cannot be kept, and resumes only its own."""

from __future__ import annotations

import pytest
import transformers

from agent.adapting.trainer import train, training_folder
from agent.errors import BasinError


class Trainer(transformers.Trainer):
    """Fails as the libraries do."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def remove_callback(self, callback: object) -> None: ...

    def add_callback(self, callback: object) -> None: ...

    def is_world_process_zero(self) -> bool:
        return True

    def train(self, resume_from_checkpoint: object) -> None:
        raise self.error


def test_a_full_disk_is_one_sentence(tmp_path):
    with pytest.raises(BasinError, match="cannot be written .* make room there and resume"):
        train(Trainer(OSError(28, "No space left on device")), tmp_path, None)


def test_other_failures_are_not_hidden(tmp_path):
    with pytest.raises(RuntimeError, match="shape"):
        train(Trainer(RuntimeError("a shape is wrong")), tmp_path, None)


def test_a_folder_belongs_to_one_training_and_others_are_removed(tmp_path):
    first = training_folder(tmp_path, "lesson", 1)
    assert first == training_folder(tmp_path, "lesson", 1) and first.is_dir()
    assert training_folder(tmp_path, "lesson", 2) != first and not first.exists()


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BasinError, match="cannot be written"):
        training_folder(tmp_path / "file", "lesson")
