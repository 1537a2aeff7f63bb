"""A transformers model as a GGUF file, as llama.cpp and what is built on it read it.

Covered are the layouts of Llama, Qwen 2 and Qwen 3 with byte-level BPE tokenizers and plain rotary positions; every other
layout, mixtures of experts, SentencePiece vocabularies (Llama 2, Mistral, Gemma) and scaled rotary positions (Llama 3.1 and
later) are refused: llama.cpp's own converter knows those.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from agent.errors import BasinError
from agent.steering.control_vector import write_out

Format = Literal["float32", "float16", "bfloat16", "q8_0"]
ARCHITECTURES = ("llama", "qwen2", "qwen3")
"""transformers' names, which are llama.cpp's too."""
ELSEWHERE = "export the model folder, and use llama.cpp's own converter on it."
NORMAL, CONTROL, USER_DEFINED = 1, 3, 4
"""Kinds of tokens in a GGUF vocabulary."""


def write_gguf(
    path: Path,
    model: Any,
    tokenizer: Any,
    name: str,
    form: Format = "bfloat16",
    about: Mapping[str, str] = {},
) -> None:
    """Write weights, vocabulary and everything else that llama.cpp asks for.

    Args:
        path: where to; replaced where it is there.
        form: of the matrices; vectors are always float32.
        about: further metadata, under `basin.`.

    Raises:
        BasinError: the layout, the positions or the tokenizer are not covered.
    """
    import gguf

    config = model.config.get_text_config()
    _check(config, type(model).__name__)
    writer = gguf.GGUFWriter(path, config.model_type)
    writer.add_name(name)
    for key, value in about.items():
        writer.add_string(f"basin.{key}", value)
    _write_shape(writer, config, form)
    _write_vocabulary(writer, tokenizer, config)
    names = gguf.get_tensor_name_map(_architecture(config.model_type), config.num_hidden_layers)
    kinds = {
        "float32": gguf.GGMLQuantizationType.F32,
        "float16": gguf.GGMLQuantizationType.F16,
        "bfloat16": gguf.GGMLQuantizationType.BF16,
        "q8_0": gguf.GGMLQuantizationType.Q8_0,
    }
    for own, tensor in _tensors(model, config):
        kind = kinds[form] if tensor.ndim > 1 else gguf.GGMLQuantizationType.F32
        theirs = names.get_name(own, try_suffixes=(".weight", ".bias"))
        if theirs is None:
            raise BasinError(f"The weight {own} has no name in a GGUF file: use llama.cpp's own converter.")
        block, _ = gguf.GGML_QUANT_SIZES[kind]
        if tensor.shape[-1] % block:
            kind = gguf.GGMLQuantizationType.F16  # a row that the quantised format cannot cut into blocks
        writer.add_tensor(theirs, gguf.quants.quantize(tensor.numpy(), kind), raw_dtype=kind)
    write_out(writer)


def _check(config: Any, name: str) -> None:
    if config.model_type not in ARCHITECTURES:
        raise BasinError(
            f"{name} has no layout that Basin writes as GGUF (Llama, Qwen 2 and Qwen 3 have): {ELSEWHERE}"
        )
    rope = config.rope_parameters or {}
    if rope.get("rope_type", "default") != "default" or rope.get("partial_rotary_factor", 1.0) != 1.0:
        raise BasinError(
            f"{name} has scaled rotary positions ({rope.get('rope_type')}), which Basin does not write as GGUF: {ELSEWHERE}"
        )


def _write_shape(writer: Any, config: Any, form: Format) -> None:
    import gguf

    heads = config.num_attention_heads
    head = getattr(config, "head_dim", None) or config.hidden_size // heads
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    types = {"float32": "ALL_F32", "float16": "MOSTLY_F16", "bfloat16": "MOSTLY_BF16", "q8_0": "MOSTLY_Q8_0"}
    writer.add_file_type(gguf.LlamaFileType[types[form]])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def _write_vocabulary(writer: Any, tokenizer: Any, config: Any) -> None:
    """Tokens in order, merges, and the way to cut text before they are applied."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    tree = json.loads(backend.to_str()) if backend is not None else {}
    core = tree.get("model") or {}
    if core.get("type") != "BPE" or core.get("byte_fallback") or not core.get("merges"):
        raise BasinError(
            f"The model's tokenizer is no byte-level BPE, which is all that Basin writes as GGUF: {ELSEWHERE}"
        )
    added = {entry["id"]: entry for entry in tree.get("added_tokens") or []}
    known = {number: token for token, number in tokenizer.get_vocab().items()}
    tokens, kinds = [], []
    for number in range(config.vocab_size):
        # Models have more rows than their tokenizer has tokens; nothing ever reads or writes those.
        tokens.append(known.get(number, f"[unused {number}]"))
        entry = added.get(number)
        kinds.append(
            NORMAL
            if entry is None and number in known
            else CONTROL
            if entry is None or entry["special"]
            else USER_DEFINED
        )
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(cut_before(tree.get("pre_tokenizer") or {}))
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    merges = core["merges"]
    writer.add_token_merges([each if isinstance(each, str) else " ".join(each) for each in merges])
    for kind, number in (
        ("bos", tokenizer.bos_token_id),
        ("eos", tokenizer.eos_token_id),
        ("unk", tokenizer.unk_token_id),
        ("pad", tokenizer.pad_token_id),
    ):
        if number is not None:
            getattr(writer, f"add_{kind}_token_id")(number)
    begins = tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]
    writer.add_add_bos_token(begins)
    if template := getattr(tokenizer, "chat_template", None):
        writer.add_chat_template(template)


