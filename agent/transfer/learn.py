"""Two models, general text, and all the maps between them: what a translation needs, learnt once."""

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
from agent.transfer.gather import UNSEEN, Gathered, gather
from agent.transfer.layers import LayerMatrix, layer_matrix
from agent.transfer.pairs import Pairs, paired
from agent.transfer.translate import Way
from agent.types import StageConfig

logger = logging.getLogger(__name__)


class StitchingConfig(StageConfig):
    """What maps between two models are learnt from, and which."""

    corpus: CorpusConfig = CorpusConfig(source="brown")
    """General text. Documents of the run itself are left out: maps must not be learnt from what is to be steered."""
    passages: int = Field(600, ge=8)
    """Passages of it, about 180 words each, that both models read."""
    compared: int = Field(32, ge=4)
    """Of these, passages that every pair of layers is compared on."""
    parts: int = Field(7, ge=5)
    """One part is unseen, the others are learnt from: half of them for the way there, half for the way back."""
    sample: int = Field(20_000, ge=100)
    """Pairs of tokens that the autoencoder learns from."""
    methods: tuple[Method, ...] = METHODS
    draws: int = Field(6, ge=1)
    """Maps, or vectors, of each kind that must not work: one alone may do something by chance."""


@dataclass(frozen=True)
class Stitches:
    """What was learnt between two models."""

    matrix: LayerMatrix
    partner: Mapping[int, int]
    """Layer of the first model to the layer of the second."""
    gathered: Mapping[int, Gathered]
    """By layer of the first, pairs with its partner."""
    there: Mapping[Method, Mapping[int, Fitted]]
    """From the first model to the second, by method and by layer of the first."""
    back: Mapping[Method, Mapping[int, Fitted]]
    """From the second to the first, learnt from other text; by method and by layer of the first."""

    def ways(self, maps: Mapping[int, Fitted]) -> list[Way]:
        """Ways from the first model to the second."""
        spreads = {layer: gathered.spreads() for layer, gathered in self.gathered.items()}
        return [
            Way(layer, self.partner[layer], found.carrier, *spreads[layer]) for layer, found in maps.items()
        ]

    def ways_back(self, method: Method) -> list[Way]:
        """Ways from the second model to the first; where layers share a partner, from it to the first of them."""
        found: dict[int, Way] = {}
        for layer, fitted in self.back[method].items():
            here, there = self.gathered[layer].spreads()
            found.setdefault(
                self.partner[layer], Way(self.partner[layer], layer, fitted.carrier, there, here)
            )
        return list(found.values())


def learn(
    first: LanguageModel,
    second: LanguageModel,
    texts: Sequence[str],
    part_of: Int[np.ndarray, "text"],
    layers: Sequence[int],
    config: StitchingConfig,
    seed: int,
) -> Stitches:
    """Compare all layers, then learn maps from each of `layers` of the first model to its partner in the second, and back.

    Args:
        part_of: the part of every text, whole documents in one part; the first is unseen.

    Raises:
        BasinError: too little text, or a model's activations are not finite.
    """
    if len(texts) < config.parts:
        raise BasinError(f"{len(texts)} passages of general text are too few to learn maps from; give more.")
    matrix = _compared(first, second, texts, part_of, config)
    partner = {layer: matrix.partner(layer) for layer in layers}
    logger.info(
        "stitch: layers "
        + ", ".join(f"{layer} and {there}" for layer, there in partner.items())
        + " go together"
    )
    first, second = first.reading(sorted(partner)), second.reading(sorted(set(partner.values())))
    columns = [(first.layers.index(layer), second.layers.index(there)) for layer, there in partner.items()]
    total = len(texts)
    read = _counted(paired(first, second, texts), total)
    found = gather(read, columns, part_of, config.sample, seed, shuffles=config.draws)
    gathered = dict(zip(partner, found, strict=True))
    there: dict[Method, dict[int, Fitted]] = {}
    back: dict[Method, dict[int, Fitted]] = {}
    for method in config.methods:
        logger.info(f"stitch: fitting {method} maps")
        there[method] = {layer: fit(method, each, seed) for layer, each in gathered.items()}
        back[method] = {layer: fit(method, each, seed, back=True) for layer, each in gathered.items()}
    return Stitches(matrix, partner, gathered, there, back)


def _compared(
    first: LanguageModel,
    second: LanguageModel,
    texts: Sequence[str],
    part_of: Int[np.ndarray, "text"],
    config: StitchingConfig,
) -> LayerMatrix:
    """On as many texts as are to be compared, a quarter of them unseen."""
    unseen, seen = np.flatnonzero(part_of == UNSEEN), np.flatnonzero(part_of != UNSEEN)
    quarter = max(1, config.compared // 4)
    chosen = [*unseen[:quarter], *seen[: config.compared - quarter]]
    layers = [tuple(range(1, model.depth)) for model in (first, second)]
    readers = [model.reading(each) for model, each in zip((first, second), layers, strict=True)]
    logger.info(f"stitch: comparing {len(layers[0])} layers with {len(layers[1])}")
    read = list(paired(*readers, [texts[at] for at in chosen]))
    if not read:
        raise BasinError(
            "The two tokenizers never end a token together on the general text; give other text."
        )
    x, y, text = (np.concatenate([getattr(each, name) for each in read]) for name in ("x", "y", "text"))
    return layer_matrix(x, y, text < min(quarter, len(unseen)), *layers)


def _counted(stream: Iterable[Pairs], total: int) -> Iterator[Pairs]:
    for pairs in stream:
        yield pairs
        advance("stitch", int(pairs.text.max()) + 1, total, "passages")
