"""What a model supports, tried on a tiny random twin built from its configuration.

No weights are read or fetched. Each trial does what a run does; `own_files.py` tries the model's own
tokenizer, and compares the names and shapes of its weights.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from rich.console import Console
from rich.markup import escape

from agent.adapting.config import LessonConfig, LoraConfig
from agent.adapting.lesson import draw
from agent.adapting.supervised import fit_lora
from agent.errors import BasinError, first_sentence, printable
from agent.hub.loaded import not_loaded
from agent.hub.models import EMBEDDED, local_files_only, model_status, resolve_model
from agent.hub.quiet import quiet_transformers
from agent.language_model.architecture import (
    choose_layers,
    decoder_blocks,
    empty_model,
    reads_forward,
    refuse_encoder,
    refuse_other_kinds,
)
from agent.language_model.decoding.config import GenerationConfig
from agent.language_model.load import LanguageModelConfig
from agent.language_model.model import LanguageModel
from agent.steering.vector import SteeringVector
from loops.diagnostics.own_files import own_files
from loops.diagnostics.tiny_twin import tiny_tokenizer, tiny_twin
from loops.monitor.tables import plain_table

TEXTS = [
    "".join(f" w{(5 * start + step) % 90}" for step in range(length))
    for start, length in enumerate((12, 3, 21, 7))
]
LESSON, LORA = LessonConfig(tokens=128, window=16), LoraConfig(learning_rate=0.03)


NEEDED = ("recorded", "steered", "generated with", "tokenizer", "weights")


@dataclass(frozen=True)
class ModelCheck:
    """What a run can do with a model."""

    architecture: str
    problems: Mapping[str, str]
    """By trial, the reason why it failed; empty if it succeeded."""
    layers: tuple[int, ...]
    """Recorded by default."""
    depth: int
    parameters: int
    fused: bool
    """Whether the fused decoder reads and writes it."""

    @property
    def usable(self) -> bool:
        """Whether a run with steering vectors can use the model."""
        return not any(self.problems.get(name) for name in NEEDED)


def check_model(name: str, trust_remote_code: bool = False) -> ModelCheck:
    """Try a model by its name, folder, GGUF file or architecture; takes seconds.

    Raises:
        BasinError: there is no such model, or it is not a causal language model.
    """
    config = _read_config(name, trust_remote_code)
    refuse_other_kinds(config, name)
    with quiet_transformers(), warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        try:
            model = empty_model(config)
            depth = len(decoder_blocks(model))
            twin = tiny_twin(config)
            forward = reads_forward(twin)
        except BasinError:
            raise
        except Exception as error:  # transformers raises anything for a configuration it cannot build
            raise BasinError(
                f"Model {name!r} cannot be built from its configuration ({first_sentence(error)}): choose another."
            ) from error
        if not forward:
            refuse_encoder(name)
        language_model = LanguageModel(twin, tiny_tokenizer(), LanguageModelConfig(name=name))
        problems = {what: _problem(trial, language_model) for what, trial in TRIALS.items()}
        if not _is_bare(name):
            problems |= own_files(name, config, trust_remote_code)
    return ModelCheck(
        type(model).__name__,
        problems,
        choose_layers((), depth, name),
        depth,
        sum(weight.numel() for weight in model.parameters()),
        language_model.fused is not None,
    )


def show_model(check: ModelCheck, console: Console) -> None:
    """Print a line for each trial, then size and layers."""
    table = plain_table(escape(check.architecture), "")
    table.columns[1].justify, table.columns[1].overflow = "left", "fold"
    for what, problem in check.problems.items():
        table.add_row(what, escape(printable(f"no: {problem}" if problem else "yes")))
    table.add_row("fused decoder", "yes" if check.fused else "no")
    millions = check.parameters / 1e6
    table.add_row("parameters", f"{millions:,.0f} million, {millions / 500:.1f} GB in bfloat16")
    layers = ", ".join(map(str, check.layers))
    table.add_row("layers", f"{layers} by default; 1 to {check.depth - 1} can be configured")
    console.print(table)


def _is_bare(name: str) -> bool:
    """Whether a name has a configuration and nothing else: an architecture, or a GGUF file."""
    path = Path(name).expanduser()
    return path.suffix.lower() == ".gguf" or (name in transformers.CONFIG_MAPPING and not path.exists())


def _read_config(name: str, trust_remote_code: bool) -> Any:
    path = Path(name).expanduser()
    options: dict[str, Any] = {"trust_remote_code": trust_remote_code}
    if name in EMBEDDED and model_status(name) != "cached":
        raise BasinError(
            f"{name} is not cached: `basin run` fetches it, or check an architecture such as llama."
        )
    try:
        with quiet_transformers():
            if path.suffix.lower() == ".gguf" and path.is_file():
                return transformers.AutoConfig.from_pretrained(
                    str(path.parent), gguf_file=path.name, **options
                )
            if name in transformers.CONFIG_MAPPING and not path.exists():
                return transformers.AutoConfig.for_model(name)
            where = resolve_model(name)
            return transformers.AutoConfig.from_pretrained(
                where, local_files_only=local_files_only(where), **options
            )
    except BasinError:
        raise
    except Exception as error:  # code that a model brings raises anything
        remedy = "name a config, an embedded model, a folder, a GGUF file, a hub model, or an architecture such as qwen3"
        raise not_loaded("The configuration of", name, error, remedy) from error


def _problem(trial: Callable[[LanguageModel], bool], language_model: LanguageModel) -> str:
    try:
        return "" if trial(language_model) else "the result is not what a run needs"
    except Exception as error:  # anything that an architecture leads to
        return first_sentence(error)


def _vector(language_model: LanguageModel) -> SteeringVector:
    generator = torch.Generator().manual_seed(2)
    return SteeringVector({language_model.layers[0]: torch.randn(language_model.width, generator=generator)})


@torch.no_grad()
def _records(language_model: LanguageModel) -> bool:
    """Activations of padded batches equal transformers' hidden states of each text alone."""
    for text, rows in zip(TEXTS, language_model.record(TEXTS), strict=True):
        ids = language_model.tokenizer(text, return_tensors="pt")["input_ids"]
        states = language_model.model(
            input_ids=ids, attention_mask=torch.ones_like(ids), output_hidden_states=True
        ).hidden_states
        for layer, row in zip(language_model.layers, rows, strict=True):
            if not np.allclose(row, states[layer][0, 1:].mean(0).numpy(), rtol=1e-3, atol=1e-3):
                return False
    return True


