"""A causal language model that can be recorded and steered: the only file that touches hooks.

Layer `l` is the residual stream after `l` blocks, transformers' `hidden_states[l]`; `1 <= l <= depth - 1`.
Steering at `l` adds to the output of block `l - 1`.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import itertools
import logging
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import transformers
from jaxtyping import Bool, Float, Int
from pydantic import Field
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import LogitsProcessor

from agent.errors import BasinError, first_sentence
from agent.hub.models import EMBEDDED, local_files_only, quiet_transformers, resolve_model
from agent.language_model.adapter import Adapter
from agent.language_model.architecture import (
    base_of,
    both_ways,
    choose_batch_tokens,
    choose_dtype,
    choose_layers,
    decoder_blocks,
    longest_sequence,
    reads_forward,
    refuse_other_kinds,
)
from agent.language_model.decoding.fused import FusedDecoder, fused
from agent.language_model.decoding.kv_cache import reads_token_by_token
from agent.language_model.decoding.loop import GenerationConfig, Writer
from agent.language_model.device_map import check_places, choose_devices, spread
from agent.language_model.memory import MemoryNeed, memory_at_hand, most, within_memory
from agent.language_model.output_layer import OutputLayer
from agent.language_model.token_batches import TokenBatch, token_batches
from agent.progress import advance
from agent.steering.gate import PLAIN, SteeringMode, TextSoFar, shifted
from agent.steering.vector import SteeringVector
from agent.types import StageConfig

logger = logging.getLogger(__name__)


class LanguageModelConfig(StageConfig):
    """Which model, where it runs, and which layers are read."""

    name: str = "smollm2-135m"
    """An embedded model, a hub id, a local folder, or a local GGUF file."""
    layers: tuple[int, ...] = ()
    """Recorded layers, rising; empty: those at 40, 60 and 80 % of the depth."""
    dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    """`auto`: bfloat16 where the hardware multiplies it natively, else float32."""
    device: str = "auto"
    """`auto`: the first CUDA device, else the CPU; `all`, or several with commas: the blocks are spread over them."""
    batch_tokens: int | None = Field(None, ge=1)
    """Read at a time, with padding; empty: 1,024 on a CPU, 4,096 elsewhere."""
    max_tokens: int = Field(512, ge=2)
    """Longer texts are cut."""
    trust_remote_code: bool = False
    """Let a model that is no part of transformers run the Python code that comes with it. It may do anything that you may."""


@dataclass(frozen=True)
class Prefix:
    """The part of a forward pass below the lowest steered layer, which steering does not change."""

    layer: int
    output: Any
    """What the block below `layer` returned, a tensor or a tuple as its architecture has it."""


@dataclass(frozen=True)
class Rows:
    """Which passages are written together."""

    rows: range

    def __len__(self) -> int:
        return len(self.rows)

    def halves(self) -> tuple[Rows, Rows]:
        middle = (len(self) + 1) // 2
        return Rows(self.rows[:middle]), Rows(self.rows[middle:])


@dataclass(frozen=True)
class TokenStates:
    """What a model made of one text, token by token."""

    text: int
    """Which of the texts handed in."""
    ends: Int[np.ndarray, "token"]
    """Characters read with each token, rising."""
    states: Float[np.ndarray, "token layer width"]
    """Residual stream, float32."""


class LanguageModel:
    """A frozen transformers model with its tokenizer. Its weights take no gradient; steering vectors may."""

    def __init__(self, model: Any, tokenizer: Any, config: LanguageModelConfig) -> None:
        check_places(model, config.name)
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.config = config
        self.blocks = decoder_blocks(model)
        self.depth = len(self.blocks)
        self.width: int = model.config.get_text_config().hidden_size
        self.layers = choose_layers(config.layers, self.depth, config.name)
        self.output = OutputLayer(model.get_output_embeddings(), model.config.get_text_config())
        self.batch_tokens = self._most_tokens = self._fit(self.need.reading(1), self._wanted_tokens)
        """Tokens of a batch, with its padding; fewer than configured where memory is too small for that."""
        self.batch_rows: int | None = None
        """Passages written at a time, where memory is too small for as many as configured."""

    @classmethod
    def load(cls, config: LanguageModelConfig) -> LanguageModel:
        """Load by name. Raises `BasinError` where no such model is in reach, or its layout is unknown."""
        path = resolve_model(config.name)
        device, *others = choose_devices(config.device)
        dtype = choose_dtype(config.dtype, device)
        if config.trust_remote_code:
            logger.info(
                f"WARNING: {config.name} may run code of its own on this machine (language_model.trust_remote_code)."
            )
        logger.info(
            f"language model: loading {config.name} in {str(dtype).removeprefix('torch.')} on {device}"
        )
        try:
            with quiet_transformers():
                how = {
                    "local_files_only": local_files_only(path),
                    "trust_remote_code": config.trust_remote_code,
                }
                tokenizer = transformers.AutoTokenizer.from_pretrained(path, **how)
                described = transformers.AutoConfig.from_pretrained(path, **how)
                refuse_other_kinds(described, config.name)
                if others:
                    how["device_map"] = spread(described, [device, *others])
                elif getattr(described, "quantization_config", None):
                    how["device_map"] = {"": device}  # packed weights are made where they stay
                # Safetensors alone: the older format of weights is a pickle.
                model = transformers.AutoModelForCausalLM.from_pretrained(
                    path, dtype=dtype, use_safetensors=True, **how
                )
        except ImportError as error:
            raise BasinError(
                f"Language model {config.name!r} needs a library that is not installed ({first_sentence(error)}): install it, "
                "or name a model whose weights are not quantised."
            ) from error
        except (OSError, ValueError) as error:
            raise BasinError(
                f"Language model {config.name!r} could not be loaded ({first_sentence(error)}): name an "
                f"embedded model ({', '.join(EMBEDDED)}), a local folder, or a hub model while the hub "
                "is in reach, whose weights are safetensors."
            ) from error
        loaded = cls(model if "device_map" in how else model.to(device), tokenizer, config)
        if not reads_forward(loaded.model):
            raise both_ways(config.name)
        return loaded

    @property
    def device(self) -> torch.device:
        return self.output.head.weight.device

    def _place(self, layer: int) -> torch.device:
        """Where the block is whose output is the residual stream at this layer."""
        return next(self.blocks[layer - 1].parameters()).device

    @cached_property
    def need(self) -> MemoryNeed:
        """What memory its work takes."""
        return MemoryNeed.of(self.model)

    @property
    def _wanted_tokens(self) -> int:
        """Of a batch, where memory allows."""
        return choose_batch_tokens(self.config.batch_tokens, self.device)

    def _fit(self, need_of_one: int, wanted: int) -> int:
        return most(need_of_one, wanted, memory_at_hand(self.device) - 2 * self.need.weights)

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits that change with whatever recorded activations depend on."""
        digest = hashlib.sha256(
            self.config.model_copy(update={"batch_tokens": self._wanted_tokens})
            .model_dump_json(exclude={"device", "dtype", "trust_remote_code"})
            .encode()
        )
        digest.update(repr((self.layers, self.device.type)).encode())
        for name, weight in self.model.state_dict().items():
            stride = max(1, weight.numel() // 4096)
            digest.update(f"{name} {tuple(weight.shape)} {weight.dtype}".encode())
            digest.update(weight.detach().flatten()[::stride].float().cpu().numpy().tobytes())
        return digest.hexdigest()[:16]

    def reading(self, layers: Sequence[int]) -> LanguageModel:
        """The same model, recorded at other layers. Raises `BasinError` for layers that it has not."""
        return LanguageModel(
            self.model, self.tokenizer, self.config.model_copy(update={"layers": tuple(layers)})
        )

    def chat(self, question: str) -> str | None:
        """A question in the model's own chat format, ready for the answer; None where it has none."""
        if not getattr(self.tokenizer, "chat_template", None):
            return None
        turn = [{"role": "user", "content": question}]
        return str(self.tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True))

    def twin(self) -> Any:
        """The transformers model again, of the very same weights: what is done to its modules leaves this one alone."""
        shared = itertools.chain(self.model.parameters(), self.model.buffers())
        return copy.deepcopy(self.model, {id(tensor): tensor for tensor in shared})

    def adapted(self, adapter: Adapter | None) -> LanguageModel:
        """This model as the adapter has it, this one itself for None; only adapted weights take memory of their own.

        Raises `BasinError` for another model's adapter.
        """
        if adapter is None:
            return self
        model = self.twin()
        adapter.merge_into(model)
        return LanguageModel(model, self.tokenizer, self.config)

    def save(self, folder: Path) -> None:
        """Write weights and tokenizer as a model folder, the configuration last: with it the folder counts as a model.

        Raises `BasinError` where the folder cannot be written.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder) as draft, quiet_transformers():
                self.model.save_pretrained(draft)
                self.tokenizer.save_pretrained(draft)
                for file in sorted(Path(draft).iterdir(), key=lambda file: file.name == "config.json"):
                    file.replace(folder / file.name)
        except (OSError, SafetensorError) as error:
            raise BasinError(f"The model cannot be written to {folder} ({error}); make room there.") from None

    @torch.inference_mode()
    def record(
        self, texts: Sequence[str], batches: Iterable[TokenBatch] | None = None
    ) -> Float[np.ndarray, "text layer width"]:
        """Mean residual stream of every text at `self.layers`, float32.

        The mean is over the text's own tokens but the first position (see `TokenBatch.pooled`). Nothing is
        computed above the last recorded layer, and only the means leave the hooks. Raises `BasinError` for a
        text without a token, and where an activation is not finite.

        Args:
            batches: `self.batches(texts)`, where they were made before.
        """
        result = np.zeros((len(texts), len(self.layers), self.width), dtype=np.float32)
        for batch in self.batches(texts) if batches is None else batches:
            if not batch.pooled.any(1).all():
                empty = batch.rows[int((~batch.pooled.any(1)).nonzero()[0])]
                raise BasinError(
                    f"Text number {empty + 1} of {len(texts)} has no words to record: leave it out."
                )
            for part, means in within_memory(batch, self._pooled, self._reads_less):
                result[list(part.rows)] = means
        if not np.isfinite(result).all():
            layer = self.layers[int(np.argwhere(~np.isfinite(result))[0][1])]
            raise BasinError(
                f"Model {self.config.name!r} gave activations at layer {layer} that are not finite: "
                "use dtype float32."
            )
        return result

    def _pooled(self, batch: TokenBatch) -> Float[np.ndarray, "text layer width"]:
        weights = batch.pooled.float() / batch.pooled.sum(1, keepdim=True)
        means = self._taken(batch, lambda stream: torch.einsum("btd,bt->bd", stream.float(), weights).cpu())
        return torch.stack(means, dim=1).numpy()

    @torch.inference_mode()
    def token_states(self, texts: Sequence[str]) -> Iterator[TokenStates]:
        """The residual stream at `self.layers` of every token that a mean would count, text by text, shortest first.

        Memory is that of one batch. Raises `BasinError` where an activation is not finite.
        """
        for whole in self.batches(texts):
            for batch, streams in within_memory(whole, self._streams, self._reads_less):
                for row, text in enumerate(batch.rows):
                    counted = batch.pooled[row].cpu()
                    states = streams[row][counted]
                    if not torch.isfinite(states).all():
                        raise BasinError(
                            f"Model {self.config.name!r} gave activations that are not finite: use dtype float32."
                        )
                    yield TokenStates(text, batch.ends[row].cpu()[counted].numpy(), states.numpy())

    def _streams(self, batch: TokenBatch) -> Float[Tensor, "text token layer width"]:
        return torch.stack(self._taken(batch, lambda stream: stream.float().cpu()), dim=2)

    def _reads_less(self, rows: int) -> None:
        """Memory was too small for a batch of tokens: the next ones are half as large."""
        if self.batch_tokens == self._most_tokens:
            logger.info(
                f"Memory is too small for batches of {self.batch_tokens} tokens: halved, and on (language_model.batch_tokens)."
            )
        self.batch_tokens = max(1, self.batch_tokens // 2)

    def _writes_less(self, rows: int) -> None:
        if self.batch_rows is None:
            logger.info(
                f"Memory is too small to write as many passages at a time: {rows}, and on (generation.batch_size)."
            )
        self.batch_rows = rows

    def _taken(self, batch: TokenBatch, take: Callable[[Tensor], Tensor]) -> list[Tensor]:
        """What `take` makes of the residual stream at each recorded layer; nothing is computed above the last."""
        taken: dict[int, Tensor] = {}

        def reader(layer: int) -> Callable[..., None]:
            def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
                taken[layer] = take(_stream(output).to(self.device))
                if layer == self.layers[-1]:
                    raise _LastLayerReached

            return hook

        hooks = {layer: reader(layer) for layer in self.layers}
        with self._hooked(hooks), contextlib.suppress(_LastLayerReached):
            self._read(batch)
        return [taken[layer] for layer in self.layers]

    @contextlib.contextmanager
    def steer(
        self,
        vector: SteeringVector | None | Sequence[SteeringVector | None],
        strength: float | Sequence[float] = 1.0,
        mode: SteeringMode = PLAIN,
    ) -> Iterator[None]:
        """Add `strength * vector` to the residual stream at every position; `None` steers nothing.

        With several vectors or strengths every text of a batch has its own, in order.
        `manner` may keep every position's length, or spend less of the strength on a text that is inside already.
        The hooks go when the block is left, however it is left. Raises `BasinError` where the vector belongs
        to a model of another width or depth, and where the gate is not at the lowest layer that is steered.
        """
        vectors = [SteeringVector({}) if each is None else each for each in _listed(vector)]
        for each in vectors:
            if each.width not in (0, self.width) or max(each.layers, default=0) >= self.depth:
                raise BasinError(
                    f"A steering vector of width {each.width} for layers {list(each.layers)} does not fit "
                    f"{self.config.name!r} (width {self.width}, layers 1 to {self.depth - 1}): make one for it."
                )
        shifts = self._shifts(vectors, _listed(strength))
        layers = tuple(sorted(shifts))
        gate = mode.gate if layers else None
        if gate and (gate.layer != layers[0] or len(gate.direction) != self.width):
            raise BasinError(
                f"A gate of width {len(gate.direction)} at layer {gate.layer} cannot steer layers "
                f"{list(layers)} of {self.config.name!r}: find one at the lowest of them."
            )
        text = TextSoFar(gate, self._place(layers[0])) if gate else None
        gate_value: list[Tensor | None] = [None]

        def adder(layer: int, shift: Tensor) -> Callable[..., Any]:
            def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
                stream = _stream(output)
                if text and layer == layers[0]:
                    gate_value[0] = text.gate_value(stream)
                open_here = None if gate_value[0] is None else gate_value[0].to(stream.device)
                stream = shifted(stream, shift, open_here, mode.norm_preserving)
                return (stream, *output[1:]) if isinstance(output, tuple) else stream

            return hook

        with (
            self._announced(text),
            self._hooked({layer: adder(layer, shift) for layer, shift in shifts.items()}),
        ):
            yield

    def _shifts(
        self, vectors: Sequence[SteeringVector], strengths: Sequence[float]
    ) -> dict[int, Float[Tensor, "..."]]:
        """What is added at each layer, in the model's own format: one row, or one for every text."""
        dtype = self.output.head.weight.dtype
        if len(vectors) == len(strengths) == 1:
            return {
                layer: (strengths[0] * each).to(self._place(layer), dtype)
                for layer, each in vectors[0].directions.items()
            }
        rows = max(len(vectors), len(strengths))
        if {len(vectors), len(strengths)} - {1, rows}:
            raise BasinError(
                f"{len(vectors)} steering vectors and {len(strengths)} strengths do not pair up: give one for every text."
            )
        pairs = list(
            zip(vectors * (rows // len(vectors)), [*strengths] * (rows // len(strengths)), strict=True)
        )
        nothing = torch.zeros(self.width)
        return {
            layer: torch.stack(
                [strength * vector.directions.get(layer, nothing) for vector, strength in pairs]
            ).to(self._place(layer), dtype)[:, None]
            for layer in sorted({layer for vector in vectors for layer in vector.layers})
        }

    @contextlib.contextmanager
    def _announced(self, text: TextSoFar | None) -> Iterator[None]:
        """Tell `text` of every forward pass before it begins."""

        def hook(_module: nn.Module, _inputs: Any, options: dict[str, Any]) -> None:
            text.begin(options)

        # Some architectures generate without calling their base model as a whole, and `states` calls nothing else.
        tops = (
            []
            if text is None
            else [self.model, base_of(self.model), *([] if self.fused is None else [self.fused])]
        )
        with contextlib.ExitStack() as stack:
            for top in tops:
                stack.callback(top.register_forward_pre_hook(hook, with_kwargs=True).remove)
            yield

    @contextlib.contextmanager
    def _hooked(self, hooks: dict[int, Callable[..., Any]]) -> Iterator[None]:
        # Made before anything is hooked: its trial compares it with the model as it is.
        stacks = [self.blocks, *([] if self.fused is None else [self.fused.blocks])]
        with contextlib.ExitStack() as stack:
            for layer, hook in hooks.items():
                for blocks in stacks:
                    stack.callback(blocks[layer - 1].register_forward_hook(hook).remove)
            yield

    def batches(
        self,
        texts: Sequence[str],
        prefixes: Sequence[str] | None = None,
        max_tokens: int | None = None,
        side: Literal["left", "right"] = "right",
    ) -> Iterator[TokenBatch]:
        """The texts as token batches on this model's device, by rising length."""
        limit = min(max_tokens or self.config.max_tokens, longest_sequence(self.model))
        for batch in token_batches(self.tokenizer, texts, prefixes, limit, self.batch_tokens, side):
            yield batch.to(self.device)

    def prefix(self, batch: TokenBatch, layer: int) -> Prefix:
        """What the blocks below `layer` make of a batch, for running the rest of the model several times."""
        outputs: list[Any] = []

        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            outputs.append(output)
            raise _LastLayerReached

        with torch.no_grad(), self._hooked({layer: hook}), contextlib.suppress(_LastLayerReached):
            self.states(batch)
        return Prefix(layer, outputs[0])

    @contextlib.contextmanager
    def _resumed(self, prefix: Prefix | None) -> Iterator[None]:
        """Blocks below the prefix's layer do not run while this is open: they hand on what it holds."""
        skipped = [] if prefix is None else self.blocks[: prefix.layer]
        own = [vars(block).get("forward") for block in skipped]  # a model on several devices has some
        for block in skipped:
            block.forward = lambda *_args, **_options: prefix.output
        try:
            yield
        finally:
            for block, forward in zip(skipped, own, strict=True):
                del block.forward
                if forward is not None:
                    block.forward = forward

    def states(self, batch: TokenBatch, prefix: Prefix | None = None) -> Float[Tensor, "text token width"]:
        """Final hidden states after the last norm, as `output` reads them; a vector may take gradients."""
        with self._resumed(prefix):
            return base_of(self.model)(
                input_ids=batch.ids,
                attention_mask=batch.real.long(),
                position_ids=batch.positions,
                use_cache=False,
            ).last_hidden_state.to(self.device)

    def _read(self, batch: TokenBatch) -> Float[Tensor, "text token width"]:
        """`states` where no gradient is wanted, by the fused decoder if there is one."""
        if self.fused is None:
            return self.states(batch)
        return self.fused(
            input_ids=batch.ids, attention_mask=batch.real.long(), position_ids=batch.positions
        ).last_hidden_state

    @torch.no_grad()
    def losses(
        self, texts: Sequence[str], prefixes: Sequence[str] | None = None, max_tokens: int | None = None
    ) -> Float[np.ndarray, "text"]:
        """Mean negative log-likelihood of every text, in nats per token.

        With prefixes, a text is read after its prefix, whose own tokens are not counted. A text with nothing
        to predict (no token, or only a sequence's first) gets NaN.
        """
        result = np.full(len(texts), np.nan)
        for whole in self.batches(texts, prefixes, max_tokens):
            for batch, (where, losses) in within_memory(whole, self._token_losses, self._reads_less):
                result[list(batch.rows)] = (losses.double().sum(1) / where.sum(1)).cpu().numpy()
        return result

    @torch.no_grad()
    def token_losses(
        self, texts: Sequence[str], prefixes: Sequence[str] | None = None, max_tokens: int | None = None
    ) -> list[Float[np.ndarray, "_token"]]:
        """The same token by token: of every text an array in reading order, whose mean `losses` gives."""
        result = [np.empty(0, dtype=np.float32) for _ in texts]
        for whole in self.batches(texts, prefixes, max_tokens):
            for batch, found in within_memory(whole, self._token_losses, self._reads_less):
                where, losses = (each.cpu().numpy() for each in found)
                for row, counted, each in zip(batch.rows, where, losses, strict=True):
                    result[row] = each[counted]
        return result

    def _token_losses(
        self, batch: TokenBatch
    ) -> tuple[Bool[Tensor, "text following"], Float[Tensor, "text following"]]:
        """Which positions after the first are scored, and their losses in nats, 0 where not."""
        where = batch.scored[:, 1:]
        losses = torch.zeros(where.shape, device=self.device)
        losses[where] = self.output.losses(self._read(batch)[:, :-1][where], batch.ids[:, 1:][where])
        if losses.isnan().any():
            raise BasinError(
                f"Model {self.config.name!r} gave likelihoods that are not numbers: use dtype float32."
            )
        return where, losses

    @torch.no_grad()
    def divergence(
        self, texts: Sequence[str], vector: SteeringVector, strength: float = 1.0, mode: SteeringMode = PLAIN
    ) -> float:
        """KL(steered || base) of the next-token distribution on real texts, in nats per token."""
        batches = list(self.batches(texts))
        base = [self.states(batch) for batch in batches]
        return self.divergence_from(base, batches, strength * vector, mode=mode)

    @torch.no_grad()
    def divergence_from(
        self,
        base: Sequence[Float[Tensor, "_text _token width"]],
        batches: Sequence[TokenBatch],
        vector: SteeringVector,
        *,
        prefixes: Sequence[Prefix | None] | None = None,
        mode: SteeringMode = PLAIN,
    ) -> float:
        """`divergence` where the base model's final states, and perhaps prefixes, are at hand already."""
        total, count = 0.0, 0
        prefixes = [None] * len(batches) if prefixes is None else prefixes
        for batch, states, prefix in zip(batches, base, prefixes, strict=True):
            with self.steer(vector, mode=mode):
                steered = self.states(batch, prefix)
            total += float(
                self.output.divergences(steered[batch.pooled], states[batch.pooled]).double().sum()
            )
            count += int(batch.pooled.sum())
        return total / max(count, 1)

    @cached_property
    def _writer(self) -> Writer:
        base, output = base_of(self.model), self.output
        if self.fused is not None:
            base, output = self.fused, self.output.packed()
        elif not reads_token_by_token(base, self.depth):
            base = None
            logger.info(
                f"{self.config.name} keeps no keys and values: it writes by transformers' own loop, which is slower."
            )
        return Writer(self.model, base, self.depth, output, self.tokenizer)

    @cached_property
    def fused(self) -> FusedDecoder | None:
        """The decoder that reads and writes where no gradient is wanted, if it is built so that it can be fused."""
        return fused(base_of(self.model), self.blocks)

    @torch.inference_mode()
    def generate(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        config: GenerationConfig,
        vector: SteeringVector | None | Sequence[SteeringVector | None] = None,
        strength: float | Sequence[float] = 1.0,
        *,
        mode: SteeringMode = PLAIN,
        processors: Sequence[LogitsProcessor] = (),
    ) -> list[str]:
        """Continuations of the prompts, without the prompts, each sampled with its own seed.

        Several vectors or strengths are one for every prompt: a batch may hold texts steered each in its own way.
        `processors` change the next-token scores before the sampler draws. A passage depends on its prompt and its
        seed; its batch enters only through floating-point rounding.
        Raises `BasinError` for a prompt without a token, or one that leaves no room for `new_tokens`.
        """
        texts: list[str] = []
        writer = self._writer
        longest = config.new_tokens + max(map(len, prompts), default=0) // 3
        largest = self._fit(self.need.writing(1, longest), config.batch_size)
        own = [isinstance(each, Sequence) for each in (vector, strength)]
        if any(len(each) != len(prompts) for each in (vector, strength) if isinstance(each, Sequence)):
            raise BasinError(
                f"Steer all prompts alike, or give a vector or strength for each of the {len(prompts)}."
            )

        def write(part: Rows) -> list[str]:
            rows = list(part.rows)
            vectors = [vector[row] for row in rows] if own[0] else vector
            strengths = [strength[row] for row in rows] if own[1] else strength
            with self.steer(vectors, strengths, mode):
                return writer.continuations(
                    [prompts[row] for row in rows], [seeds[row] for row in rows], config, processors
                )

        with quiet_transformers():
            while len(texts) < len(prompts):
                size = min(self.batch_rows or largest, largest)
                rows = Rows(range(len(texts), min(len(texts) + size, len(prompts))))
                for _, written in within_memory(rows, write, self._writes_less):
                    texts += written
                advance("generate", len(texts), len(prompts), "passages")
        return texts


class _LastLayerReached(Exception):
    """Ends a forward pass above which nothing is read."""


def _listed(each: Any) -> list[Any]:
    return list(each) if isinstance(each, Sequence) else [each]


def _stream(output: Any) -> Tensor:
    return output[0] if isinstance(output, tuple) else output
