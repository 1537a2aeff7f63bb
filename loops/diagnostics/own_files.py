"""What a run would find in a model's own tokenizer and weights, without reading the weights."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import transformers

from agent.adapting.config import LessonConfig, LoraConfig
from agent.adapting.lesson import draw
from agent.adapting.supervised import fit_lora
from agent.errors import BasinError, first_sentence
from agent.hub.loaded import refuse_larger_tokenizer, refuse_unloaded
from agent.hub.models import resolve_model
from agent.language_model.decoding.config import GenerationConfig
from agent.language_model.load import LOADING, LanguageModelConfig
from agent.language_model.model import LanguageModel
from loops.diagnostics.tiny_twin import tiny_twin

TEXTS = ["The judge spoke.", "A boat sank near the old harbour."]
LESSON, LORA = LessonConfig(tokens=64, window=16), LoraConfig(batch=2, learning_rate=0.03)


def own_files(name: str, config: Any, trust_remote_code: bool) -> dict[str, str]:
    """By part, the reason why a run would fail; empty for what works. Parts not on this disk are left out.

    The tokenizer is tried with a tiny random model of the same vocabulary. `maps between models` need the
    characters of every token.
    """
    where = resolve_model(name)
    options = {"local_files_only": True, "trust_remote_code": trust_remote_code}
    problems: dict[str, str] = {}
    for part, trial in (("tokenizer", _read_by), ("weights", _keys)):
        try:
            problems |= {part: ""} | trial(name, where, config, options)
        except BasinError as error:
            problems[part] = str(error)
        except Exception as error:  # tokenizers and transformers raise anything
            if Path(where).is_dir() or not isinstance(error, OSError):  # else the hub's, and not fetched
                problems[part] = first_sentence(error)
    return problems


def _read_by(name: str, where: str | Path, config: Any, options: dict[str, Any]) -> dict[str, str]:
    tokenizer = transformers.AutoTokenizer.from_pretrained(where, **options)
    twin = tiny_twin(config, vocabulary=config.get_text_config().vocab_size)
    refuse_larger_tokenizer(twin, tokenizer, name)
    language_model = LanguageModel(twin, tokenizer, LanguageModelConfig(name=name))
    language_model.record(TEXTS)
    language_model.generate(TEXTS, range(len(TEXTS)), GenerationConfig(new_tokens=4))
    with tempfile.TemporaryDirectory() as folder:
        lesson = draw(language_model, TEXTS, np.ones(len(TEXTS)), LESSON, 0)
        fit_lora(language_model, lesson, LORA, seed=0, folder=Path(folder))
    if tokenizer.is_fast:
        return {}
    return {"maps between models": "the tokenizer does not say which characters a token has"}


def _keys(name: str, where: str | Path, config: Any, options: dict[str, Any]) -> dict[str, str]:
    if getattr(config, "quantization_config", None):
        return {}  # packed by its own library
    _, found = transformers.AutoModelForCausalLM.from_pretrained(
        where, device_map="meta", use_safetensors=True, **LOADING, **options
    )
    refuse_unloaded(found, name)
    return {}
