"""repeng and steering-vectors: other libraries that steer, given our vector."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from agent.steering.control_vector import read_control_vector
from benchmarks.interop.bench import TOKENS, Bench, Row, agreement, row


def rows(bench: Bench) -> list[Row]:
    """Import our GGUF in repeng, export one of repeng's and read it here, and apply the vector in steering-vectors."""
    np.float_ = np.float64  # type: ignore[attr-defined]  # repeng was written for numpy 1
    from repeng import ControlModel, ControlVector

    file, ours = bench.export("control-vector", bench.steered), bench.logits(None)
    change = bench.logits(bench.steered) - ours
    theirs = ControlVector.import_gguf(file)
    model = ControlModel(bench.own.twin(), list(theirs.directions))
    plain = bench.logits_of(model)
    model.set_control(theirs)
    found = [
        row(
            "control-vector",
            "repeng",
            "repeng",
            "cosine of the change of logits with Basin's (value)",
            value=agreement(bench.logits_of(model) - plain, change),
        )
    ]
    written = _write(model, bench)
    model.set_control(theirs, coeff=0.0)
    base = _write(model, bench)
    found.append(
        row(
            "control-vector",
            "repeng",
            "repeng",
            "mean membership of what it writes under the vector (value) and without it (base)",
            value=bench.membership(written, bench.steered),
            base=bench.membership(base, bench.steered),
        )
    )
    model.unwrap()
    back = bench.folder / "repeng.gguf"
    ControlVector(
        theirs.model_type, {layer: 2 * each for layer, each in theirs.directions.items()}
    ).export_gguf(back)
    read, kept = read_control_vector(back), bench.store.load(bench.steered).concept.vector
    found.append(
        row(
            "start_vector (import)",
            "repeng",
            "repeng",
            "cosine of what repeng exported, as read here, with the vector "
            "(value); ratio of lengths, 2 expected (base)",
            value=read.vector.cosine(kept),
            base=next(iter(read.vector.norms().values())) / next(iter(kept.norms().values())),
        )
    )
    return [*found, *_steering_vectors(bench, ours, change)]


def _steering_vectors(bench: Bench, ours: np.ndarray, change: np.ndarray) -> list[Row]:
    import safetensors.torch
    from steering_vectors import SteeringVector

    tensors = safetensors.torch.load_file(bench.export("safetensors", bench.steered))
    vector = SteeringVector({int(name.removeprefix("layer_")) - 1: each for name, each in tensors.items()})
    model = bench.own.twin()
    with vector.apply(model):
        steered = bench.logits_of(model)
    return [
        row(
            "safetensors",
            "steering-vectors",
            "steering_vectors",
            "cosine of the change of logits with Basin's",
            value=agreement(steered - ours, change),
        )
    ]


@torch.no_grad()
def _write(model: Any, bench: Bench) -> list[str]:
    tokenizer = bench.own.tokenizer
    batch = tokenizer(bench.prompts, return_tensors="pt", padding=True, padding_side="left")
    torch.manual_seed(0)
    how = {"max_new_tokens": TOKENS, "do_sample": True, "temperature": 0.9, "top_k": 64, "top_p": 0.95}
    made = model.generate(**batch, **how, pad_token_id=tokenizer.pad_token_id)
    return tokenizer.batch_decode(made, skip_special_tokens=True)
