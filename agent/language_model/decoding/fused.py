"""A faster, equivalent decoder for Llama and similar architectures (Mistral, Qwen, Gemma 3).

Queries, keys and values are one product, rotation and norms a few operations, and the mask is made
once a step. `fused` reads a few tokens with both decoders, and keeps this one only if they agree.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import Cache

from agent.language_model.decoding.kv_cache import RoomyLayer, empty_cache
from agent.language_model.memory import total_memory
from agent.language_model.output_layer import PackedLinear, can_pack

TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.1}
"""Largest relative difference between the decoders; bfloat16 itself is 0.03 from float32."""

LARGEST_SHARE = 1 / 8
"""Largest share of the machine's whole memory for packed weights, which are a second copy."""


@dataclass(frozen=True)
class Output:
    """Named as in transformers."""

    last_hidden_state: Float[Tensor, "text new width"]


@dataclass
class Step:
    """Inputs that all blocks of a forward pass share."""

    real: Bool[Tensor, "text seen"]
    cosine: dict[Any, Float[Tensor, "_text new 1 head_width"]]
    sine: dict[Any, Float[Tensor, "_text new 1 head_width"]]
    """The rotation by kind of layer, signed so that swapping the halves completes it."""
    masks: dict[int | None, Tensor | None]
    """Additions to the attention scores by window, made on first use."""
    whole: bool
    """Texts are read from their start, without left padding: the causal mask suffices."""

    def in_order(self, window: int | None) -> bool:
        """Whether the causal mask suffices."""
        return self.whole and (window is None or self.real.shape[1] <= window)

    def mask(self, window: int | None, new: int, dtype: torch.dtype) -> Tensor | None:
        """The mask of new tokens over seen ones: earlier tokens within the window, without padding."""
        if self.in_order(window):
            return None
        if window not in self.masks:
            places = torch.arange(self.real.shape[1], device=self.real.device)
            distance = places[-new:, None] - places
            near = distance >= 0 if window is None else (distance >= 0) & (distance < window)
            # Padding attends to itself: its softmax must not be empty.
            allowed = (near & self.real[:, None, :]) | (distance == 0)
            self.masks[window] = None
            if new > 1 or not bool(allowed.all()):
                zeros = torch.zeros(allowed.shape, dtype=dtype, device=allowed.device)
                self.masks[window] = zeros.masked_fill(~allowed, -torch.inf).unsqueeze(1)
        return self.masks[window]


