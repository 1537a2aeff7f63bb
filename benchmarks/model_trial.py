"""What Basin can do with an architecture, tried on a tiny random model of it and compared with transformers' own results."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agent.adapting.config import LoraConfig
from agent.errors import BasinError, first_sentence
from agent.hub.quiet import quiet_transformers
from agent.language_model.adapter import Adapter, targets
from agent.language_model.architecture import reads_forward, refuse_encoder, refuse_other_kinds
from agent.language_model.decoding.loop import GenerationConfig
from agent.language_model.decoding.sampling import barred_tokens
from agent.language_model.model import LanguageModel, LanguageModelConfig
from agent.steering.vector import SteeringVector
from loops.diagnostics.tiny_twin import WORDS, tiny_tokenizer, tiny_twin

CLOSE = 1e-4
"""Apart at most, as a share of the size of what is compared; float32."""
LENGTHS = (12, 3, 21, 7)
"""Words of the texts: longer than a short window, and padded."""
WRITING = GenerationConfig(new_tokens=8, temperature=0)
LESSON = LoraConfig(passages=8, batch=4, learning_rate=0.03, tokens=16)


@dataclass(frozen=True)
class Trial:
    """What held. A model of which a part does not hold says in `note` which, and why."""

    architecture: str
    recorded: bool = False
    """Activations of padded batches are transformers' hidden states of every text alone, at every layer."""
    steered: bool = False
    """A layer moves by the vector and by nothing else, the logits move, and a vector of zeros changes no bit."""
    generated: bool = False
    """Without chance, what is written in one batch is what transformers writes from every prompt alone, steered or not."""
    adapted: bool = False
    """A LoRA adapter is trained, lowers the loss of its lesson, and is the same once saved, read and merged."""
    fused: bool = False
    """It is read and written by the fused decoder."""
    note: str = ""

    @property
    def usable(self) -> bool:
        """Whether a run with steering vectors could be made with it."""
        return self.recorded and self.steered and self.generated

    def row(self) -> dict[str, bool | str]:
        return asdict(self)


def try_out(config: Any) -> Trial:
    """Everything that Basin does, with a twin of the architecture that `config` describes; takes a second or two.

    Never raises for a model that does not work: the trial says so.
    """
    with quiet_transformers(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of generated lengths, of models that are not what they could be
        return _tried(config)


def _tried(config: Any) -> Trial:
    name = config.model_type
    try:
        refuse_other_kinds(config, name)
        model = tiny_twin(config)
    except BasinError as error:
        return Trial(name, note=str(error))
    except Exception as error:  # whatever a configuration leads a class of transformers to
        return Trial(name, note=f"no tiny twin could be made: {first_sentence(error)}")
    return try_model(model, tiny_tokenizer(), name)


def try_model(model: Any, tokenizer: Any, name: str, close: float = CLOSE) -> Trial:
    """The same with a small model that is at hand, whose tokenizer knows the twin's words; a quantised one is less close."""
    architecture = type(model).__name__
    try:
        if not reads_forward(model):
            refuse_encoder(name)
        language_model = LanguageModel(model, tokenizer, LanguageModelConfig(name=name))
        language_model = language_model.reading(range(1, language_model.depth))
    except BasinError as error:
        return Trial(architecture, note=str(error))
    except Exception as error:
        return Trial(architecture, note=f"it does not run: {first_sentence(error)}")
    notes: list[str] = []

    def holds(what: str, check: Callable[[LanguageModel, float], str | None]) -> bool:
        try:
            failed = check(language_model, close)
        except Exception as error:  # whatever the architecture leads to
            failed = first_sentence(error)
        if failed:
            notes.append(f"{what}: {failed}")
        return not failed

    torch_state = torch.random.get_rng_state()
    try:
        found = [
            holds(what, check)
            for what, check in (
                ("recorded", _recorded),
                ("steered", _steered),
                ("generated", _generated),
                ("adapted", _adapted),
            )
        ]
        fused = language_model.fused is not None
    finally:
        torch.random.set_rng_state(torch_state)
    return Trial(architecture, *found, fused, "; ".join([*notes, *_remarks(language_model, found)]))


def _remarks(language_model: LanguageModel, found: list[bool]) -> list[str]:
    said = []
    if found[2] and language_model.fused is None and language_model._writer.base is None:
        said.append("writes by transformers' own loop")
    if found[3]:
        experts = [
            name
            for name, weight in language_model.blocks.named_parameters()
            if weight.ndim == 3 and "conv" not in name
        ]
        if experts:
            said.append("the experts' own weights are not adapted")
    return said


def _texts() -> list[str]:
    generator = torch.Generator().manual_seed(1)
    return [
        "".join(f" w{number}" for number in torch.randint(0, WORDS, (length,), generator=generator).tolist())
        for length in LENGTHS
    ]


def _vector(language_model: LanguageModel, layer: int) -> SteeringVector:
    generator = torch.Generator().manual_seed(2)
    return SteeringVector({layer: torch.randn(language_model.width, generator=generator)})


def _ids(language_model: LanguageModel, text: str) -> dict[str, torch.Tensor]:
    ids = language_model.tokenizer(text, return_tensors="pt")["input_ids"]
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def _apart(ours: Any, theirs: Any) -> float:
    ours, theirs = (np.asarray(each, dtype=np.float64) for each in (ours, theirs))
    return float(np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-9))


