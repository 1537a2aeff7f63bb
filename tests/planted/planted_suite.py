"""A small corpus of a suite: stories of the sea among recipes and gardens, two documents an author."""

import json
from pathlib import Path

import numpy as np

from loops.evaluation.membership.suite import SuiteCorpus

SEA = ["ship", "harbor", "sail", "storm", "captain", "anchor"]
KITCHEN = ["onion", "kettle", "butter", "oven", "garlic", "pepper"]
GARDEN = ["roses", "hedge", "shovel", "seeds", "lawn", "meadow"]
DOCUMENTS = 48
GOLD_ENTRY = [{"concept": "sea", "field": "kind", "positive": "sea"}]


def write_corpus(folder: Path) -> Path:
    """stories.jsonl: every fourth pair of documents is of the sea; every story borrows words from the other kinds."""
    generator = np.random.default_rng(5)
    lines = []
    for number in range(DOCUMENTS):
        kind = ("sea", "kitchen", "garden", "kitchen")[number // 2 % 4]
        own = {"sea": SEA, "kitchen": KITCHEN, "garden": GARDEN}[kind]
        every = SEA + KITCHEN + GARDEN
        sentences = []
        for _ in range(16):
            words = [*generator.choice(own, 2), *generator.choice(every, 4)]
            sentences.append(f"The {' and the '.join(words)} of {number}.")
        row = {"text": " ".join(sentences), "author": f"author {number // 2}", "kind": kind}
        lines.append(json.dumps(row))
    (folder / "stories.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "stories.jsonl"


def planted_corpus(folder: Path, **changes: object) -> SuiteCorpus:
    """The corpus's entry in a suite; `changes` replace its settings."""
    settings = {
        "name": "stories",
        "corpus": {"source": str(write_corpus(folder))},
        "passages": {"words": 60, "minimum_words": 20},
        "topics": {"count": 3, "chunk_words": 100, "passes": 4, "maximum_chunk_share": 1.0},
        "concepts": {"sea": SEA[:3]},
    }
    return SuiteCorpus.model_validate(settings | changes)
