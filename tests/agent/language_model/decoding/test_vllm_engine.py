"""vLLM's interface, played by a stand-in that loads the folder it is given with transformers.

vLLM needs a GPU. The stand-in takes the arguments that Basin uses, as vLLM 0.15 documents them, and no other.
"""

from __future__ import annotations

import importlib.machinery
import sys
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
import transformers
from conftest import make_language_model, sentence
from planted_export import tiny_vector

from agent import processes
from agent.concept import Concept
from agent.errors import BasinError
from agent.language_model.decoding import vllm_engine
from agent.language_model.decoding.config import GenerationConfig
from loops.parallel import generate_passages

GREEDY = GenerationConfig(new_tokens=8, temperature=0, engine="vllm")
PROMPTS = [sentence(1, 2, 3), sentence(4, 5, 6, 7, 8, 9)]


@dataclass
class SamplingParams:
    temperature: float
    top_k: int
    top_p: float
    repetition_penalty: float
    seed: int
    max_tokens: int
    ignore_eos: bool
    detokenize: bool
    logit_bias: dict[int, float] = field(default_factory=dict)

    def __post_init__(self):
        assert all(-100 <= each <= 100 for each in self.logit_bias.values())


class LLM:
    loads: list[str] = []

    def __init__(self, *, model: str, dtype: str, gpu_memory_utilization: float, seed: int):
        self.model = transformers.AutoModelForCausalLM.from_pretrained(model)
        transformers.AutoTokenizer.from_pretrained(model)
        LLM.loads.append(model)

    def generate(self, prompts, sampling_params, *, use_tqdm: bool):
        return [self._written(*each) for each in zip(prompts, sampling_params, strict=True)]

    @torch.no_grad()
    def _written(self, prompt, sampling):
        assert set(prompt) == {"prompt_token_ids"} and sampling.ignore_eos
        ids, bias = list(prompt["prompt_token_ids"]), torch.zeros(self.model.config.vocab_size)
        for token, each in sampling.logit_bias.items():
            bias[token] = each
        for _ in range(sampling.max_tokens):
            ids.append(int((self.model(torch.tensor([ids])).logits[0, -1] + bias).argmax()))
        new = tuple(ids[len(prompt["prompt_token_ids"]) :])
        return SimpleNamespace(outputs=[SimpleNamespace(token_ids=new)])


@pytest.fixture
def vllm(monkeypatch) -> type[LLM]:
    fake = ModuleType("vllm")
    fake.__spec__ = importlib.machinery.ModuleSpec("vllm", None)
    fake.LLM, fake.SamplingParams = LLM, SamplingParams
    monkeypatch.setitem(sys.modules, "vllm", fake)
    monkeypatch.setattr(LLM, "loads", [])
    monkeypatch.setattr(vllm_engine, "_engine", None)
    return LLM


@pytest.fixture(scope="module")
def model():
    return make_language_model("llama", depth=4)


def concept_with(vector) -> Concept:
    half = np.full(2, 0.5)
    return Concept(0, half, half, half, size=0.5, vector=vector)


@pytest.mark.parametrize("vector", [None, tiny_vector(1, 3)])
def test_greedy_passages_are_those_of_the_own_loop(vllm, model, vector):
    batches = {"0": (PROMPTS, [1, 2])}
    ((_, found),) = generate_passages(model, concept_with(vector), batches, GREEDY)
    assert found == model.generate(PROMPTS, [1, 2], GREEDY, vector)


def test_weights_are_loaded_once_a_concept(vllm, model):
    batches = {"0": (PROMPTS, [1, 2]), "1": (PROMPTS[:1], [3])}
    assert len(list(generate_passages(model, concept_with(tiny_vector(1, 3)), batches, GREEDY))) == 2
    assert len(vllm.loads) == 1
    list(generate_passages(model, concept_with(2 * tiny_vector(1, 3)), batches, GREEDY))
    assert len(vllm.loads) == 2


def test_each_passage_has_its_seed_and_all_settings(vllm, model, monkeypatch):
    asked = []
    monkeypatch.setattr(LLM, "generate", lambda self, prompts, given, use_tqdm: asked.extend(given) or [])
    config = GenerationConfig(new_tokens=5, temperature=0.7, top_k=9, top_p=0.8, repetition_penalty=1.2)
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        vllm_engine.generate(model, PROMPTS, [7, 8], config)
    assert [each.seed for each in asked] == [7, 8]
    first = asked[0]
    assert (first.temperature, first.top_k, first.top_p) == (0.7, 9, 0.8)
    assert (first.repetition_penalty, first.max_tokens) == (1.2, 5)
    assert set(first.logit_bias) == set(model._writer.barred.nonzero()[:, 0].tolist())


def test_what_vllm_cannot_write_is_refused(vllm, model, monkeypatch):
    vllm_engine.check_engine(model)
    with pytest.raises(BasinError, match="cannot hold a steering vector"):
        vllm_engine.check_engine(make_language_model("gemma2", depth=4))
    monkeypatch.setattr(processes, "count", lambda: 2)
    with pytest.raises(BasinError, match="this launch has 2"):
        vllm_engine.check_engine(model)
    monkeypatch.setattr(LLM, "__init__", lambda self, **options: 1 / 0)
    with pytest.raises(BasinError, match=r"vLLM could not write \(.*division.*engine to own"):
        vllm_engine.generate(model, PROMPTS, [1, 2], GREEDY)


def test_without_vllm_a_run_is_refused(model):
    with pytest.raises(BasinError, match="not installed: pip install vllm"):
        vllm_engine.check_engine(model)
