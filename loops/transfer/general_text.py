"""General text for maps between models, from documents that are not the run's own."""

from __future__ import annotations

import logging

import numpy as np

from agent.corpora.load import load_corpus
from agent.corpora.passages import PassagesConfig, split
from agent.errors import BasinError
from agent.membership.documents import document_folds
from agent.transfer.learn import StitchingConfig
from agent.types import PassageSet, seed_for

logger = logging.getLogger(__name__)

WORDS, PER_DOCUMENT = 180, 8


def general_texts(config: StitchingConfig, own: PassageSet, seed: int) -> tuple[list[str], np.ndarray]:
    """`config.passages` texts in random order, and the part of each; every document is in one part.

    Raises `BasinError` where the corpus, or this choice of passages, has too few other documents.
    """
    passages = split(load_corpus(config.corpus), PassagesConfig(words=WORDS, per_document=PER_DOCUMENT))
    known = {document.id for document in own.documents}
    strange = np.array([document.id not in known for document in passages.documents])
    rows = np.flatnonzero(strange[passages.document_of])
    if strange.sum() < config.parts:
        raise BasinError(
            f"{config.corpus.source} has {strange.sum()} documents that are not the run's own, and {config.parts} are "
            "needed to learn maps from; name another stitching.corpus."
        )
    rows = np.random.default_rng(seed_for(seed, 0, "general text")).permutation(rows)[: config.passages]
    if (read := len(np.unique(passages.document_of[rows]))) < config.parts:
        raise BasinError(
            f"{len(rows)} passages of general text are of {read} documents, and {config.parts} are needed to learn maps from; "
            "raise stitching.passages."
        )
    parts = document_folds(passages.document_of[rows], config.parts, seed_for(seed, 0, "general parts"))
    left_out = len(passages.documents) - int(strange.sum())
    logger.info(
        f"General text: {len(rows)} passages of {config.corpus.source}"
        + (f", without {left_out} documents of the run" if left_out else "")
    )
    return [passages.texts[row] for row in rows], parts
