"""What works with each architecture, on a tiny random model of it: `python -m benchmarks.models`.

Writes results/models.json and the matrix in docs/models.md.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import transformers

from agent.errors import BasinError
from agent.hub.quiet import quiet_transformers
from benchmarks.results import write_results
from loops.checkpoint.provenance import PROJECT
from loops.diagnostics.model_check import TRIALS, check_model

PAGE = PROJECT / "docs" / "models.md"
BEGIN, END = "<!-- models: python -m benchmarks.models -->", "<!-- end of models -->"
# fmt: off
GRANITE = {"residual_multiplier": 0.22, "embedding_multiplier": 12.0, "logits_scaling": 8.0, "attention_multiplier": 0.0156}
STARCODER = {"multi_query": True}
FALCON_40B = {"new_decoder_architecture": True, "num_kv_heads": 8, "hidden_size": 8192, "num_attention_heads": 128}
FAMILIES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "Llama": ("llama", {}), "Mistral": ("mistral", {}), "Qwen 2": ("qwen2", {}), "Qwen 3": ("qwen3", {}),
    "Gemma": ("gemma", {}), "Gemma 2": ("gemma2", {}), "Gemma 3": ("gemma3_text", {}),
    "Gemma 3 with images": ("gemma3", {}), "Phi": ("phi", {}), "Phi 3": ("phi3", {"sliding_window": 2047}),
    "GPT-2": ("gpt2", {}), "GPT-J": ("gptj", {}), "GPT-Neo": ("gpt_neo", {}),
    "GPT-NeoX (Pythia)": ("gpt_neox", {}), "GPT-BigCode (StarCoder)": ("gpt_bigcode", STARCODER),
    "StarCoder 2": ("starcoder2", {}), "OPT": ("opt", {}),
    "OPT-350m": ("opt", {"word_embed_proj_dim": 512, "do_layer_norm_before": False}),
    "Falcon 7B": ("falcon", {}), "Falcon 40B": ("falcon", FALCON_40B),
    "Falcon RW": ("falcon", {"alibi": True, "multi_query": False, "parallel_attn": False, "bias": True}),
    "BLOOM": ("bloom", {}), "MPT": ("mpt", {}), "Mixtral": ("mixtral", {}), "Qwen 2 MoE": ("qwen2_moe", {}),
    "Qwen 3 MoE": ("qwen3_moe", {}), "OLMoE": ("olmoe", {}), "Granite MoE": ("granitemoe", {}),
    "DeepSeek 3": ("deepseek_v3", {}), "GPT-OSS": ("gpt_oss", {}), "StableLM": ("stablelm", {}),
    "OLMo": ("olmo", {}), "OLMo 2": ("olmo2", {}), "OLMo 3": ("olmo3", {}), "Cohere": ("cohere", {}),
    "Cohere 2": ("cohere2", {}),
    "Granite": ("granite", GRANITE),
    "SmolLM3": ("smollm3", {}), "GLM 4": ("glm4", {}), "Nemotron": ("nemotron", {"num_key_value_heads": 8}),
    "EXAONE 4": ("exaone4", {}), "Llama 4": ("llama4_text", {}), "Qwen 3-Next": ("qwen3_next", {}),
    "LFM 2": ("lfm2", {"num_hidden_layers": 16, "full_attn_idxs": [2, 5, 8, 10, 12, 14]}),
    "Jamba": ("jamba", {"attn_layer_period": 2, "attn_layer_offset": 1}), "Mamba": ("mamba", {}),
    "RWKV": ("rwkv", {}), "BERT": ("bert", {}), "T5": ("t5", {}),
}
# fmt: on
"""By the name people know: the type in transformers, and what published models set otherwise than its defaults."""
COLUMNS = ("recorded", "steered", "generated", "adapted", "fused")


def family(name: str) -> dict[str, Any]:
    """The row of one architecture."""
    kind, options = FAMILIES[name]
    row: dict[str, Any] = {"architecture": name, **dict.fromkeys(COLUMNS, False), "note": ""}
    with tempfile.TemporaryDirectory() as folder:
        with quiet_transformers():
            transformers.AutoConfig.for_model(kind, **options).save_pretrained(folder)
        try:
            check = check_model(folder)
        except BasinError as error:
            return row | {"note": str(error).replace(repr(folder), name).replace(folder, name)}
    problems = {what: check.problems[what] for what in TRIALS}  # there are no weights and no tokenizer
    marks = dict(zip(COLUMNS, (not each for each in problems.values()), strict=False))
    notes = [f"{what}: {problem}" for what, problem in problems.items() if problem]
    return row | marks | {"fused": check.fused, "note": "; ".join(notes)}


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


def main() -> None:
    """Try every family, write the results and the matrix."""
    rows = []
    for name in FAMILIES:
        rows.append(family(name))
        print(name, {key: rows[-1][key] for key in COLUMNS}, rows[-1]["note"], flush=True)
    path = write_results("models", rows, ["python", "-m", "benchmarks.models"])
    PAGE.write_text(with_matrix(PAGE.read_text(encoding="utf-8"), rows), encoding="utf-8")
    print(f"{len(rows)} rows in {path.name}")


if __name__ == "__main__":
    main()
