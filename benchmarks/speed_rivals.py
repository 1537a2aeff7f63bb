"""The same work by the libraries that people would use instead. Each is imported only when its turn comes."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from agent.language_model.decoding.loop import GenerationConfig
from agent.language_model.model import LanguageModel
from agent.steering.vector import SteeringVector

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
    return {
        "basin": basin,
        **reference,
        "repeng": repeng,
        "steering-vectors": steering_vectors,
        "nnsight": nnsight,
        "TransformerLens": transformer_lens,
    }


def writers(
    model: LanguageModel, prompts: Sequence[str], config: GenerationConfig, vector: SteeringVector
) -> dict[str, Callable[[], int]]:
    """Sampling of the same length under the same vector, all prompts in one batch."""
    tokens = len(prompts) * config.new_tokens
    core, tokenizer = model.twin(), model.tokenizer
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    batch = tokenizer(list(prompts), return_tensors="pt", padding=True, padding_side="left").to(model.device)
    how = {
        "max_new_tokens": config.new_tokens,
        "min_new_tokens": config.new_tokens,
        "do_sample": True,
        "temperature": config.temperature,
        "top_k": config.top_k,
        "top_p": config.top_p,
        "pad_token_id": 0,
    }
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

    return {
        "basin": basin,
        "generate with a hook": generate_with_a_hook,
        "steering-vectors": steering_vectors,
        "repeng": repeng,
    }


def teachers(model: LanguageModel, texts: Sequence[str]) -> dict[str, Callable[[], int]]:
    """One pass of LoRA over the texts; TRL with its own defaults but for the adapter's shape and the batch."""
    from agent.adapting.config import LoraConfig
    from agent.adapting.supervised import teach

    config = LoraConfig(passages=len(texts))
    from agent.adapting.trainer import token_ids

    rows = token_ids(model, texts, config.tokens)
    tokens = sum(map(len, rows))

    def basin() -> int:
        from pathlib import Path

        with tempfile.TemporaryDirectory() as folder:
            teach(model, texts, np.ones(len(texts)), None, config, 0, Path(folder))
        return tokens

    def trl() -> int:
        from datasets import Dataset
        from peft import LoraConfig as Shape
        from trl import SFTConfig, SFTTrainer

        with tempfile.TemporaryDirectory() as folder:
            SFTTrainer(
                model=model.twin(),
                args=SFTConfig(
                    folder,
                    num_train_epochs=1,
                    per_device_train_batch_size=config.batch,
                    use_cpu=model.device.type == "cpu",
                    bf16=False,
                    report_to="none",
                    save_strategy="no",
                    disable_tqdm=True,
                ),
                train_dataset=Dataset.from_dict({"input_ids": rows, "labels": rows}),
                processing_class=model.tokenizer,
                peft_config=Shape(r=config.rank, lora_alpha=config.alpha, target_modules=_attention(model)),
            ).train()
        return tokens

    return {"basin": basin, "TRL as it comes": trl}


def _attention(model: LanguageModel) -> list[str]:
    names = {name.rpartition(".")[2] for name, _ in model.blocks[0].named_modules()}
    return sorted(names & {"q_proj", "k_proj", "v_proj", "o_proj"})
