"""Documents about the sea or about cooking, with words of their own."""

import numpy as np

from agent.types import Document, document_id

SEA = ["ship", "harbor", "sail", "storm", "captain", "anchor"]
FOOD = ["onion", "kettle", "butter", "oven", "garlic", "salt"]
BOTH = ["house", "morning", "table", "window", "street", "people"]


def planted_documents(count: int = 30, seed: int = 0) -> list[Document]:
    """Every third is about the sea."""
    generator = np.random.default_rng(seed)
    documents = []
    for number in range(count):
        own = SEA if number % 3 == 0 else FOOD
        words = [str(generator.choice(own if generator.random() < 0.4 else BOTH)) for _ in range(120)]
        text = " ".join(words)
        documents.append(Document(document_id(text), text, f"Number {number}"))
    return documents


def is_sea(count: int = 30) -> np.ndarray:
    return np.arange(count) % 3 == 0
