"""A causal language model that records activations, scores texts and generates, steered or not.

`load.py` finds it, `hooks.py` reads and steers its residual stream, `likelihood.py` scores,
`decoding/` generates.
"""

from __future__ import annotations

import copy
import hashlib
import itertools
import logging
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import LogitsProcessor

from agent.errors import BasinError, first_sentence, writing
from agent.hub.quiet import quiet_transformers
from agent.language_model.adapter import Adapter
from agent.language_model.architecture import base_of, choose_batch_tokens, choose_layers
from agent.language_model.decoding.config import GenerationConfig, ParticleConfig
from agent.language_model.decoding.kv_cache import reads_token_by_token
from agent.language_model.decoding.loop import Draft, Writer
from agent.language_model.decoding.particles import Particles, Tilt, particle_seeds, sample
from agent.language_model.hooks import Strengths, Vectors
from agent.language_model.identity import ModelIdentity
from agent.language_model.likelihood import ScoringModel
from agent.language_model.load import LanguageModelConfig, check_places, load_model
from agent.language_model.memory import BatchPolicy, MemoryNeed, Rows, within_memory
from agent.language_model.token_batches import TokenBatch
from agent.progress import advance
from agent.steering.vector import SteeringVector

logger = logging.getLogger(__name__)

Written = TypeVar("Written")


@dataclass(frozen=True)
class TokenStates:
    """The residual stream of one text, token by token."""

    text: int
    """Index of the text."""
    ends: Int[np.ndarray, "token"]
    """Characters read with each token, rising."""
    states: Float[np.ndarray, "token layer width"]
    """Residual stream, float32."""


