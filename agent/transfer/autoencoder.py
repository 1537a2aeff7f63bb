"""A small autoencoder with a code shared by two models: the only nonlinear map between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from agent.errors import BasinError

HIDDEN = 512
BASES = 512
"""Activations over which the displacement of a direction is averaged."""


@dataclass(frozen=True)
class Autoencoder:
    """Two encoders into one code and two decoders (crossmodal autoencoding)."""

    code: int = 128
    steps: int = 400
    batch: int = 512
    learning_rate: float = 2e-3

    def fit(
        self, x: Float[np.ndarray, "token source"], y: Float[np.ndarray, "token target"], seed: int
    ) -> CodedMap:
        """Trained on pairs in memory. Raises `BasinError` where training diverges."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            spaces = [_Standard.of(x), _Standard.of(y)]
            data = [space.into(each) for space, each in zip(spaces, (x, y), strict=True)]
            coders = nn.ModuleList(_mlp(each.shape[1], self.code) for each in data)
            decoders = nn.ModuleList(_mlp(self.code, each.shape[1]) for each in data)
            parameters = [*coders.parameters(), *decoders.parameters()]
            optimiser = torch.optim.AdamW(parameters, lr=self.learning_rate, weight_decay=0.01)
            schedule = torch.optim.lr_scheduler.OneCycleLR(
                optimiser, self.learning_rate, total_steps=self.steps
            )
            for _ in range(self.steps):
                rows = torch.randint(len(x), (self.batch,))
                codes = [coder(each[rows]) for coder, each in zip(coders, data, strict=True)]
                loss = sum(
                    nn.functional.mse_loss(decoder(code), each[rows])
                    for code in codes
                    for decoder, each in zip(decoders, data, strict=True)
                )
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
            if not torch.isfinite(loss):
                raise BasinError(
                    "The autoencoder did not train (its loss is not a number): leave that map out."
                )
            bases = data[0][torch.randperm(len(x))[:BASES]]
        return CodedMap(coders[0].requires_grad_(False), decoders[1].requires_grad_(False), spaces, bases)


@dataclass(frozen=True, eq=False)
class CodedMap:
    """x encoded, then decoded as y."""

    coder: nn.Module
    decoder: nn.Module
    spaces: Sequence[_Standard]
    bases: Float[Tensor, "base source"]

    def apply(self, x: Float[np.ndarray, "token source"]) -> Float[np.ndarray, "token target"]:
        return self.spaces[1].out_of(self.decoder(self.coder(self.spaces[0].into(x))))

    def direction(self, vector: Float[np.ndarray, "source"]) -> Float[np.ndarray, "target"]:
        """Mean displacement of decoded activations when the vector is added to real ones."""
        moved = self.bases + torch.from_numpy(vector.astype(np.float32)) / self.spaces[0].deviation
        displaced = self.decoder(self.coder(moved)) - self.decoder(self.coder(self.bases))
        return np.asarray((displaced.mean(0) * self.spaces[1].deviation).numpy().astype(np.float64))

    def unexplained(
        self, x: Float[np.ndarray, "token source"], y: Float[np.ndarray, "token target"]
    ) -> float:
        """As `LinearMap.unexplained`, from held-out pairs themselves."""
        errors, variance = ((y - self.apply(x)) ** 2).mean(0), y.var(0)
        return float((errors[variance > 0] / variance[variance > 0]).mean())


@dataclass(frozen=True, eq=False)
class _Standard:
    mean: Float[Tensor, "width"]
    deviation: Float[Tensor, "width"]

    @classmethod
    def of(cls, values: Float[np.ndarray, "token width"]) -> _Standard:
        tensor = torch.from_numpy(values)
        return cls(tensor.mean(0), tensor.std(0) + 1e-6)

    def into(self, values: Float[np.ndarray, "token width"]) -> Float[Tensor, "token width"]:
        return (torch.from_numpy(values.astype(np.float32)) - self.mean) / self.deviation

    def out_of(self, values: Float[Tensor, "token width"]) -> Float[np.ndarray, "token width"]:
        return np.asarray((values * self.deviation + self.mean).numpy())


def _mlp(entering: int, leaving: int) -> nn.Module:
    return nn.Sequential(nn.Linear(entering, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, leaving))
