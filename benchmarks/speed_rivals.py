"""The work of `benchmarks.speed` by other libraries, each imported only when its turn comes."""

from __future__ import annotations

import copy
import ctypes
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agent.language_model.decoding.config import GenerationConfig
from agent.language_model.model import LanguageModel
from agent.steering.vector import SteeringVector

FILES = {torch.float32: "f32", torch.bfloat16: "bf16"}
BATCH = 16
"""Texts at a time, for those that read in order."""


def counted(model: LanguageModel, texts: Sequence[str]) -> int:
    """Tokens of the texts, a thousand at a time: what a tokenizer makes of a text is fifty times its size."""
    parts = (list(texts[at : at + 1000]) for at in range(0, len(texts), 1000))
    return sum(len(ids) for part in parts for ids in model.tokenizer(part)["input_ids"])


def recorders(model: LanguageModel, texts: Sequence[str]) -> dict[str, Callable[[], int]]:
    """Three layers of every text. repeng and steering-vectors keep the last token, the others the mean."""
    tokens = counted(model, texts)
    core, tokenizer = model.twin(), model.tokenizer
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    parts = [list(texts[at : at + BATCH]) for at in range(0, len(texts), BATCH)]
    # The libraries count blocks from 0 where we count what has gone through them.
    blocks = [layer - 1 for layer in model.layers]

    def basin() -> int:
        model.record(texts)
        return tokens

    @torch.no_grad()
    def padded(reader: Any = core) -> int:
        for part in parts:
            batch = tokenizer(part, return_tensors="pt", padding=True).to(model.device)
            hidden = reader(**batch, output_hidden_states=True).hidden_states
            mask = batch["attention_mask"][:, :, None].float()
            [(hidden[layer].float() * mask).sum(1) / mask.sum(1) for layer in model.layers]
        return tokens

    def repeng() -> int:
        np.float_ = np.float64  # it was written for numpy 1
        from repeng.extract import batched_get_hiddens

        batched_get_hiddens(core, tokenizer, list(texts), blocks, BATCH)
        return tokens

    def steering_vectors() -> int:
        from steering_vectors.train_steering_vector import extract_activations

        pairs = list(zip(texts[::2], texts[1::2], strict=True))
        extract_activations(core, tokenizer, pairs, layers=blocks, batch_size=BATCH)
        return tokens

    def nnsight() -> int:
        import nnsight as library

        traced = library.LanguageModel(core, tokenizer=tokenizer)
        first, second, third = (traced.model.layers[block] for block in blocks)
        for part in parts:
            with torch.no_grad(), traced.trace(part):
                one = first.output.mean(1).save()  # noqa: F841
                two = second.output.mean(1).save()  # noqa: F841
                three = third.output.mean(1).save()  # noqa: F841
        return tokens

    def transformer_lens() -> int:
        from transformer_lens.model_bridge import TransformerBridge

        bridge = TransformerBridge.boot_transformers(model.config.name, hf_model=core, tokenizer=tokenizer)
        names = [f"blocks.{block}.hook_resid_post" for block in blocks]
        for part in parts:
            batch = tokenizer(part, return_tensors="pt", padding=True)
            with torch.no_grad():
                bridge.run_with_cache(batch["input_ids"], names_filter=names, stop_at_layer=blocks[-1] + 1)
        return tokens

    reference = {"padded output_hidden_states": padded}
    if core.dtype != torch.float32:
        # Copied when its turn comes, in half a second, or the others' memory would hold the copy.
        reference["padded output_hidden_states, float32"] = lambda: padded(copy.deepcopy(core).float())
    others = {"repeng": repeng, "steering-vectors": steering_vectors, "nnsight": nnsight}
    return {"basin": basin, **reference, **others, "TransformerLens": transformer_lens}