class LanguageModel(ScoringModel):
    """A model with its tokenizer and recorded layers; immutable except for its batch policy.

    Args:
        batch_policy: batch sizes, shared by models of the same weights; None: those that the
            configuration asks for.
        known_identity: of the model, where it was made before.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        config: LanguageModelConfig,
        batch_policy: BatchPolicy | None = None,
        *,
        known_identity: ModelIdentity | None = None,
    ) -> None:
        check_places(model, config.name)
        device = model.get_output_embeddings().weight.device
        self._wanted_tokens = choose_batch_tokens(config.batch_tokens, device)
        policy = batch_policy or BatchPolicy(MemoryNeed.of(model), device, self._wanted_tokens)
        super().__init__(model, tokenizer, config, policy)
        self._known = known_identity
        self.layers = choose_layers(config.layers, self.depth, config.name)

    @classmethod
    def load(cls, config: LanguageModelConfig) -> LanguageModel:
        """Load by name; raises as `agent.language_model.load.load_model`."""
        return cls(*load_model(config), config)

    @property
    def need(self) -> MemoryNeed:
        """Memory that the model's work takes."""
        return self.batch_policy.need

    @property
    def batch_tokens(self) -> int:
        """Tokens of a batch, with its padding."""
        return self.batch_policy.tokens

    @cached_property
    def identity(self) -> ModelIdentity:
        """Digests of the weights, settings and tokenizer."""
        return self._known or ModelIdentity.of(self.model, self.tokenizer)

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits that change with all that recorded activations depend on."""
        settings = (self.layers, self.config.max_tokens, self._wanted_tokens, self.device.type)
        return hashlib.sha256(repr((self.identity.digest, settings)).encode()).hexdigest()[:16]

    def reading(self, layers: Sequence[int]) -> LanguageModel:
        """The same model, recorded at other layers. Raises `BasinError` for layers that it lacks."""
        config = self.config.model_copy(update={"layers": tuple(layers)})
        return LanguageModel(
            self.model, self.tokenizer, config, self.batch_policy, known_identity=self.identity
        )

    def chat(self, question: str) -> str | None:
        """A question in the model's chat format, ready for the answer; None without a format.

        Raises `BasinError` where the model's template fails, or leaves the question out.
        """
        if not getattr(self.tokenizer, "chat_template", None):
            return None
        turn = [{"role": "user", "content": question}]
        try:
            asked = str(self.tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True))
        except Exception as error:  # templates are programs of the model's authors
            raise _wrong_template(self.name, first_sentence(error)) from error
        if question.strip() not in asked:
            raise _wrong_template(self.name, "it leaves the question out")
        return asked

    def twin(self) -> Any:
        """A transformers model with modules of its own and the same weights in memory."""
        shared = itertools.chain(self.model.parameters(), self.model.buffers())
        return copy.deepcopy(self.model, {id(tensor): tensor for tensor in shared})

    def adapted(self, adapter: Adapter | None) -> LanguageModel:
        """The model with the adapter merged, sharing all other weights; itself for None.

        Raises `BasinError` for another model's adapter.
        """
        if adapter is None:
            return self
        model = self.twin()
        adapter.merge_into(model)
        return LanguageModel(model, self.tokenizer, self.config, self.batch_policy)

    def save(self, folder: Path) -> None:
        """Write weights and tokenizer as a model folder; its configuration, last, completes it.

        Raises `BasinError` where the folder cannot be written.
        """
        with writing(folder, "make room there"):
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder) as draft, quiet_transformers():
                self.model.save_pretrained(draft)
                self.tokenizer.save_pretrained(draft)
                for file in sorted(Path(draft).iterdir(), key=lambda file: file.name == "config.json"):
                    file.replace(folder / file.name)

    @torch.inference_mode()
    def record(
        self, texts: Sequence[str], batches: Iterable[TokenBatch] | None = None
    ) -> Float[np.ndarray, "text layer width"]:
        """Mean residual stream of every text at `self.layers`, float32.

        The mean is over the text's own tokens except the first position, see `TokenBatch.pooled`.

        Args:
            batches: `self.batches(texts)`, if made before.

        Raises:
            BasinError: a text has no token, or an activation is not finite.
        """
        result = np.zeros((len(texts), len(self.layers), self.width), dtype=np.float32)
        for batch in self.batches(texts) if batches is None else batches:
            if not batch.pooled.any(1).all():
                empty = batch.rows[int((~batch.pooled.any(1)).nonzero()[0])]
                raise BasinError(
                    f"Text number {empty + 1} of {len(texts)} has no words to record: leave it out."
                )
            for part, means in within_memory(batch, self._pooled, self.batch_policy.read_less):
                result[list(part.rows)] = means
        if not np.isfinite(result).all():
            layer = self.layers[int(np.argwhere(~np.isfinite(result))[0][1])]
            raise BasinError(
                f"Model {self.name!r} gave activations at layer {layer} that are not finite: {self.overflow_remedy}."
            )
        return result

    def _pooled(self, batch: TokenBatch) -> Float[np.ndarray, "text layer width"]:
        weights = batch.pooled.float() / batch.pooled.sum(1, keepdim=True)
        means = self.read_layers(
            batch, self.layers, lambda stream: torch.einsum("btd,bt->bd", stream.float(), weights).cpu()
        )
        pooled: np.ndarray = torch.stack(means, dim=1).numpy()
        return pooled

    @torch.inference_mode()
    def token_states(self, texts: Sequence[str]) -> Iterator[TokenStates]:
        """The residual stream at `self.layers` of every pooled token, text by text, shortest first.

        Memory is that of one batch. Raises `BasinError` where an activation is not finite, or the
        tokenizer cannot say which characters a token has.
        """
        if not self.tokenizer.is_fast:
            raise BasinError(
                f"The tokenizer of {self.name!r} does not say which characters a token has, so its texts cannot be read "
                "token by token: use a model with a fast tokenizer (tokenizer.json)."
            )
        for whole in self.batches(texts):
            for batch, streams in within_memory(whole, self._streams, self.batch_policy.read_less):
                for row, text in enumerate(batch.rows):
                    counted = batch.pooled[row].cpu()
                    states = streams[row][counted]
                    if not torch.isfinite(states).all():
                        raise BasinError(
                            f"Model {self.name!r} gave activations that are not finite: {self.overflow_remedy}."
                        )
                    yield TokenStates(text, batch.ends[row].cpu()[counted].numpy(), states.numpy())

    def _streams(self, batch: TokenBatch) -> Float[Tensor, "text token layer width"]:
        return torch.stack(self.read_layers(batch, self.layers, lambda stream: stream.float().cpu()), dim=2)

    @cached_property
    def _writer(self) -> Writer:
        base, output = base_of(self.model), self.output
        if self.fused is not None:
            base, output = self.fused, self.output.packed()
        elif not reads_token_by_token(base, self.depth):
            base = None
            logger.info(
                f"{self.name} keeps no keys and values: it generates by transformers' own, slower loop."
            )
        return Writer(self.model, base, output, self.tokenizer, self.rotation_limit)

    @torch.inference_mode()
    def generate(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        config: GenerationConfig,
        vector: Vectors = None,
        strength: Strengths = 1.0,
        *,
        processors: Sequence[LogitsProcessor] = (),
    ) -> list[str]:
        """Continuations of the prompts, without the prompts, each sampled with its own seed.

        A passage depends on its prompt and its seed; its batch enters only through floating-point
        rounding.

        Args:
            vector, strength: one for all prompts, or one for each.
            processors: change the next-token scores before sampling.

        Raises:
            BasinError: a prompt has no token or leaves no room for `new_tokens`, or vectors do not
                match prompts.
        """
        if any(len(each) != len(prompts) for each in (vector, strength) if isinstance(each, Sequence)):
            raise BasinError(
                f"Steer all prompts alike, or give a vector or strength for each of the {len(prompts)}."
            )

        def write(part: Rows) -> list[str]:
            rows = part.rows
            with self.steer(_of_rows(vector, rows), _of_rows(strength, rows)):
                openings, own = [prompts[row] for row in rows], [seeds[row] for row in rows]
                draft = Draft(self._writer, openings, own, config, processors)
                draft.write(config.new_tokens)
            return draft.texts()

        return self._in_batches(prompts, config, write)

    @torch.inference_mode()
    def generate_particles(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        config: GenerationConfig,
        tilt: Tilt,
        particles: ParticleConfig,
        *,
        vector: SteeringVector | None = None,
    ) -> list[Particles]:
        """Weighted continuations of each prompt, sampled from p(x) exp(lambda phi(x)) / Z.

        p is what `generate` samples from, with the same vector. One particle is the passage of
        `generate` with the same seed. Raises as `generate`, and `BasinError` for a score that is
        not a number.
        """
        copies = particles.particles

        def write(part: Rows) -> list[Particles]:
            here = [seeds[row] for row in part.rows]
            openings = [prompts[row] for row in part.rows for _ in range(copies)]
            draft = Draft(self._writer, openings, particle_seeds(here, copies), config)

            def block(tokens: int) -> None:  # the score is read without the vector
                with self.steer(vector):
                    draft.write(tokens)

            return sample(draft, here, block, tilt, particles)

        return self._in_batches(prompts, config, write, copies)

    def _in_batches(
        self,
        prompts: Sequence[str],
        config: GenerationConfig,
        write: Callable[[Rows], Sequence[Written]],
        copies: int = 1,
    ) -> list[Written]:
        """`write` of every prompt, with `copies` passages each, in batches that fit into memory."""
        longest = config.new_tokens + max(map(len, prompts), default=0) // 3
        policy, found = self.batch_policy, dict[int, Written]()

        def shrunk(openings: int) -> None:
            policy.generate_less(openings * copies)

        with quiet_transformers():
            for waiting in self._writer.groups(prompts, config.new_tokens):
                while waiting:
                    size = max(1, policy.passages(config.batch_size, longest) // copies)
                    rows, waiting = Rows(waiting[:size]), waiting[size:]
                    for part, written in within_memory(rows, write, shrunk):
                        found.update(zip(part.rows, written, strict=True))
                    advance("generate", len(found), len(prompts), "passages")
        return [found[row] for row in range(len(prompts))]


_loaded: dict[LanguageModelConfig, LanguageModel] = {}


def loaded(config: LanguageModelConfig) -> LanguageModel:
    """The configured model, loaded once in a process that works for others."""
    if config not in _loaded:
        _loaded[config] = LanguageModel.load(config)
    return _loaded[config]


def keep_loaded(language_model: LanguageModel) -> None:
    """Let `loaded` return this model."""
    _loaded[language_model.config] = language_model


def _wrong_template(name: str, why: str) -> BasinError:
    return BasinError(
        f"The chat template of {name!r} does not work ({why}): correct chat_template in its tokenizer's files, or "
        "remove it to ask without one."
    )


def _of_rows(each: Any, rows: Sequence[int]) -> Any:
    """Some of the values, or the one value for all rows."""
    return [each[row] for row in rows] if isinstance(each, Sequence) else each
