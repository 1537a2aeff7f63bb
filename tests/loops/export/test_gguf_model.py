"""A GGUF is read back by transformers as the same model; layouts that are not covered are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
import transformers
from conftest import make_causal_lm, make_tokenizer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from agent.errors import BasinError
from loops.export.gguf_model import cut_before, write_gguf

TEXT = "The police found 1999 clues, and né did not."


def _tokenizer() -> Any:
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        [TEXT],
        trainers.BpeTrainer(
            vocab_size=280, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet, show_progress=False
        ),
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", unk_token="<s>", pad_token="</s>"
    )


def _model(architecture: str, tokenizer: Any, **changes: Any) -> Any:
    config = make_causal_lm(architecture).config
    config = type(config)(
        **{**config.to_dict(), "vocab_size": len(tokenizer), "hidden_size": 32, "head_dim": 16, **changes}
    )
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0, 0.3)
    return model.eval()


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3"])
def test_transformers_reads_the_same_model(architecture: str, tied: bool, tmp_path: Path) -> None:
    tokenizer = _tokenizer()
    # transformers takes Qwen 3's heads for 128 wide whatever a GGUF says; llama.cpp reads what it says.
    head = {"head_dim": 128} if architecture == "qwen3" else {}
    model = _model(architecture, tokenizer, tie_word_embeddings=tied, **head)
    write_gguf(tmp_path / "m.gguf", model, tokenizer, "tiny", "float32", {"run": "planted"})
    source = {"pretrained_model_name_or_path": str(tmp_path), "gguf_file": "m.gguf"}
    loaded = transformers.AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    theirs = transformers.AutoTokenizer.from_pretrained(**source)
    ids = tokenizer(TEXT, return_tensors="pt")["input_ids"]
    assert theirs(TEXT)["input_ids"] == ids[0].tolist()
    with torch.no_grad():
        assert torch.allclose(loaded(ids).logits, model(ids).logits, atol=1e-4)


@pytest.mark.parametrize("form", ["float16", "bfloat16", "q8_0"])
def test_smaller_formats_are_smaller_and_near(form: str, tmp_path: Path) -> None:
    tokenizer = _tokenizer()
    model = _model("llama", tokenizer)
    write_gguf(tmp_path / "m.gguf", model, tokenizer, "tiny", form)
    write_gguf(tmp_path / "whole.gguf", model, tokenizer, "tiny", "float32")
    assert (tmp_path / "m.gguf").stat().st_size < (tmp_path / "whole.gguf").stat().st_size
    kinds = {tensor.name: tensor for tensor in gguf.GGUFReader(tmp_path / "m.gguf").tensors}
    found = gguf.quants.dequantize(
        kinds["blk.0.ffn_up.weight"].data, kinds["blk.0.ffn_up.weight"].tensor_type
    )
    expected = model.model.layers[0].mlp.up_proj.weight.detach()
    assert torch.allclose(torch.from_numpy(found), expected, atol=0.02)
    assert kinds["blk.0.attn_norm.weight"].tensor_type == gguf.GGMLQuantizationType.F32


def test_what_is_not_covered_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "m.gguf"
    for architecture in ("gemma3", "gpt2", "mistral"):
        with pytest.raises(BasinError, match="layout"):
            write_gguf(file, make_causal_lm(architecture), make_tokenizer(), "tiny")
    with pytest.raises(BasinError, match="byte-level BPE"):
        write_gguf(file, make_causal_lm("llama"), make_tokenizer(), "tiny")
    tokenizer = _tokenizer()
    scaled = _model("llama", tokenizer)
    scaled.config.rope_parameters = {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}
    with pytest.raises(BasinError, match="rotary"):
        write_gguf(file, scaled, tokenizer, "tiny")
    assert not file.exists()


def test_ways_to_cut_text_are_told_apart() -> None:
    whole = {"type": "ByteLevel", "use_regex": True}
    rest = {"type": "ByteLevel", "use_regex": False}
    digits = {"type": "Digits", "individual_digits": True}
    assert cut_before(whole) == "gpt-2"
    assert cut_before({"type": "Sequence", "pretokenizers": [digits, whole]}) == "smollm"
    split = {"type": "Split", "pattern": {"Regex": r"\p{L}+|\p{N}| ?x"}}
    assert cut_before({"type": "Sequence", "pretokenizers": [split, rest]}) == "qwen2"
    with pytest.raises(BasinError, match="cuts text"):
        cut_before({"type": "Whitespace"})
