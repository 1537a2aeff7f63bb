"""Tokens of texts: how many a word has, and how many of a text a model never reads."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import transformers

from agent.corpora.passages import PassagesConfig, evenly_spaced
from agent.corpora.words import count_words, refuse_unsegmented
from agent.hub.loaded import not_loaded
from agent.hub.models import EMBEDDED, local_files_only, resolve_model
from agent.hub.quiet import quiet_transformers
from agent.language_model.load import LanguageModelConfig
from agent.types import Document

logger = logging.getLogger(__name__)

SAMPLED_DOCUMENTS, SAMPLED_CHARACTERS = 50, 4_000
USUAL_TOKENS = 240
"""Tokens of a passage of 180 English words."""
LONG_WORDS = 2.0
"""Tokens of a word above which a passage's length is better given in tokens; English has 1.35."""
_said: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()


def token_lengths(tokenizer: Any, texts: Sequence[str]) -> list[int]:
    """Tokens of each text, uncut."""
    if not texts:
        return []
    return [len(ids) for ids in tokenizer(list(texts), verbose=False)["input_ids"]]


def say_cut(
    tokenizer: Any, what: str, lengths: Sequence[int], limit: int, remedy: str, *, again: bool = False
) -> None:
    """Warn once a tokenizer and kind of text, or `again`, if texts are longer than `limit` tokens.

    Args:
        what: the texts and who cuts them, as "passages are longer than smollm2-135m reads".
        lengths: tokens of every text, uncut.
        remedy: the setting that mends it.
    """
    cut = [length for length in lengths if length > limit]
    said = _said.setdefault(tokenizer, set())
    if not cut or (what in said and not again):
        return
    said.add(what)
    lost = sum(cut) - limit * len(cut)
    logger.warning(
        f"{len(cut):,} of {len(lengths):,} {what} ({limit} tokens), and {lost / sum(lengths):.0%} of all tokens are left out: "
        f"{remedy}."
    )


def load_tokenizer(config: LanguageModelConfig) -> Any:
    """The model's tokenizer alone. Raises `BasinError` if it cannot be loaded."""
    path = resolve_model(config.name)
    try:
        with quiet_transformers():
            return transformers.AutoTokenizer.from_pretrained(
                path, local_files_only=local_files_only(path), trust_remote_code=config.trust_remote_code
            )
    except Exception as error:  # of many classes: hub's client, transformers, a model's own code
        remedy = "check language_model.name, or give passages.words instead of passages.tokens"
        raise not_loaded("The tokenizer of", config.name, error, remedy) from error


def sampled(texts: Sequence[str]) -> list[str]:
    """The beginnings of some texts, to measure lengths on."""
    return [texts[at][:SAMPLED_CHARACTERS] for at in evenly_spaced(len(texts), SAMPLED_DOCUMENTS)]


def tokens_per_word(tokenizer: Any, texts: Sequence[str]) -> float:
    """Mean tokens of a word in some of the texts; 1 without words. Raises as `refuse_unsegmented`."""
    texts = sampled(texts)
    refuse_unsegmented(texts)
    return sum(token_lengths(tokenizer, texts)) / max(1, sum(map(count_words, texts))) or 1.0


def in_words(
    cut: PassagesConfig, language_model: LanguageModelConfig, documents: Sequence[Document]
) -> PassagesConfig:
    """The passages' length in words where it is given in tokens; raises as `load_tokenizer`."""
    if cut.tokens is None:
        return cut
    per_word = tokens_per_word(load_tokenizer(language_model), [each.text for each in documents])
    words = max(1, round(cut.tokens / per_word))
    logger.info(f"Passages of {cut.tokens} tokens are {words} words, of {per_word:.2f} tokens each.")
    return cut.model_copy(
        update={"tokens": None, "words": words, "minimum_words": min(cut.minimum_words, words)}
    )


def proposed_length(
    cut: PassagesConfig, language_model: LanguageModelConfig, documents: Sequence[Document]
) -> PassagesConfig:
    """Passages of `USUAL_TOKENS` where words are long in tokens and the tokenizer is on this machine."""
    known = EMBEDDED.get(language_model.name)
    at_hand = known.folder.is_dir() if known else Path(language_model.name).expanduser().is_dir()
    if cut.tokens is not None or not at_hand:
        return cut
    per_word = tokens_per_word(load_tokenizer(language_model), [each.text for each in documents])
    if per_word <= LONG_WORDS:
        return cut
    logger.info(
        f"Words have {per_word:.1f} tokens each for {language_model.name}: passages of {USUAL_TOKENS} tokens are proposed."
    )
    return cut.model_copy(update={"tokens": USUAL_TOKENS})
