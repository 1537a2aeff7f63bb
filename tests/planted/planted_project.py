"""A whole tiny project: random models in real model folders, a planted corpus and a configuration per update method."""

import json
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import numpy as np

THEMES = {theme: [theme + letter for letter in ascii_lowercase[:10]] for theme in ("crime", "ocean", "field")}
PLAIN = ["plain" + first + second for first in "abcdef" for second in "abcdefghij"]
WORDS = [word for words in (*THEMES.values(), PLAIN) for word in words]
DOCUMENTS, PASSAGES, LENGTH = 36, 5, 40
LORA = {"batch": 4, "rank": 2, "learning_rate": 0.02}
ADAPTING = {"lora": LORA, "lesson": {"tokens": 512, "window": 32}}
METHODS: dict[str, dict[str, Any]] = {
    "vector": {},
    "adapter": {"adapter_from": 1, "adapter_nats": 0.02, "adapting": ADAPTING},
}
COMMON: dict[str, Any] = {
    "passages": {"words": LENGTH, "minimum_words": 20},
    "topics": {"count": 3, "chunk_words": 100, "minimum_chunks": 3, "passes": 10, "words": THEMES["crime"]},
    "language_model": {"layers": [1, 2], "dtype": "float32"},
    "generation": {"new_tokens": 12, "prompt_words": 5},
    "clustering": {"components": 12, "folds": 4, "embeddings": False, "size": "claimed", "trust": 1.0},
    "updating": {"budget_nats": 0.05, "degenerate": 4, "degenerate_nats": 0.5},
    "coherence": {"words": 10, "prompt_words": 5},
    "tracking": {"drift_bound": 0.0, "minimum_coherence": 0.0, "maximum_repetitive": 1.0},
    "seed": 5,
}


def changed(tree: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Settings with some values of each section changed."""
    merged = {
        key: {**tree.get(key, {}), **value} if isinstance(value, dict) else value
        for key, value in changes.items()
    }
    return tree | merged


def settings(folder: Path, method: str, **changes: Any) -> dict[str, Any]:
    """Settings of a run of a few seconds, with several units of work in every stage."""
    own: dict[str, Any] = {
        "corpus": {"source": str(folder / "corpus")},
        "language_model": {"name": str(folder / "model")},
        "generation": {"samples": 8, "batch_size": 2},
        "clustering": {"divisions": 4},
        "updating": METHODS[method],
        "coherence": {"model": str(folder / "judge"), "real_passages": 16},
        "report": {"refresh": False},  # its libraries come from a registry
        "rounds": 3,
    }
    return changed(changed(COMMON, own), changes)


def make_project(folder: Path) -> None:
    """Write models, corpus and configurations into `folder`, once."""
    if (folder / "ready").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    make_model(folder / "model", seed=0)
    make_model(folder / "judge", seed=1)
    make_corpus(folder / "corpus")
    for method in METHODS:
        write_config(folder / f"{method}.yaml", settings(folder, method))
    (folder / "ready").touch()


def write_config(file: Path, tree: dict[str, Any]) -> Path:
    """A configuration file; JSON is YAML."""
    file.write_text(json.dumps(tree, indent=1), encoding="utf-8")
    return file


def make_corpus(folder: Path, documents: int = DOCUMENTS) -> None:
    """A quarter of a document's words belong to its theme, a few to another one."""
    generator, names = np.random.default_rng(0), list(THEMES)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(documents):
        kinds = generator.choice(3, PASSAGES * LENGTH, p=[0.25, 0.05, 0.7])
        own, other = THEMES[names[number % 3]], THEMES[names[generator.integers(3)]]
        words = [str(generator.choice((own, other, PLAIN)[kind])) for kind in kinds]
        (folder / f"{number:02d}.txt").write_text(" ".join(words), encoding="utf-8")


def make_model(folder: Path, seed: int, spoil: float | None = None, hidden_layer: int = 24) -> None:
    """A random Llama of three layers with a tokenizer of the made-up words.

    Args:
        spoil: value, such as NaN, of one weight of the first block.
        hidden_layer: width inside a block; it decides how much memory a batch takes.
    """
    import torch
    import transformers

    from loops.diagnostics.tiny_twin import word_tokenizer

    tokenizer = word_tokenizer(WORDS, "[a-z]+")
    tokenizer.save_pretrained(folder)
    sizes = {"vocab_size": len(tokenizer) + 2, "hidden_size": 16, "intermediate_size": hidden_layer}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8}
    tokens = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "max_position_embeddings": 64}
    config = transformers.LlamaConfig(num_hidden_layers=3, **sizes, **heads, **tokens)
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 2:
                weight.normal_(0, 0.35)  # large enough that predictions depend on the context
        if spoil is not None:
            model.model.layers[0].mlp.down_proj.weight[0, 0] = spoil
    model.save_pretrained(folder)
