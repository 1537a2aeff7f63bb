"""llama.cpp, where it is installed, does with every export what Basin does: the same logits, to rounding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from planted_export import TEXTS, exported_run, tiny_model

from loops.export.gguf_model import write_gguf

pytest.importorskip("llama_cpp")

from benchmarks.interop import llama  # noqa: E402
from benchmarks.interop.bench import Bench  # noqa: E402


def test_llama_cpp_does_what_basin_does(tmp_path: Path) -> None:
    store = exported_run(tmp_path / "run", tiny_model(tmp_path / "tiny"))
    bench = Bench(store, tmp_path, 1, 2)
    plain = llama._logits(llama._base_model(bench), None, bench)
    assert np.allclose(plain, bench.logits(None), atol=1e-2)
    for number in (1, 2):
        merged = llama._logits(bench.export("gguf", number), None, bench)
        assert np.allclose(merged, bench.logits(number), atol=1e-2)
    steered = llama._logits(llama._base_model(bench), bench.export("control-vector", 1), bench)
    assert np.allclose(steered, bench.logits(1), atol=1e-2)
    off = llama._logits(llama._base_model(bench), bench.export("control-vector", 1), bench, off=1)
    assert not np.allclose(off, bench.logits(1), atol=0.1)


@pytest.mark.parametrize("architecture", ["qwen2", "qwen3"])
def test_other_layouts_are_the_same_model_there(architecture: str, tmp_path: Path) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny_model(tmp_path / "tiny", architecture))
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "tiny")
    write_gguf(tmp_path / "m.gguf", model, tokenizer, "tiny", "float32")
    found = llama._loaded(tmp_path / "m.gguf")
    for text in TEXTS:
        ids = tokenizer(text)["input_ids"]
        assert found.tokenize(text.encode(), add_bos=False) == ids
        found.reset()
        found.eval(ids)
        pointer = llama._library().llama_get_logits_ith(found.ctx, -1)
        theirs = np.ctypeslib.as_array(pointer, shape=(found.n_vocab(),))
        with torch.no_grad():
            ours = model(torch.tensor([ids])).logits[0, -1].numpy()
        assert np.allclose(theirs, ours, atol=1e-2)