def cut_before(pre_tokenizer: Mapping[str, Any]) -> str:
    """llama.cpp's name for a way to cut text into words before BPE, from how the tokenizers library writes it.

    Raises:
        BasinError: it is none that is known here.
    """
    steps = pre_tokenizer.get("pretokenizers") or [pre_tokenizer]
    kinds = [step.get("type") for step in steps]
    if kinds == ["ByteLevel"] and steps[0].get("use_regex", True):
        return "gpt-2"
    if (
        kinds == ["Digits", "ByteLevel"]
        and steps[0].get("individual_digits")
        and steps[1].get("use_regex", True)
    ):
        return "smollm"
    if kinds == ["Split", "ByteLevel"] and not steps[1].get("use_regex", True):
        pattern = str((steps[0].get("pattern") or {}).get("Regex", ""))
        if r"\p{N}{1,3}" in pattern:
            return "llama-bpe"
        if r"|\p{N}|" in pattern:
            return "qwen2"
    raise BasinError(
        f"The model's tokenizer cuts text in a way ({', '.join(map(str, kinds))}) that Basin has no GGUF name for: {ELSEWHERE}"
    )


def _architecture(model_type: str) -> Any:
    import gguf

    return next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == model_type)


def _tensors(model: Any, config: Any) -> Any:
    """(transformers' name, float32 on the CPU) of every weight, in the order and layout that llama.cpp wants."""
    tied = config.tie_word_embeddings
    for name, tensor in model.state_dict().items():
        if tied and name == "lm_head.weight":
            continue
        row = tensor.detach().to("cpu", torch.float32)
        if config.model_type == "llama" and name.endswith(("q_proj.weight", "q_proj.bias")):
            row = _paired(row, config.num_attention_heads)
        elif config.model_type == "llama" and name.endswith(("k_proj.weight", "k_proj.bias")):
            row = _paired(row, config.num_key_value_heads)
        yield name, row.contiguous()


def _paired(weight: Tensor, heads: int) -> Tensor:
    """Rows of each head reordered: llama.cpp turns neighbouring rows against each other where transformers turns halves."""
    half = weight.shape[0] // heads // 2
    order = np.arange(weight.shape[0]).reshape(heads, 2, half).swapaxes(1, 2).reshape(-1)
    return weight[torch.from_numpy(order)]