class FusedBlock(nn.Module):
    """One decoder block, a module whose output hooks can read and steer."""

    def __init__(self, block: nn.Module, kind: Any) -> None:
        super().__init__()
        attention, mlp = block.self_attn, block.mlp
        if (
            getattr(attention, "attn_logit_softcapping", None)
            or getattr(attention, "sinks", None) is not None
        ):
            raise NotImplementedError("attention beyond softmax")
        self.kind = kind
        self.scaling, self.head_width = attention.scaling, attention.head_dim
        self.window = _window(attention)
        self.queries = attention.q_proj.out_features // self.head_width
        self.keys = attention.k_proj.out_features // self.head_width
        self.qkv = PackedLinear([attention.q_proj, attention.k_proj, attention.v_proj])
        self.attended = PackedLinear([attention.o_proj])
        self.gate_up, self.down = PackedLinear([mlp.gate_proj, mlp.up_proj]), PackedLinear([mlp.down_proj])
        self.activation, self.inner = mlp.act_fn, mlp.gate_proj.out_features
        self.query_norm: Any = getattr(attention, "q_norm", None)
        self.key_norm: Any = getattr(attention, "k_norm", None)
        # Llama has a norm before attention and before the perceptron; Gemma also has one after each.
        four = hasattr(block, "pre_feedforward_layernorm")
        self.before_attention = Norm(block.input_layernorm)
        self.after_attention = Norm(block.post_attention_layernorm) if four else None
        self.before_mlp = Norm(block.pre_feedforward_layernorm if four else block.post_attention_layernorm)
        self.after_mlp = Norm(block.post_feedforward_layernorm) if four else None

    def forward(
        self, stream: Float[Tensor, "text new width"], step: Step, layer: RoomyLayer | None
    ) -> Float[Tensor, "text new width"]:
        mixed = self.attended(self._attention(self.before_attention(stream), step, layer))
        stream = stream + (mixed if self.after_attention is None else self.after_attention(mixed))
        both = self.gate_up(self.before_mlp(stream))
        mixed = self.down(self.activation(both[..., : self.inner]).mul_(both[..., self.inner :]))
        return stream + (mixed if self.after_mlp is None else self.after_mlp(mixed))

    def _attention(
        self, inputs: Float[Tensor, "text new width"], step: Step, layer: RoomyLayer | None
    ) -> Float[Tensor, "text new inner"]:
        texts, new, _ = inputs.shape
        heads = self.qkv(inputs).view(texts, new, self.queries + 2 * self.keys, self.head_width)
        turning = heads[:, :, : self.queries + self.keys]
        if self.query_norm is not None:
            split = turning.split([self.queries, self.keys], dim=2)
            turning = torch.cat([self.query_norm(split[0]), self.key_norm(split[1])], dim=2)
        turned = torch.addcmul(
            turning * step.cosine[self.kind],
            turning.roll(self.head_width // 2, dims=-1),
            step.sine[self.kind],
        )
        query = turned[:, :, : self.queries]
        keys = turned[:, :, self.queries :].transpose(1, 2)
        values = heads[:, :, self.queries + self.keys :].transpose(1, 2)
        if layer is not None:
            keys, values = layer.update(keys, values)
        mask = step.mask(self.window, new, inputs.dtype)
        shared = self.queries // self.keys
        if new == 1 and layer is not None:
            # Heads that share a key become positions of one head, so nothing is repeated.
            query = query.view(texts, self.keys, shared, self.head_width)
        else:
            query = query.transpose(1, 2)
            if shared > 1:
                keys, values = (each.repeat_interleave(shared, dim=1) for each in (keys, values))
        mixed = scaled_dot_product_attention(
            query, keys, values, attn_mask=mask, is_causal=step.in_order(self.window), scale=self.scaling
        )
        return (mixed if new == 1 else mixed.transpose(1, 2)).reshape(texts, new, -1)


def _window(attention: nn.Module) -> int | None:
    """The layer's sliding window; looked up, because the comparison is shorter than most windows."""
    configured = getattr(attention.config, "sliding_window", None)
    if hasattr(attention, "sliding_window"):
        window: int | None = attention.sliding_window
        return window
    if configured is not None and attention.config.model_type != "mistral":
        raise NotImplementedError("a window that the layers do not name")
    return configured


class Norm(nn.Module):
    """A root mean square norm as one operation; Gemma stores its weights minus 1."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        weight = norm.weight.detach()
        self.weight = (1.0 + weight.float()).to(weight.dtype) if "Gemma" in type(norm).__name__ else weight
        self.epsilon = norm.variance_epsilon if hasattr(norm, "variance_epsilon") else norm.eps

    def forward(self, inputs: Float[Tensor, "*rows width"]) -> Float[Tensor, "*rows width"]:
        if inputs.dtype != torch.float32 or inputs.device.type != "cpu":
            return nn.functional.rms_norm(inputs, self.weight.shape, self.weight, self.epsilon)
        # On a CPU, torch squares into a new array; the vector norm takes a quarter to a third of the time.
        size = torch.linalg.vector_norm(inputs, dim=-1, keepdim=True)
        return (inputs * size.square_().div_(inputs.shape[-1]).add_(self.epsilon).rsqrt_()).mul_(self.weight)


class FusedDecoder(nn.Module):
    """Called as a base model of transformers; without a cache it reads whole texts."""

    def __init__(self, base: Any, blocks: nn.ModuleList) -> None:
        super().__init__()
        self.base = (base,)  # in a tuple, so that its parameters are not this module's
        rotary = inspect.signature(base.rotary_emb.forward).parameters
        kinds = [getattr(block.self_attn, "layer_type", None) for block in blocks]
        self.by_kind = "layer_type" in rotary
        self.blocks = nn.ModuleList(
            FusedBlock(block, kind if self.by_kind else None)
            for block, kind in zip(blocks, kinds, strict=True)
        )
        self.norm = Norm(base.norm)

    def forward(
        self,
        input_ids: Int[Tensor, "text new"],
        attention_mask: Tensor,
        position_ids: Int[Tensor, "text new"],
        *,
        cache: Cache | None = None,
        use_cache: bool = True,
    ) -> Output:
        base = self.base[0]
        stream = base.embed_tokens(input_ids)
        real = attention_mask.bool()
        step = Step(real, {}, {}, {}, whole=cache is None and bool(real[:, 0].all()))
        for kind in {block.kind for block in self.blocks}:
            options = {"layer_type": kind} if self.by_kind else {}
            cosine, sine = (
                each.unsqueeze(2) for each in base.rotary_emb(stream, position_ids=position_ids, **options)
            )
            step.cosine[kind] = cosine
            step.sine[kind] = torch.cat(
                [-sine[..., : sine.shape[-1] // 2], sine[..., sine.shape[-1] // 2 :]], -1
            )
        layers = [None] * len(self.blocks) if cache is None else cache.layers
        for block, layer in zip(self.blocks, layers, strict=True):
            stream = block(stream, step, layer)
        return Output(self.norm(stream))


@torch.no_grad()
def fused(base: Any, blocks: nn.ModuleList) -> FusedDecoder | None:
    """The fused decoder, or None where its parts or states differ from the base model's."""
    weights = list(blocks.parameters())
    if len({weight.device for weight in weights}) > 1:
        return None
    if can_pack(weights[0]) and sum(weight.nbytes for weight in weights) > LARGEST_SHARE * total_memory():
        return None
    try:
        decoder = FusedDecoder(base, blocks)
        return decoder if _agrees(decoder, base, len(blocks)) else None
    except (AttributeError, NotImplementedError, TypeError, KeyError, ValueError, RuntimeError):
        return None


def _agrees(decoder: FusedDecoder, base: Any, depth: int) -> bool:
    """Compare states of two texts, one padded, and of one more cached token."""
    embedding = base.embed_tokens.weight
    length = 24
    places = torch.arange(2 * length, device=embedding.device).view(2, length)
    ids = (places * 7919 + 11) % embedding.shape[0]
    real = torch.ones_like(ids, dtype=torch.bool)
    real[1, :3] = False
    positions = (real.long().cumsum(1) - 1).clamp(min=0)
    theirs = base(
        input_ids=ids, attention_mask=real.long(), position_ids=positions, use_cache=False
    ).last_hidden_state
    cache = empty_cache(depth, length)
    parts = [
        decoder(
            input_ids=ids[:, part],
            attention_mask=real[:, : part.stop].long(),
            position_ids=positions[:, part],
            cache=cache,
        ).last_hidden_state
        for part in (slice(0, length - 1), slice(length - 1, length))
    ]
    ours = torch.cat(parts, dim=1)
    ours[0] = decoder(
        input_ids=ids[:1], attention_mask=real[:1].long(), position_ids=positions[:1]
    ).last_hidden_state
    apart = (ours - theirs)[real].float().norm(dim=-1) / theirs[real].float().norm(dim=-1)
    return bool(apart.mean() < TOLERANCE.get(ours.dtype, 0.0))
