"""llama.cpp and its converter, where present, reproduce the logits of every export."""

import os

import numpy as np
import pytest
from planted_export import exported_run, tiny_model

pytest.importorskip("llama_cpp")
if "LLAMA_CPP" not in os.environ:
    pytest.skip("LLAMA_CPP names no checkout of llama.cpp", allow_module_level=True)

from benchmarks import interop  # noqa: E402


def test_llama_cpp_does_what_basin_does(tmp_path):
    store = exported_run(tmp_path / "run", tiny_model(tmp_path / "tiny"))
    bench = interop.Bench(store, tmp_path, 1, 2)
    plain = interop.llama_logits(interop.base_model(bench), None, bench)
    assert np.allclose(plain, bench.logits(None), atol=1e-2)
    for number in (1, 2):
        file = interop.converted(bench.export("model", number), tmp_path / f"{number}.gguf")
        merged = interop.llama_logits(file, None, bench)
        assert np.allclose(merged, bench.logits(number), atol=1e-2)
    steered = interop.llama_logits(interop.base_model(bench), bench.export("control-vector", 1), bench)
    assert np.allclose(steered, bench.logits(1), atol=1e-2)
    off = interop.llama_logits(interop.base_model(bench), bench.export("control-vector", 1), bench, off=1)
    assert not np.allclose(off, bench.logits(1), atol=0.1)
