"""A run whose language model is a tiny Llama in a folder: a pointer, a steered round, and one with an adapter."""

from pathlib import Path

import numpy as np
import torch
import transformers
from conftest import make_causal_lm
from planted_run import planted_passages, planted_pointer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from agent.concept import Concept, Readout
from agent.language_model.adapter import Adapter, new_adapter
from agent.steering.gate import PLAIN, SteeringMode
from agent.steering.vector import SteeringVector
from loops.checkpoint.store import RunStore
from loops.config import parse_config
from loops.records import Generated, RoundRecord

WIDTH, DEPTH = 16, 4
TEXTS = [f"The clue of the {each} police was found by né, 1999." for each in ("old", "new", "late", "lost")]


def tiny_tokenizer() -> transformers.PreTrainedTokenizerFast:
    """Byte-level BPE with a few merges, and a begin token that nothing sets by itself, as SmolLM2's."""
    core, (unknown, begin, end) = Tokenizer(models.BPE()), ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = [unknown, begin, end]
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator(TEXTS, trainer)
    tokens = {"bos_token": begin, "eos_token": end, "unk_token": unknown, "pad_token": end}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=core, **tokens)


def tiny_model(folder: Path, architecture: str = "llama", **changes: object) -> Path:
    """A random model in a folder that transformers loads; GGUF wants its words and its rows to agree."""
    tokenizer = tiny_tokenizer()
    sizes = {"hidden_size": WIDTH, "intermediate_size": 32, "num_hidden_layers": DEPTH, "head_dim": 8}
    sizes |= {"num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 128}
    tokens = {"vocab_size": len(tokenizer) + 2, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
    config = type(make_causal_lm(architecture).config)(**sizes | tokens | changes)
    torch.manual_seed(1)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 2:
                weight.normal_(0, 0.3)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def tiny_vector(*layers: int) -> SteeringVector:
    generator = torch.Generator().manual_seed(5)
    return SteeringVector({layer: torch.randn(WIDTH, generator=generator) for layer in layers})


def tiny_adapter(model: transformers.PreTrainedModel) -> Adapter:
    """One whose products are not zero."""
    peft_model = new_adapter(model, 2, 4.0, "attention", "tiny")
    generator = torch.Generator().manual_seed(6)
    with torch.no_grad():
        for name, weight in peft_model.named_parameters():
            if "lora_" in name:
                weight.copy_(torch.randn(weight.shape, generator=generator) * 0.2)
    return Adapter.of(peft_model, "tiny")


def exported_run(
    path: Path, folder: Path, *, mode: SteeringMode = PLAIN, layers: tuple[int, ...] = (2, 3)
) -> RunStore:
    """Round 0 the pointer, round 1 steered, round 2 with vector and adapter."""
    model = {"name": str(folder), "layers": [1, 2, 3]}
    tree = {"corpus": {"source": "some/books"}, "language_model": model}
    store = RunStore.create(path, parse_config(tree, "test"))
    generator = np.random.default_rng(0)
    memberships = generator.random((3, 7))
    first = Concept(0, *memberships, 0.25)
    store.save(RoundRecord(0, first, {"size": 0.25}), planted_passages(), planted_pointer())
    readout = Readout(generator.normal(size=(3, WIDTH)), 0.1, 0.5, -2.0, 0.2, 1.0)
    written = Generated("steered", "Up", " there", 1, 0.7, True, 2.0)
    metrics = {"size": 0.25, "drift": 0.01, "agreement": 0.6, "collapsed": None}
    for number in (1, 2):
        concept = Concept(
            number, *memberships, 0.25, readout=readout, vector=tiny_vector(*layers), nats_per_token=0.1,
            evidence=memberships[1], mode=mode,
            adapter=tiny_adapter(transformers.AutoModelForCausalLM.from_pretrained(folder)) if number == 2 else None,
        )  # fmt: skip
        activations = generator.normal(size=(1, 3, WIDTH)).astype(np.float32)
        store.save(RoundRecord(number, concept, metrics, (written,), activations))
    return store
