"""Activations with a planted cluster: a quarter of the documents lies along one direction that the noise does not have."""

import numpy as np

DOCUMENTS, PASSAGES, LAYERS, WIDTH = 200, 3, 2, 12
DOCUMENT_OF = np.repeat(np.arange(DOCUMENTS), PASSAGES)
GOLD = (np.arange(DOCUMENTS) % 4 == 0)[DOCUMENT_OF]


def activations_of(gold: np.ndarray, seed: int, strength: float = 2.5) -> np.ndarray:
    """Noise, and members moved along one direction that lies across both layers."""
    generator = np.random.default_rng(seed)
    direction = np.random.default_rng(7).normal(size=(LAYERS, WIDTH))
    direction *= strength / np.linalg.norm(direction)
    noise = generator.normal(size=(len(gold), LAYERS, WIDTH))
    return (noise + gold[:, None, None] * direction + 3).astype(np.float32)


def pointer_of(gold: np.ndarray, document_of: np.ndarray, seed: int, strength: float = 2.0) -> np.ndarray:
    """Log-odds that are right on average, wrong on many passages and on some whole documents."""
    generator = np.random.default_rng(seed)
    wrong = generator.normal(size=document_of.max() + 1)[document_of] + generator.normal(size=len(gold))
    return strength * gold + wrong - 2


def shuffled(pointer_log_odds: np.ndarray, seed: int) -> np.ndarray:
    """The pointer's opinions of whole documents, handed to other documents."""
    order = np.random.default_rng(seed).permutation(DOCUMENTS)
    return pointer_log_odds.reshape(DOCUMENTS, PASSAGES)[order].ravel()
