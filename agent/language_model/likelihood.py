"""Likelihoods of texts under a language model, and its divergence from itself when steered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from agent.errors import BasinError
from agent.language_model.architecture import longest_sequence
from agent.language_model.hooks import HookedModel, Prefix
from agent.language_model.load import LanguageModelConfig
from agent.language_model.memory import BatchPolicy, within_memory
from agent.language_model.token_batches import TokenBatch, token_batches
from agent.language_model.token_counts import say_cut, token_lengths
from agent.steering.vector import SteeringVector


class ScoringModel(HookedModel):
    """A model with its tokenizer: texts in, nats out."""

    def __init__(
        self, model: Any, tokenizer: Any, config: LanguageModelConfig, batch_policy: BatchPolicy
    ) -> None:
        super().__init__(model, config.name)
        self.tokenizer, self.config, self.batch_policy = tokenizer, config, batch_policy

    def batches(
        self,
        texts: Sequence[str],
        prefixes: Sequence[str] | None = None,
        max_tokens: int | None = None,
        side: Literal["left", "right"] = "right",
    ) -> Iterator[TokenBatch]:
        """The texts as token batches on this model's device, by rising length."""
        limit = min(max_tokens or self.config.max_tokens, longest_sequence(self.model))
        size = self.batch_policy.tokens
        on_cut = self._say_cut if max_tokens is None else None  # otherwise a part is meant
        for batch in token_batches(
            self.tokenizer,
            texts,
            prefixes,
            max_tokens=limit,
            batch_tokens=size,
            side=side,
            rotation_limit=self.rotation_limit,
            on_cut=on_cut,
        ):
            yield batch.to(self.device)

    def say_cut(self, passages: Sequence[str]) -> None:
        """Warn if passages are longer than the model reads."""
        self._say_cut(token_lengths(self.tokenizer, passages), again=True)

    def _say_cut(self, lengths: Sequence[int], *, again: bool = False) -> None:
        longest, wanted = longest_sequence(self.model), self.config.max_tokens
        remedy = "give shorter ones (passages.tokens), or raise language_model.max_tokens"
        remedy = remedy if wanted < longest else "give shorter ones (passages.tokens)"
        what = f"texts are longer than {self.name} reads"
        say_cut(self.tokenizer, what, lengths, min(wanted, longest), remedy, again=again)

    @torch.no_grad()
    def losses(
        self, texts: Sequence[str], prefixes: Sequence[str] | None = None, max_tokens: int | None = None
    ) -> Float[np.ndarray, "text"]:
        """Mean negative log-likelihood of every text, in nats per token.

        A text is read after its prefix, whose own tokens are not scored. A text without a scored
        token gets NaN.
        """
        result = np.full(len(texts), np.nan)
        for whole in self.batches(texts, prefixes, max_tokens):
            for batch, (where, losses) in within_memory(
                whole, self._token_losses, self.batch_policy.read_less
            ):
                result[list(batch.rows)] = (losses.double().sum(1) / where.sum(1)).cpu().numpy()
        return result

    @torch.no_grad()
    def token_losses(
        self, texts: Sequence[str], prefixes: Sequence[str] | None = None, max_tokens: int | None = None
    ) -> list[Float[np.ndarray, "_token"]]:
        """Losses of each token in nats: an array per text, whose mean is `losses`."""
        result = [np.empty(0, dtype=np.float32) for _ in texts]
        for whole in self.batches(texts, prefixes, max_tokens):
            for batch, found in within_memory(whole, self._token_losses, self.batch_policy.read_less):
                where, losses = (each.cpu().numpy() for each in found)
                for row, counted, each in zip(batch.rows, where, losses, strict=True):
                    result[row] = each[counted]
        return result

    def _token_losses(
        self, batch: TokenBatch
    ) -> tuple[Bool[Tensor, "text following"], Float[Tensor, "text following"]]:
        """Which positions after the first are scored, and their losses in nats, else 0."""
        where = batch.scored[:, 1:]
        losses = torch.zeros(where.shape, device=self.device)
        losses[where] = self.output.losses(self.read(batch)[:, :-1][where], batch.ids[:, 1:][where])
        if losses.isnan().any():
            raise BasinError(
                f"Model {self.name!r} gave likelihoods that are not numbers: {self.overflow_remedy}."
            )
        return where, losses

    @torch.no_grad()
    def divergence(self, texts: Sequence[str], vector: SteeringVector, strength: float = 1.0) -> float:
        """KL(steered || base) of the next-token distribution on real texts, in nats per token."""
        batches = list(self.batches(texts))
        base = [self.states(batch) for batch in batches]
        nats: float = self.divergence_from(base, batches, strength * vector)
        return nats

    @torch.no_grad()
    def divergence_from(
        self,
        base: Sequence[Float[Tensor, "_text _token width"]],
        batches: Sequence[TokenBatch],
        vector: SteeringVector,
        *,
        prefixes: Sequence[Prefix | None] | None = None,
    ) -> float:
        """`divergence` from known `states` of the base model, and perhaps known prefixes."""
        total, count = 0.0, 0
        prefixes = [None] * len(batches) if prefixes is None else prefixes
        for batch, states, prefix in zip(batches, base, prefixes, strict=True):
            with self.steer(vector):
                steered = self.states(batch, prefix)
            divergences = self.output.divergences(steered[batch.pooled], states[batch.pooled])
            total += float(divergences.double().sum())
            count += int(batch.pooled.sum())
        return total / max(count, 1)
