"""The adapter of a whole corpus: trained on all its documents alike, and kept by model and corpus.

The model with it, p_D, writes like the corpus and knows of no concept. Concepts' adapters start
from it, and it is the base that their passages are weighted and judged against.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np

from agent.adapting.config import AdaptingConfig
from agent.adapting.lesson import draw_documents
from agent.adapting.supervised import fit_lora
from agent.hub.pinned_packages import cache_root
from agent.language_model.adapter import Adapter
from agent.language_model.model import LanguageModel
from agent.types import PassageSet

logger = logging.getLogger(__name__)


def fit_corpus(
    language_model: LanguageModel,
    passages: PassageSet,
    config: AdaptingConfig,
    *,
    with_texts: Callable[[], PassageSet],
    seed: int,
    folder: Path,
) -> Adapter:
    """The adapter after `lesson.corpus_tokens` of all documents, from the cache if it is there.

    Args:
        with_texts: the passages with their documents' texts.
        folder: interrupted training resumes from the state kept here.

    Raises:
        BasinError: as `draw_documents` and `fit_lora`, or the cache cannot be written.
    """
    documents = [each.id for each in passages.documents]
    parts = (language_model.identity.digest, documents, config.lora, config.lesson.of_corpus(), seed)
    place = cache_root() / "adapters" / hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
    if (saved := Adapter.saved_in(place)) is not None:
        return saved
    logger.info("The corpus's own adapter is trained on all its documents")
    every = np.ones(len(passages.passages))
    lesson = draw_documents(language_model, with_texts(), every, config.lesson.of_corpus(), seed)
    adapter, _ = fit_lora(language_model, lesson, config.lora, seed=seed, folder=folder)
    adapter.save(place)
    return adapter
