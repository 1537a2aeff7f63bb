"""A topic model of a corpus that is never in memory: two readings to count, then LDA over what the second left on the disk.

The first reading finds the words, the second writes every chunk down as numbers of words, 8 bytes each. Online LDA (Hoffman,
Blei and Bach 2010) then takes a few hundred chunks at a time from there. Fitted on texts that do fit in memory, it gives what
`topics.fit` gives, to the bit.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from gensim.corpora import Dictionary

from agent.corpora.words import Capitals, language
from agent.errors import BasinError
from agent.pointer.lda import Bag, TopicModel, TopicsConfig, fit_bags, keep_topic_words

logger = logging.getLogger(__name__)

MOST_WORDS = 2_000_000
"""Different words that are counted at a time; beyond, the rarest are forgotten, none of which could be a topic's word."""
SECONDS_BETWEEN_WORDS = 30.0
PREFIX = "chunks"


class Bags(Sequence[Bag]):
    """Chunks of a corpus as (word, count) pairs on the disk, of which no more is in memory than is looked at."""

    def __init__(self, folder: Path) -> None:
        self._starts = np.load(folder / f"{PREFIX}.starts.npy", mmap_mode="r")
        pairs = folder / f"{PREFIX}.pairs"
        self._pairs = np.fromfile(pairs, dtype="<i4", count=0).reshape(0, 2)
        if pairs.stat().st_size:
            self._pairs = np.memmap(pairs, dtype="<i4", mode="r").reshape(-1, 2)

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, at: int) -> Bag:
        if not 0 <= at < len(self):
            raise IndexError(at)
        return [
            (word, count) for word, count in self._pairs[self._starts[at] : self._starts[at + 1]].tolist()
        ]

    def __iter__(self) -> Iterator[Bag]:
        for at in range(len(self)):
            yield self[at]


def fit_stream(
    read: Callable[[], Iterable[str]],
    config: TopicsConfig,
    run_seed: int,
    folder: Path,
    kept: Callable[[str, Callable[[Path], TopicModel]], TopicModel] | None = None,
) -> TopicModel:
    """As `topics.fit`, of the texts that `read` gives each time it is called; not one more of them is in memory than one.

    Args:
        folder: where chunks are written, 8 bytes for every different word of a chunk; they are taken away at the end.

    Raises:
        BasinError: as `topics.fit`, and where the disk does not take the chunks.
    """
    dictionary, names = _counted(read, config)
    dictionary.filter_tokens(
        bad_ids=[dictionary.token2id[name] for name in names if name in dictionary.token2id]
    )
    keep_topic_words(dictionary, config)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        words = _written(read, config, dictionary, folder)
        return fit_bags(Bags(folder), dictionary, words, config, run_seed, kept)
    except OSError as error:
        raise BasinError(
            f"The chunks of the corpus cannot be kept in {folder} ({error.strerror or error}): make room there."
        ) from error
    finally:
        for file in folder.glob(f"{PREFIX}.*"):
            file.unlink(missing_ok=True)


def _counted(read: Callable[[], Iterable[str]], config: TopicsConfig) -> tuple[Dictionary, set[str]]:
    """Every word with the number of chunks that hold it, and which words are names."""
    known, capitals, dictionary = language(config.language), Capitals(config.language), Dictionary()
    for text in _told(read(), "counting words"):
        capitals.count(text)
        for chunk in known.chunks(text, config.chunk_words):
            dictionary.doc2bow(chunk, allow_update=True)
        if len(dictionary) > MOST_WORDS:
            dictionary.filter_extremes(no_below=0, no_above=1.0, keep_n=MOST_WORDS // 2)
            capitals.forget_rare(MOST_WORDS // 2)
    return dictionary, capitals.names(config.name_share)


def _written(
    read: Callable[[], Iterable[str]], config: TopicsConfig, dictionary: Dictionary, folder: Path
) -> int:
    """Write the chunks; gives the number of running words in them."""
    known, starts, words = language(config.language), [0], 0
    with (folder / f"{PREFIX}.pairs").open("wb") as file:
        for text in _told(read(), "writing chunks"):
            for chunk in known.chunks(text, config.chunk_words):
                bag = np.array(dictionary.doc2bow(chunk), dtype="<i4").reshape(-1, 2)
                file.write(bag.tobytes())
                starts.append(starts[-1] + len(bag))
                words += int(bag[:, 1].sum())
    draft = folder / f"{PREFIX}.draft.npy"
    np.save(draft, np.array(starts, dtype="<i8"))
    os.replace(draft, folder / f"{PREFIX}.starts.npy")
    return words


def _told(texts: Iterable[str], what: str) -> Iterator[str]:
    last = time.monotonic()
    for number, text in enumerate(texts, 1):
        yield text
        if time.monotonic() - last > SECONDS_BETWEEN_WORDS:
            logger.info(f"topics: {what}, {number:,} documents so far")
            last = time.monotonic()