@torch.no_grad()
def _recorded(language_model: LanguageModel, close: float) -> str | None:
    texts = _texts()
    recorded = language_model.record(texts)
    for text, rows in zip(texts, recorded, strict=True):
        found = language_model.model(**_ids(language_model, text), output_hidden_states=True).hidden_states
        for layer, row in zip(language_model.layers, rows, strict=True):
            if (apart := _apart(row, found[layer][0, 1:].mean(0))) > close:
                return f"layer {layer} is {apart:.0e} from transformers' hidden state"
    return None


@torch.no_grad()
def _steered(language_model: LanguageModel, close: float) -> str | None:
    texts, layer = _texts(), language_model.layers[0]
    vector = _vector(language_model, layer)
    before = language_model.record(texts)
    with language_model.steer(vector):
        after = language_model.record(texts)
    moved = after[:, 0] - before[:, 0] - vector.directions[layer].numpy()
    if np.abs(moved).max() > close * max(1.0, float(np.abs(after[:, 0]).max())):
        return "the layer did not move by the vector"
    ids = _ids(language_model, texts[0])
    base = language_model.model(**ids).logits
    with language_model.steer(0.0 * vector):
        if not torch.equal(language_model.model(**ids).logits, base):
            return "a vector of zeros changes the logits"
    with language_model.steer(vector):
        if torch.allclose(language_model.model(**ids).logits, base, atol=1e-3):
            return "the vector does not change the logits"
    return (
        None if torch.equal(language_model.model(**ids).logits, base) else "steering leaves something behind"
    )


def _generated(language_model: LanguageModel, close: float) -> str | None:
    prompts, vector = _texts(), _vector(language_model, language_model.layers[0])
    barred = barred_tokens(language_model.model, language_model.tokenizer).nonzero().tolist()
    for strength in (0.0, 1.0):
        ours = language_model.generate(prompts, range(len(prompts)), WRITING, vector, strength)
        with language_model.steer(vector, strength):
            theirs = [_by_transformers(language_model, prompt, barred) for prompt in prompts]
        if ours != theirs:
            return "what it writes is not what transformers writes"
    return None


@torch.inference_mode()
def _by_transformers(language_model: LanguageModel, prompt: str, barred: list[list[int]]) -> str:
    ids = _ids(language_model, prompt)
    written = language_model.model.generate(
        **ids,
        max_new_tokens=WRITING.new_tokens,
        min_new_tokens=WRITING.new_tokens,
        do_sample=False,
        bad_words_ids=barred,
        pad_token_id=0,
    )
    return language_model.tokenizer.decode(written[0, ids["input_ids"].shape[1] :])


def _adapted(language_model: LanguageModel, close: float) -> str | None:
    from agent.adapting.supervised import (
        fit_lora,  # some seconds, which whoever only records need not wait for
    )

    texts = _texts()
    with tempfile.TemporaryDirectory() as folder:
        try:
            modules = targets(language_model.model, "attention") and "attention"
        except BasinError:
            modules = "all"
        lesson = LESSON.model_copy(update={"modules": modules})
        adapter, _ = fit_lora(language_model, texts, np.ones(len(texts)), lesson, seed=0, folder=Path(folder))
        for name, content in adapter.files().items():
            (Path(folder) / name).write_bytes(content)
        again = Adapter.from_files({name: (Path(folder) / name).read_bytes() for name in adapter.FILES})
    if again.digest != adapter.digest:
        return "the adapter that was read is not the one that was saved"
    ids = _ids(language_model, texts[0])
    adapted = language_model.adapted(again)
    with torch.no_grad():
        base, ours, peft = (
            each(**ids).logits
            for each in (language_model.model, adapted.model, again.attach(language_model.twin()).eval())
        )
    if _apart(ours, peft) > 10 * close:
        return "merged it is another model than PEFT's"
    if not adapted.losses(texts).mean() < language_model.losses(texts).mean():
        return "what it was taught did not become likelier"
    return None if _apart(ours, base) > 1e-3 else "it learnt nothing"