def writers(
    model: LanguageModel, prompts: Sequence[str], config: GenerationConfig, vector: SteeringVector
) -> dict[str, Callable[[], int]]:
    """Sampling of the same length under the same vector, all prompts in one batch."""
    tokens = len(prompts) * config.new_tokens
    core, tokenizer = model.twin(), model.tokenizer
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    batch = tokenizer(list(prompts), return_tensors="pt", padding=True, padding_side="left").to(model.device)
    new = config.new_tokens
    how = {"max_new_tokens": new, "min_new_tokens": new, "do_sample": True, "pad_token_id": 0}
    how |= {"temperature": config.temperature, "top_k": config.top_k, "top_p": config.top_p}
    blocks = {layer - 1: each for layer, each in vector.directions.items()}

    def basin() -> int:
        model.generate(prompts, range(len(prompts)), config, vector)
        return tokens

    @torch.inference_mode()
    def generate_with_a_hook() -> int:
        layers = core.get_decoder().layers
        shifts = {block: each.to(model.output.head.weight.dtype) for block, each in blocks.items()}
        hooks = [
            layers[block].register_forward_hook(lambda _module, _inputs, output, shift=shift: output + shift)
            for block, shift in shifts.items()
        ]
        core.generate(**batch, **how)
        for hook in hooks:
            hook.remove()
        return tokens

    @torch.inference_mode()
    def steering_vectors() -> int:
        from steering_vectors import SteeringVector as Theirs

        shifts = {block: each.to(model.output.head.weight.dtype) for block, each in blocks.items()}
        with Theirs(shifts).apply(core):
            core.generate(**batch, **how)
        return tokens

    def repeng() -> int:
        np.float_ = np.float64
        from repeng import ControlModel, ControlVector

        controlled = ControlModel(core, list(blocks))
        directions = {block: each.numpy() for block, each in blocks.items()}
        controlled.set_control(ControlVector(core.config.model_type, directions))
        try:
            with torch.inference_mode():
                controlled.generate(**batch, **how)
        finally:
            controlled.unwrap()
        return tokens

    others = {"steering-vectors": steering_vectors, "repeng": repeng}
    return {"basin": basin, "generate with a hook": generate_with_a_hook, **others}


def teachers(model: LanguageModel, texts: Sequence[str]) -> dict[str, Callable[[], int]]:
    """One pass of LoRA over windows of the texts.

    TRL has its own defaults but for the adapter's shape, the batch and the windows.
    """
    from agent.adapting.config import LessonConfig, LoraConfig
    from agent.adapting.lesson import draw
    from agent.adapting.supervised import fit_lora

    config = LoraConfig()
    lesson = draw(model, texts, np.ones(len(texts)), LessonConfig(tokens=10**9), 0, repeats=1)
    rows, tokens = lesson.rows, lesson.tokens

    def basin(compiled: bool = False) -> int:
        own = LoraConfig(compile=compiled)
        with tempfile.TemporaryDirectory() as folder:
            fit_lora(model, lesson, own, seed=0, folder=Path(folder))
        return tokens

    def trl() -> int:
        from datasets import Dataset
        from peft import LoraConfig as Shape
        from trl import SFTConfig, SFTTrainer

        how = {"num_train_epochs": 1, "per_device_train_batch_size": config.batch, "disable_tqdm": True}
        how |= {
            "use_cpu": model.device.type == "cpu",
            "bf16": False,
            "report_to": "none",
            "save_strategy": "no",
        }
        with tempfile.TemporaryDirectory() as folder:
            SFTTrainer(
                model=model.twin(),
                args=SFTConfig(folder, **how),
                train_dataset=Dataset.from_dict({"input_ids": rows, "labels": rows}),
                processing_class=model.tokenizer,
                peft_config=Shape(r=config.rank, lora_alpha=config.alpha, target_modules="all-linear"),
            ).train()
        return tokens

    return {"basin": basin, "basin, compiled": partial(basin, True), "TRL as it comes": trl}


@ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
def _SILENT(level: int, text: bytes, data: Any) -> None:
    """Drop llama.cpp's messages."""


