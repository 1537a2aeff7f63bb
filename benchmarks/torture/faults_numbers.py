"""Numbers that are none, and memory that is not there."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from benchmarks.torture import ground
from benchmarks.torture.faults import Bench, Failed
from loops.checkpoint.store import RunStore

HEADROOM = 160 << 20
"""Bytes; the wide model wants more for a batch, and not for half of one."""


def spoiled_model(spoil: float) -> Callable[[Bench], str]:
    """A weight of the model that is read and written with is no number."""

    def case(bench: Bench) -> str:
        model = _model(bench, f"spoiled-{spoil}", spoil=spoil)
        ended = bench.live("run", _with_model(bench, model), "--name", bench.case)
        bench.must_refuse(ended, r"Error: .*not finite.*float32")
        return "refused in a sentence before anything was kept"

    return case


def spoiled_judge(bench: Bench) -> str:
    """A weight of the model that judges readability is no number: found before the first round."""
    model = _model(bench, "spoiled-nan", spoil=float("nan"))
    config = bench.config(name="spoiled-judge", coherence={"model": str(model)})
    ended = bench.live("run", str(config), "--name", bench.case)
    bench.must_refuse(ended, r"Error: .*likelihoods that are not numbers")
    return "refused in a sentence"


def loss_without_bound(bench: Bench) -> str:
    """A learning rate at which the adapter's loss is soon no number: earlier rounds stay."""
    lora = {**ground.ADAPTING["lora"], "learning_rate": 1e30}
    adapting = {"adapter_from": 2, "adapter_nats": 0.02, "adapting": {**ground.ADAPTING, "lora": lora}}
    config = bench.config("adapter", name="explosive", updating=adapting)
    ended = bench.live("run", str(config), "--name", bench.case)
    bench.must_refuse(ended, r"Error: Training an adapter gave a loss that is not a number")
    if RunStore.open(bench.run).rounds() != [0, 1]:
        raise Failed("round 1 was lost")
    bench.must_refuse(bench.resume(), r"Error: Training an adapter gave a loss that is not a number")
    return "refused in a sentence, and earlier rounds were kept"


def memory_for_no_batch(bench: Bench) -> str:
    """The operating system refuses memory for a batch while texts are read: it is halved, said once, and the run goes on."""
    model = _model(bench, "wide", hidden_layer=16384)
    config = bench.config(name="wide", rounds=1, language_model={"name": str(model), "layers": [1, 2]})
    ended = bench.live("run", str(config), "--name", bench.case, plan={"headroom": HEADROOM})
    text = " ".join(ended.said.split())
    if ended.status:
        raise Failed(f"did not come to its end: {text[-400:]}")
    if len(re.findall("Memory is too small for batches", text)) != 1:
        raise Failed(f"halving was not said once: {text[-400:]}")
    return "the batch was halved, said once, and the run came to its end"


def memory_for_no_text(bench: Bench) -> str:
    model = _model(bench, "widest", hidden_layer=1 << 20)
    config = bench.config(name="widest", rounds=1, language_model={"name": str(model), "layers": [1, 2]})
    ended = bench.live("run", str(config), "--name", bench.case, plan={"headroom": 24 << 20})
    bench.must_refuse(ended, r"Error: Memory is too small .* one single text")
    return "refused in a sentence"


def _model(bench: Bench, name: str, **options: float) -> Path:
    folder = bench.folder / name
    if not (folder / "config.json").exists():
        ground.make_model(folder, seed=0, **options)
    return folder


def _with_model(bench: Bench, model: Path) -> str:
    return str(bench.config(name=model.name, language_model={"name": str(model)}))


CASES = {
    "NaN in activations": spoiled_model(float("nan")),
    "infinity in activations": spoiled_model(float("inf")),
    "NaN in likelihoods": spoiled_judge,
    "NaN in the training loss": loss_without_bound,
    "out of memory in a batch": memory_for_no_batch,
    "out of memory for a single text": memory_for_no_text,
}
