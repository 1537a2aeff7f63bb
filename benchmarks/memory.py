"""Predicted and used memory of recording, generating and training: `python -m benchmarks.memory`.

Every stage of every model has a process of its own, whose peak resident memory counts. Writes results/memory.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.language_model.load import LanguageModelConfig
from agent.language_model.model import LanguageModel
from benchmarks.results import resident, write_results
from loops.checkpoint.provenance import PROJECT
from loops.config import RunConfig, parse_config

STAGES = ("record", "generate", "adapt")
# fmt: off
RANDOM: Mapping[str, Mapping[str, int]] = {
    "random 27M": {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 10, "num_attention_heads": 4},
    "random 110M": {"hidden_size": 640, "intermediate_size": 2560, "num_hidden_layers": 10, "num_attention_heads": 10},
    "random 330M": {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 16, "num_attention_heads": 16},
}
# fmt: on
"""Random Llamas with 32,000 words."""
NAMES = ("smollm2-135m", *RANDOM)
STEPS = 2
"""Of teaching: the peak is in the first, and the second finds the optimiser's state there."""


def config_of(name: str) -> RunConfig:
    """The defaults of a run with adapters, whose lesson is short."""
    lesson = {"tokens": 4 * 512 * STEPS}
    return parse_config(
        {
            "corpus": {"source": "brown-fiction"},
            "language_model": {"name": name if name not in RANDOM else "smollm2-135m"},
            "updating": {"adapter_from": 1, "adapting": {"lesson": lesson}},
        },
        "memory",
    )


def model_of(name: str, config: RunConfig) -> LanguageModel:
    """An embedded model, or a random one of that size in the format that a run would choose here."""
    if name not in RANDOM:
        return LanguageModel.load(config.language_model)
    import torch
    import transformers

    from agent.language_model.architecture import choose_dtype
    from loops.diagnostics.tiny_twin import tiny_tokenizer

    described = transformers.LlamaConfig(vocab_size=32000, max_position_embeddings=2048, **RANDOM[name])
    dtype = choose_dtype("auto", torch.device("cpu"))
    model = transformers.AutoModelForCausalLM.from_config(described, dtype=dtype)
    return LanguageModel(model, tiny_tokenizer(), LanguageModelConfig(name=name))


def one(name: str, stage: str) -> dict[str, float]:
    """A stage done once, in this process."""
    import numpy as np

    from loops.round.forecast import peaks

    config = config_of(name)
    language_model = model_of(name, config)
    loaded = resident("VmHWM") / 1e9
    texts = ["".join(f" w{(7 * text + word) % 90}" for word in range(600)) for text in range(24)]
    if stage == "record":
        language_model.record(texts)
    elif stage == "generate":
        count = min(config.generation.samples, config.generation.batch_size)
        prompts = ["".join(f" w{word}" for word in range(config.generation.prompt_words))] * count
        language_model.generate(prompts, range(count), config.generation)
    else:
        from agent.adapting.lesson import draw
        from agent.adapting.supervised import fit_lora

        adapting = config.updating.adapting
        lesson = draw(language_model, texts, np.ones(len(texts)), adapting.lesson, 0)
        with tempfile.TemporaryDirectory() as folder:
            fit_lora(language_model, lesson, adapting.lora, seed=0, folder=Path(folder))
    return {
        "foreseen": peaks(language_model, config)[stage],
        "taken": resident("VmHWM") / 1e9,
        "loaded": loaded,
    }


def measured(name: str, stage: str) -> dict[str, Any]:
    """The same in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.memory", "--one", name, stage]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"Error: {stage} with {name} failed: {done.stderr.strip().splitlines()[-1:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    row = {"method": stage, "model": name, **found, "foreseen_to_taken": found["foreseen"] / found["taken"]}
    print(row, flush=True)
    return row


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--one", nargs=2, metavar=("MODEL", "STAGE"), help="in this process, as JSON")
    given = sys.argv[1:] if arguments is None else list(arguments)
    if chosen := parser.parse_args(given).one:
        print(json.dumps(one(*chosen)))
        return
    rows: list[dict[str, Any]] = []
    for name in NAMES:
        for stage in STAGES:
            rows.append(measured(name, stage))
            path = write_results("memory", rows, ["python", "-m", "benchmarks.memory", *given])
    print(f"{len(rows)} rows in {path.name}")


if __name__ == "__main__":
    main()