def _steers(language_model: LanguageModel) -> bool:
    """The layer moves by the vector."""
    vector, before = _vector(language_model), language_model.record(TEXTS)
    with language_model.steer(vector):
        moved = language_model.record(TEXTS)[:, 0] - before[:, 0]
    return np.allclose(moved, vector.directions[language_model.layers[0]].numpy(), rtol=1e-3, atol=1e-3)


def _generates(language_model: LanguageModel) -> bool:
    """The base model writes, and the steered model writes something else."""
    config, seeds = GenerationConfig(new_tokens=8, temperature=0), range(len(TEXTS))
    base = language_model.generate(TEXTS, seeds, config)
    return all(base) and base != language_model.generate(TEXTS, seeds, config, _vector(language_model), 4.0)


def _adapts(language_model: LanguageModel) -> bool:
    """Training makes its texts more likely."""
    with tempfile.TemporaryDirectory() as folder:
        lesson = draw(language_model, TEXTS, np.ones(len(TEXTS)), LESSON, 0)
        adapter, _ = fit_lora(language_model, lesson, LORA, seed=0, folder=Path(folder))
    adapted = language_model.adapted(adapter)
    return bool(adapted.losses(TEXTS).mean() < language_model.losses(TEXTS).mean())


TRIALS: Mapping[str, Callable[[LanguageModel], bool]] = {
    "recorded": _records,
    "steered": _steers,
    "generated with": _generates,
    "adapted": _adapts,
}
