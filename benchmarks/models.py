"""`python -m benchmarks.models`: what Basin can do with each architecture, tried on a tiny random model of it.

Writes results/models.json, a row per architecture, and the matrix in docs/models.md. `--all` tries every causal model of
transformers and prints what does not work; it writes nothing.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import transformers
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from agent.errors import first_sentence
from agent.hub.quiet import quiet_transformers
from benchmarks.results import write_results
from loops.checkpoint.provenance import PROJECT
from loops.diagnostics.model_trial import Trial, try_out

PAGE = PROJECT / "docs" / "models.md"
BEGIN, END = "<!-- models: python -m benchmarks.models -->", "<!-- end of models -->"
STARCODER = {"multi_query": True}
FAMILIES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "Llama": ("llama", {}),
    "Mistral": ("mistral", {}),
    "Qwen 2": ("qwen2", {}),
    "Qwen 3": ("qwen3", {}),
    "Gemma": ("gemma", {}),
    "Gemma 2": ("gemma2", {}),
    "Gemma 3": ("gemma3_text", {}),
    "Gemma 3 with images": ("gemma3", {}),
    "Phi": ("phi", {}),
    "Phi 3": ("phi3", {"sliding_window": 2047}),
    "GPT-2": ("gpt2", {}),
    "GPT-J": ("gptj", {}),
    "GPT-Neo": ("gpt_neo", {}),
    "GPT-NeoX (Pythia)": ("gpt_neox", {}),
    "GPT-BigCode (StarCoder)": ("gpt_bigcode", STARCODER),
    "StarCoder 2": ("starcoder2", {}),
    "OPT": ("opt", {}),
    "OPT-350m": ("opt", {"word_embed_proj_dim": 512, "do_layer_norm_before": False}),
    "Falcon 7B": ("falcon", {}),
    "Falcon 40B": (
        "falcon",
        {
            "new_decoder_architecture": True,
            "num_kv_heads": 8,
            "hidden_size": 8192,
            "num_attention_heads": 128,
        },
    ),
    "Falcon RW": ("falcon", {"alibi": True, "multi_query": False, "parallel_attn": False, "bias": True}),
    "BLOOM": ("bloom", {}),
    "MPT": ("mpt", {}),
    "Mixtral": ("mixtral", {}),
    "Qwen 2 MoE": ("qwen2_moe", {}),
    "Qwen 3 MoE": ("qwen3_moe", {}),
    "OLMoE": ("olmoe", {}),
    "Granite MoE": ("granitemoe", {}),
    "DeepSeek 3": ("deepseek_v3", {}),
    "GPT-OSS": ("gpt_oss", {}),
    "StableLM": ("stablelm", {}),
    "OLMo": ("olmo", {}),
    "OLMo 2": ("olmo2", {}),
    "OLMo 3": ("olmo3", {}),
    "Cohere": ("cohere", {}),
    "Cohere 2": ("cohere2", {}),
    "Granite": (
        "granite",
        {
            "residual_multiplier": 0.22,
            "embedding_multiplier": 12.0,
            "logits_scaling": 8.0,
            "attention_multiplier": 0.0156,
        },
    ),
    "SmolLM3": ("smollm3", {}),
    "GLM 4": ("glm4", {}),
    "Nemotron": ("nemotron", {"num_key_value_heads": 8}),
    "EXAONE 4": ("exaone4", {}),
    "Llama 4": ("llama4_text", {}),
    "Qwen 3-Next": ("qwen3_next", {}),
    "LFM 2": ("lfm2", {"num_hidden_layers": 16, "full_attn_idxs": [2, 5, 8, 10, 12, 14]}),
    "Jamba": ("jamba", {"attn_layer_period": 2, "attn_layer_offset": 1}),
    "Mamba": ("mamba", {}),
    "RWKV": ("rwkv", {}),
    "BERT": ("bert", {}),
    "T5": ("t5", {}),
}
"""By the name people know: the type in transformers, and what published models set otherwise than its defaults."""
PATIENCE = 60.0
"""Seconds that a survey waits for one of them."""
COLUMNS = ("recorded", "steered", "generated", "adapted", "fused")


def family(name: str) -> dict[str, Any]:
    """The row of one architecture."""
    kind, options = FAMILIES[name]
    with quiet_transformers():
        trial = try_out(transformers.AutoConfig.for_model(kind, **options))
    return {
        "architecture": name,
        **{key: value for key, value in trial.row().items() if key != "architecture"},
    }


def matrix(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table of docs/models.md."""
    lines = [f"| architecture | {' | '.join(COLUMNS)} | |", f"| --- |{' --- |' * (len(COLUMNS) + 1)}"]
    for row in rows:
        marks = " | ".join("yes" if row[column] else "–" for column in COLUMNS)
        lines.append(f"| {row['architecture']} | {marks} | {str(row['note']).replace('|', '/')} |")
    return "\n".join(lines)


def with_matrix(page: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """The page with the matrix between its marks."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n{matrix(rows)}\n{END}{rest.split(END)[1]}"


def survey() -> list[Trial]:
    """Every causal model that transformers has, by its default configuration."""
    import agent.adapting.supervised  # noqa: F401  # slow, and no fault of the first one

    found = []
    signal.signal(signal.SIGALRM, _too_long)
    for kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        signal.setitimer(signal.ITIMER_REAL, PATIENCE, PATIENCE / 3)
        try:
            with quiet_transformers():
                found.append(try_out(transformers.AutoConfig.for_model(kind)))
        except Exception as error:  # a configuration without defaults
            found.append(Trial(kind, note=f"no configuration by default: {first_sentence(error)}"))
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        marks = "".join(name[0] if getattr(found[-1], name) else "-" for name in COLUMNS)
        print(f"{marks}  {kind}  {found[-1].note}", flush=True)
    return found


def _too_long(*_: Any) -> None:
    raise TimeoutError("it takes too long")


def main(arguments: Sequence[str] | None = None) -> None:
    """Try them, write the results and the matrix."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.models", description=__doc__)
    parser.add_argument("--all", action="store_true", help="every causal model of transformers; only printed")
    given = sys.argv[1:] if arguments is None else arguments
    if parser.parse_args(given).all:
        found = survey()
        print(
            f"{sum(trial.usable for trial in found)} of {len(found)} can be recorded, steered and written with"
        )
        return
    rows = []
    for name in FAMILIES:
        rows.append(family(name))
        print(name, {key: rows[-1][key] for key in COLUMNS}, rows[-1]["note"], flush=True)
    path = write_results("models", rows, ["python", "-m", "benchmarks.models", *given])
    PAGE.write_text(with_matrix(PAGE.read_text(encoding="utf-8"), rows), encoding="utf-8")
    print(f"{len(rows)} rows in {Path(path).name}; `python -m benchmarks.render` makes the page of them")


if __name__ == "__main__":
    main()