def llama_writer(
    model: LanguageModel, prompts: Sequence[str], config: GenerationConfig, vector: SteeringVector
) -> Callable[[], int]:
    """llama.cpp under a control vector, with all prompts as sequences of one batch, as in its batched example."""
    import llama_cpp

    library: Any = llama_cpp.llama_cpp
    library.llama_log_set(_SILENT, None)
    dtype = FILES[model.output.head.weight.dtype]
    with tempfile.TemporaryDirectory() as folder:
        model.twin().save_pretrained(folder)
        model.tokenizer.save_pretrained(folder)
        file = converted(Path(folder), Path(folder) / "model.gguf", dtype)
        loaded = library.llama_model_load_from_file(
            str(file).encode(), _with(library.llama_model_default_params(), use_mmap=False)
        )
    tokens = [model.tokenizer(prompt)["input_ids"] for prompt in prompts]
    room = sum(map(len, tokens)) + len(prompts) * config.new_tokens
    threads = torch.get_num_threads()
    size = {"n_ctx": len(prompts) * 256, "n_batch": max(room, 2048), "n_seq_max": len(prompts)}
    size |= {"n_threads": threads, "n_threads_batch": threads, "kv_unified": False}
    context = library.llama_init_from_model(loaded, _with(library.llama_context_default_params(), **size))
    steer(library, loaded, context, vector)

    def work() -> int:
        library.llama_memory_clear(library.llama_get_memory(context), True)
        samplers = [_sampler(library, config, seed) for seed in range(len(prompts))]
        batch = library.llama_batch_init(sum(map(len, tokens)), 0, 1)
        last = _fill(
            batch, [(token, at) for each in tokens for at, token in enumerate(each)], _owners(tokens)
        )
        positions = [len(each) for each in tokens]
        for _ in range(config.new_tokens):
            if library.llama_decode(context, batch):
                raise RuntimeError("llama.cpp could not decode the batch")
            drawn = [
                library.llama_sampler_sample(sampler, context, at)
                for sampler, at in zip(samplers, last, strict=True)
            ]
            last = _fill(batch, list(zip(drawn, positions, strict=True)), list(range(len(prompts))))
            positions = [position + 1 for position in positions]
        library.llama_batch_free(batch)
        for sampler in samplers:
            library.llama_sampler_free(sampler)
        return len(prompts) * config.new_tokens

    return work


def steer(library: Any, loaded: Any, context: Any, vector: SteeringVector) -> None:
    """Row `L - 2` is added after block `L - 1`, for the layer after L blocks."""
    width, depth = library.llama_model_n_embd(loaded), library.llama_model_n_layer(loaded)
    rows = np.zeros((depth, width), dtype=np.float32)
    for layer, direction in vector.directions.items():
        rows[layer - 2] = direction.float().numpy()
    apply_rows(library, context, rows)


def apply_rows(library: Any, context: Any, rows: np.ndarray) -> None:
    """Let llama.cpp add row `N - 1` after block `N`; the call has had two names."""
    depth, width = rows.shape
    apply = getattr(library, "llama_set_adapter_cvec", None) or library.llama_apply_adapter_cvec
    if apply(context, rows.ctypes.data_as(ctypes.POINTER(ctypes.c_float)), rows.size, width, 1, depth):
        raise RuntimeError("llama.cpp refused the control vector")


def _sampler(library: Any, config: GenerationConfig, seed: int) -> Any:
    chain = library.llama_sampler_chain_init(library.llama_sampler_chain_default_params())
    for part in (
        library.llama_sampler_init_top_k(config.top_k),
        library.llama_sampler_init_top_p(config.top_p, 1),
        library.llama_sampler_init_temp(config.temperature),
        library.llama_sampler_init_dist(seed),
    ):
        library.llama_sampler_chain_add(chain, part)
    return chain


def _owners(tokens: Sequence[Sequence[int]]) -> list[int]:
    return [owner for owner, each in enumerate(tokens) for _ in each]


def _fill(batch: Any, placed: Sequence[tuple[int, int]], owners: Sequence[int]) -> list[int]:
    """Put tokens into the batch; returns the place of every sequence's last one, whose logits are wanted."""
    batch.n_tokens = len(placed)
    ends = {owner: at for at, owner in enumerate(owners)}
    for at, ((token, position), owner) in enumerate(zip(placed, owners, strict=True)):
        batch.token[at], batch.pos[at] = token, position
        batch.n_seq_id[at], batch.seq_id[at][0] = 1, owner
        batch.logits[at] = ends[owner] == at
    return [ends[owner] for owner in sorted(ends)]


def _with(parameters: Any, **values: Any) -> Any:
    for name, value in values.items():
        setattr(parameters, name, value)
    return parameters


def converted(folder: Path, file: Path, dtype: str = "f32") -> Path:
    """The GGUF of a model folder, by the converter in the checkout of llama.cpp that `LLAMA_CPP` names."""
    if not file.exists():
        script = Path(os.environ["LLAMA_CPP"]) / "convert_hf_to_gguf.py"
        command = [sys.executable, str(script), str(folder), "--outfile", str(file), "--outtype", dtype]
        subprocess.run(command, check=True)
    return file
