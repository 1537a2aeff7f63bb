"""Build a tiny random model with the architecture of a large one, to try the architecture in a second.

Only sizes change. Lists with an entry per layer are cut to a few layers that cover each kind. Norms,
windows, rotations, experts and biases stay.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import transformers
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors

DEPTH = 4
WORDS = 90
VOCABULARY = 96
"""Two rows more than the tokenizer has tokens, as in published models."""
SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")
TOKENS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
LENGTH = 64
HEADS, HEAD_WIDTH, WIDTH = 4, 8, 32
SIZES: Mapping[str, int] = {
    **dict.fromkeys(("hidden_size", "word_embed_proj_dim", "lru_width", "attention_hidden_size"), WIDTH),
    **dict.fromkeys(
        ("intermediate_size", "intermediate_size_mlp", "ffn_dim", "ffn_hidden_size", "n_inner"), 48
    ),
    **dict.fromkeys(
        ("moe_intermediate_size", "shared_expert_intermediate_size", "shared_intermediate_size"), 16
    ),
    **dict.fromkeys(
        (
            "head_dim",
            "attention_head_dim",
            "v_head_dim",
            "kv_channels",
            "qk_rope_head_dim",
            "mamba_d_head",
            "linear_key_head_dim",
            "linear_value_head_dim",
            "query_pre_attn_scalar",
        ),
        HEAD_WIDTH,
    ),
    **dict.fromkeys(("qk_nope_head_dim", "rotary_dim"), HEAD_WIDTH // 2),
    **dict.fromkeys(("q_lora_rank", "kv_lora_rank"), 12),
    "num_attention_heads": HEADS,
    "linear_num_key_heads": HEADS // 2,
    "linear_num_value_heads": HEADS,
    **dict.fromkeys(("mamba_n_heads", "mamba_num_heads"), 2 * WIDTH // HEAD_WIDTH),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("n_group", "topk_group", "n_shared_experts"), 1),
    **dict.fromkeys(("sliding_window", "attention_chunk_size", "window_size"), 8),
    **dict.fromkeys(("max_position_embeddings", "max_seq_len"), LENGTH),
    "vocab_size": VOCABULARY,
}
"""Sizes by field name in transformers, for all families."""
KEYS = ("num_key_value_heads", "num_kv_heads")
MOST = 2
"""Experts per token."""


def tiny_twin(config: Any, seed: int = 0, vocabulary: int = VOCABULARY) -> Any:
    """Return a random causal model with the architecture of `config`, in float32."""
    torch_state = torch.random.get_rng_state()
    try:
        torch.manual_seed(seed)
        model = transformers.AutoModelForCausalLM.from_config(tiny(config, vocabulary), dtype=torch.float32)
        with torch.no_grad():
            for name, weight in model.named_parameters():
                # Large enough that what it predicts depends on what it reads.
                if weight.ndim >= 2 and not any(
                    part in name for part in ("position", "wpe", "conv", "A_log")
                ):
                    weight.normal_(0, 1.4 * WIDTH**-0.5)
    finally:
        torch.random.set_rng_state(torch_state)
    return model.eval()


def tiny(config: Any, vocabulary: int = VOCABULARY) -> Any:
    """Return the configuration with small sizes, and one layer for each vision or audio part."""
    config = copy.deepcopy(config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    text = config.get_text_config()
    _shrink(text)
    for name in getattr(config, "sub_configs", {}):
        other = getattr(config, name, None)
        if other is not None and other is not text:
            _shrink(other, depth=1)
    text.vocab_size = vocabulary
    for part in (config, text):
        for name, index in TOKENS.items():
            setattr(part, name, index)
    return config


def _shrink(config: Any, depth: int = DEPTH) -> None:
    fields = config.to_dict()
    layers = getattr(config, "num_hidden_layers", 0)
    lists = {
        name: value for name, value in fields.items() if isinstance(value, list) and len(value) == layers
    }
    chosen = {name: value for name, value in fields.items() if _names_layers(value, layers)}
    kinds = {name: value for name, value in lists.items() if name not in chosen}
    kinds |= {name: [layer in value for layer in range(layers)] for name, value in chosen.items()}
    kept = kept_layers(kinds, layers, depth)
    heads = getattr(config, "num_attention_heads", None)
    for name, value in fields.items():
        if name in chosen:
            setattr(config, name, [place for place, layer in enumerate(kept) if layer in value])
        elif name in lists:
            setattr(config, name, [value[index] for index in kept])
        elif name.endswith("_token_id") and isinstance(value, int | list):
            setattr(config, name, VOCABULARY - 1)
    for name in KEYS:
        if isinstance(keys := getattr(config, name, None), int):
            setattr(config, name, HEADS if keys == heads else min(keys, HEADS // 2))
    narrow = getattr(config, "word_embed_proj_dim", None) not in (None, getattr(config, "hidden_size", None))
    for name, size in SIZES.items():
        if isinstance(getattr(config, name, None), int | float):
            with contextlib.suppress(AttributeError):  # a property, of other sizes
                setattr(config, name, size)
    if narrow:
        config.word_embed_proj_dim = WIDTH // 2
    if isinstance(getattr(config, "num_experts_per_tok", None), int):
        config.num_experts_per_tok = min(config.num_experts_per_tok, MOST)
    config.num_hidden_layers = len(kept) if kinds else depth


def _names_layers(value: Any, layers: int) -> bool:
    """Return whether a list names layers by number, instead of having an entry per layer."""
    if not isinstance(value, list) or not value or not all(type(each) is int for each in value):
        return False
    return value == sorted(set(value)) and value[0] >= 0 and value[-1] < layers


def kept_layers(kinds: Mapping[str, list[Any]], depth: int, wanted: int = DEPTH) -> list[int]:
    """Return, in order, layers that cover each kind, and at least `wanted` layers if there are as many."""
    seen: dict[str, int] = {}
    for index in range(depth):
        seen.setdefault(repr([kind[index] for kind in kinds.values()]), index)
    kept = set(seen.values())
    for index in range(depth):
        if len(kept) >= wanted:
            break
        kept.add(index)
    return sorted(kept)


def tiny_tokenizer() -> Any:
    """Return a tokenizer of the words `w0` to `w89`."""
    return word_tokenizer([f"w{index}" for index in range(WORDS)], r"w\d+")


def word_tokenizer(words: Sequence[str], pattern: str, begins: bool = True) -> Any:
    """Return a tokenizer of whole words with the space before them, and four special tokens."""
    known = {token: index for index, token in enumerate([*SPECIAL, *(f" {word}" for word in words)])}
    core = Tokenizer(models.WordLevel(known, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Split(Regex(f" {pattern}"), behavior="isolated")
    core.decoder = decoders.Fuse()
    if begins:
        core.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
