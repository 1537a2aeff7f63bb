"""All maps between two models, learnt once from general text that is not the run's own."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from pydantic import Field

from agent.config import StageConfig
from agent.corpora.load import CorpusConfig, load_corpus
from agent.corpora.passages import PassagesConfig, split
from agent.errors import BasinError
from agent.language_model.model import LanguageModel
from agent.membership.documents import document_folds
from agent.transfer.linear_maps import METHODS, LinearMap, Method, deviations, fit_map, random_map
from agent.transfer.pairs import layer_similarity, read_pairs
from agent.transfer.translate import Way
from agent.types import PassageSet, seed_for

logger = logging.getLogger(__name__)

WORDS, PER_DOCUMENT = 180, 8
"""Sizes of the passages of general text."""
PARTS = 7
"""One part of the text is unseen; half of the others serve the way there, half the way back."""
UNSEEN, FORWARD, BACK = 0, 1, 2
COMPARED = 32
"""Passages on which every pair of layers is compared."""


class StitchingConfig(StageConfig):
    """The general text that the maps between two models are learnt from."""

    corpus: CorpusConfig = CorpusConfig(source="brown")
    """General text, without the run's own documents."""
    passages: int = Field(600, ge=8)
    """Passages of it, about 180 words each, that both models read."""


def general_texts(
    config: StitchingConfig, own: PassageSet, seed: int
) -> tuple[list[str], Int[np.ndarray, "text"]]:
    """Texts in random order, and the use of each: `UNSEEN`, `FORWARD` or `BACK`; no document has two.

    Raises `BasinError` where the corpus, or this choice of passages, has too few other documents.
    """
    passages = split(load_corpus(config.corpus), PassagesConfig(words=WORDS, per_document=PER_DOCUMENT))
    known = {document.id for document in own.documents}
    strange = np.array([document.id not in known for document in passages.documents])
    rows = np.flatnonzero(strange[passages.document_of])
    rows = np.random.default_rng(seed_for(seed, 0, "general text")).permutation(rows)[: config.passages]
    if (read := len(np.unique(passages.document_of[rows]))) < PARTS:
        raise BasinError(
            f"{len(rows)} passages of general text are of {read} documents that are not the run's own, and {PARTS} "
            "are needed to learn maps from; name another stitching.corpus, or raise stitching.passages."
        )
    parts = document_folds(passages.document_of[rows], PARTS, seed_for(seed, 0, "general parts"))
    logger.info(
        f"General text: {len(rows)} passages of {config.corpus.source}, "
        f"without {np.sum(~strange)} documents of the run"
    )
    use = np.where(parts == 0, UNSEEN, np.where(parts % 2 == 1, FORWARD, BACK))
    return [passages.texts[row] for row in rows], use


@dataclass(frozen=True)
class LayerMaps:
    """A layer of the first model, its partner in the second, and the maps between the two."""

    layer: int
    partner: int
    deviations: Float[np.ndarray, "source"]
    """Of the stream's coordinates at `layer`, on unseen text."""
    partner_deviations: Float[np.ndarray, "target"]
    there: Mapping[Method, LinearMap]
    back: Mapping[Method, LinearMap]
    """Learnt from other text than those there."""
    shuffled: Sequence[LinearMap] = ()
    """Affine maps there, each fitted on another shuffle of the pairs."""
    random: Sequence[LinearMap] = ()

    @property
    def spreads(self) -> tuple[float, float]:
        """Root of the summed variances of the stream in both models."""
        return float(np.linalg.norm(self.deviations)), float(np.linalg.norm(self.partner_deviations))

    @classmethod
    def of(
        cls,
        layers: tuple[int, int],
        x: Float[np.ndarray, "token source"],
        y: Float[np.ndarray, "token target"],
        use: Int[np.ndarray, "token"],
        *,
        draws: int,
        seed: int,
    ) -> LayerMaps:
        """Fit every map on its part of the text, and test it on the unseen part.

        Args:
            draws: of each control.
        """
        unseen, forward, back = (np.flatnonzero(use == each) for each in (UNSEEN, FORWARD, BACK))
        others, generator = np.flatnonzero(use != FORWARD), np.random.default_rng(seed)
        # Of another document each: tokens of the same text share a subject.
        dealt = [generator.choice(others, len(forward)) for _ in range(draws)]

        def tested(found: LinearMap) -> LinearMap:
            return found.tested(x[unseen], y[unseen])

        return cls(
            *layers,
            deviations(x[unseen]),
            deviations(y[unseen]),
            there={each: tested(fit_map(each, x[forward], y[forward])) for each in METHODS},
            back={each: fit_map(each, y[back], x[back]) for each in METHODS},
            shuffled=[tested(fit_map("affine", x[forward], y[each])) for each in dealt],
            random=[tested(random_map(x[unseen], y[unseen], seed + draw)) for draw in range(draws)],
        )


