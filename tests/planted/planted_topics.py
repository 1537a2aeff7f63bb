"""Documents in three themes that share no word, so that their topics are known."""

import numpy as np
import planted_project

from agent.pointer.topic_model import TopicModel, TopicsConfig, pick
from agent.types import Document

BLOCKS, THEMES = planted_project.THEMES, list(planted_project.THEMES)
CONFIG = TopicsConfig(count=3, chunk_words=100, passes=10, minimum_chunks=2)


def block_text(theme: str, generator: np.random.Generator, words: int = 120) -> str:
    return " ".join(generator.choice(BLOCKS[theme], words)) + "."


def block_documents(count: int = 18) -> list[Document]:
    """Documents that alternate between the three themes."""
    generator = np.random.default_rng(0)
    return [Document(f"d{at}", block_text(THEMES[at % 3], generator)) for at in range(count)]


def theme_topic(model: TopicModel, theme: str) -> int:
    return pick(model, CONFIG.model_copy(update={"words": tuple(BLOCKS[theme])})).topic
