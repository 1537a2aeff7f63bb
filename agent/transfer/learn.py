"""All maps between two models, learnt once from general text."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from pydantic import Field

from agent.corpora.load import CorpusConfig
from agent.errors import BasinError
from agent.language_model.model import LanguageModel
from agent.progress import advance
from agent.transfer.fit import METHODS, Fitted, Method, fit
from agent.transfer.gather import UNSEEN, Gathered, Pairs, gather, paired
from agent.transfer.layers import LayerMatrix, layer_matrix
from agent.transfer.translate import Way
from agent.types import StageConfig

logger = logging.getLogger(__name__)


class StitchingConfig(StageConfig):
    """The maps between two models, and the general text they are learnt from."""

    corpus: CorpusConfig = CorpusConfig(source="brown")
    """General text, without the run's own documents."""
    passages: int = Field(600, ge=8)
    """Passages of it, about 180 words each, that both models read."""
    compared: int = Field(32, ge=4)
    """Passages of these on which every pair of layers is compared."""
    parts: int = Field(7, ge=5)
    """One part is unseen; half of the others serve the way there, half the way back."""
    methods: tuple[Method, ...] = METHODS
    draws: int = Field(6, ge=1)
    """Draws of each control: one alone may work by chance."""


@dataclass(frozen=True)
class Stitches:
    """The maps between two models."""

    matrix: LayerMatrix
    partner: Mapping[int, int]
    """Layer of the first model to the layer of the second."""
    gathered: Mapping[int, Gathered]
    """By layer of the first, pairs with its partner."""
    there: Mapping[Method, Mapping[int, Fitted]]
    """From the first model to the second, by method and by layer of the first."""
    back: Mapping[Method, Mapping[int, Fitted]]
    """From the second to the first, learnt from other text; by method and by layer of the first."""

    @property
    def tokens(self) -> int:
        """Pairs of tokens that the maps of a layer were learnt and tested on."""
        return next(iter(self.gathered.values())).tokens

    def ways(self, maps: Mapping[int, Fitted]) -> list[Way]:
        """Ways from the first model to the second."""
        return [
            Way(layer, self.partner[layer], found.carrier, *self.gathered[layer].spreads())
            for layer, found in maps.items()
        ]

    def ways_back(self, method: Method) -> list[Way]:
        """Ways back; where layers share a partner, to the first of them."""
        found: dict[int, Way] = {}
        for layer, fitted in self.back[method].items():
            here, there = self.gathered[layer].spreads()
            way = Way(self.partner[layer], layer, fitted.carrier, there, here)
            found.setdefault(self.partner[layer], way)
        return list(found.values())


def learn(
    first: LanguageModel,
    second: LanguageModel,
    texts: Sequence[str],
    part_of: Int[np.ndarray, "text"],
    *,
    layers: Sequence[int],
    config: StitchingConfig,
    seed: int,
) -> Stitches:
    """Compare all layers, then learn maps both ways between `layers` and their partners.

    Args:
        part_of: the part of every text, whole documents in one part; the first part is unseen.

    Raises:
        BasinError: too little text, or a model's activations are not finite.
    """
    if len(texts) < config.parts:
        raise BasinError(f"{len(texts)} passages of general text are too few to learn maps from; give more.")
    matrix = _compare(first, second, texts, part_of, config.compared)
    partner = {layer: matrix.partner(layer) for layer in layers}
    pairs = ", ".join(f"{layer} and {there}" for layer, there in partner.items())
    logger.info(f"stitch: layers {pairs} correspond")
    first, second = first.reading(sorted(partner)), second.reading(sorted(set(partner.values())))
    columns = [(first.layers.index(layer), second.layers.index(there)) for layer, there in partner.items()]
    stream = _counted(paired(first, second, texts), len(texts))
    found = gather(stream, columns, part_of, seed=seed, shuffles=config.draws)
    gathered = dict(zip(partner, found, strict=True))
    there: dict[Method, dict[int, Fitted]] = {}
    back: dict[Method, dict[int, Fitted]] = {}
    for method in config.methods:
        logger.info(f"stitch: fitting {method} maps")
        there[method] = {layer: fit(method, each) for layer, each in gathered.items()}
        back[method] = {layer: fit(method, each, back=True) for layer, each in gathered.items()}
    return Stitches(matrix, partner, gathered, there, back)


def _compare(
    first: LanguageModel,
    second: LanguageModel,
    texts: Sequence[str],
    part_of: Int[np.ndarray, "text"],
    count: int,
) -> LayerMatrix:
    """Compare all layers on `count` texts, a quarter of them unseen."""
    unseen, seen = np.flatnonzero(part_of == UNSEEN), np.flatnonzero(part_of != UNSEEN)
    quarter = max(1, count // 4)
    chosen = [*unseen[:quarter], *seen[: count - quarter]]
    here, there = (tuple(range(1, model.depth)) for model in (first, second))
    logger.info(f"stitch: comparing {len(here)} layers with {len(there)}")
    read = list(paired(first.reading(here), second.reading(there), [texts[at] for at in chosen]))
    if not read:
        raise BasinError(
            "The two tokenizers never end a token together on the general text; give other text."
        )
    x, y, text = (np.concatenate([getattr(each, name) for each in read]) for name in ("x", "y", "text"))
    return layer_matrix(x, y, text < min(quarter, len(unseen)), here, there)


def _counted(stream: Iterable[Pairs], total: int) -> Iterator[Pairs]:
    for pairs in stream:
        yield pairs
        advance("stitch", int(pairs.text.max()) + 1, total, "passages")