@dataclass(frozen=True)
class Stitches:
    """The maps between two models."""

    layers: tuple[Sequence[int], Sequence[int]]
    """Layers of the first and of the second model that were compared."""
    similarity: Float[np.ndarray, "layer other"]
    """Of every one of them, see `layer_similarity`."""
    maps: Sequence[LayerMaps]
    tokens: int
    """Pairs of tokens that the maps were learnt and tested on."""

    @property
    def partner(self) -> dict[int, int]:
        """Layer of the first model to the layer of the second."""
        return {each.layer: each.partner for each in self.maps}

    def ways(self, carriers: Sequence[LinearMap]) -> list[Way]:
        """Ways from the first model to the second, by a map for each layer."""
        return [
            Way(each.layer, each.partner, carrier, *each.spreads)
            for each, carrier in zip(self.maps, carriers, strict=True)
        ]

    def ways_there(self, method: Method) -> list[Way]:
        """Ways from the first model to the second by maps of one kind."""
        return self.ways([each.there[method] for each in self.maps])

    def ways_back(self, method: Method) -> list[Way]:
        """Ways back; where layers share a partner, to the first of them."""
        found: dict[int, Way] = {}
        for each in self.maps:
            here, there = each.spreads
            found.setdefault(each.partner, Way(each.partner, each.layer, each.back[method], there, here))
        return list(found.values())


def learn(
    first: LanguageModel,
    second: LanguageModel,
    texts: Sequence[str],
    use: Int[np.ndarray, "text"],
    *,
    layers: Sequence[int],
    seed: int,
    draws: int = 0,
) -> Stitches:
    """Compare all layers, then learn maps both ways between `layers` and their partners.

    Args:
        use: of every text, as `general_texts` gives it.
        draws: of each control; 0 for none.

    Raises:
        BasinError: too little text, or a model's activations are not finite.
    """
    here, there = (tuple(range(1, model.depth)) for model in (first, second))
    logger.info(f"stitch: comparing {len(here)} layers with {len(there)}")
    pairs = read_pairs(first.reading(here), second.reading(there), texts[:COMPARED])
    similarity = layer_similarity(pairs.x, pairs.y)
    partner = {layer: there[int(similarity[here.index(layer)].argmax())] for layer in layers}
    named = ", ".join(f"{layer} and {other}" for layer, other in partner.items())
    logger.info(f"stitch: layers {named} correspond; reading and fitting")
    first, second = first.reading(sorted(partner)), second.reading(sorted(set(partner.values())))
    pairs = read_pairs(first, second, texts)
    use = use[pairs.text]
    if len(np.unique(use)) < len((UNSEEN, FORWARD, BACK)):
        raise BasinError("Some part of the general text has no aligned tokens; give more general text.")
    maps = []
    for layer, other in partner.items():
        x = np.ascontiguousarray(pairs.x[:, first.layers.index(layer)])
        y = np.ascontiguousarray(pairs.y[:, second.layers.index(other)])
        maps.append(LayerMaps.of((layer, other), x, y, use, draws=draws, seed=seed_for(seed, layer, "maps")))
    return Stitches((here, there), similarity, maps, len(use))
