"""Diversity, copying and distance from the base model of generated passages.

Measures of diversity depend on the amount of text. Compare generators at the same number of
passages of the same length, as `equal_samples` makes them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import log

import numpy as np
import torch
from jaxtyping import Float

from agent.errors import BasinError
from agent.judging.writing import cut
from agent.language_model.model import LanguageModel
from agent.language_model.token_batches import TokenBatch, token_batches
from agent.steering.vector import SteeringVector
from agent.types import seed_for


def equal_samples(
    generated: Mapping[str, Sequence[str]], words: int, fewest: int, seed: int
) -> dict[str, list[str]]:
    """The same number of texts of exactly `words` words from every generator.

    Shorter texts are left out and longer ones cut; a generator with more texts is subsampled by the
    seed, and one with less than `fewest` is left out.
    """
    long_enough = {
        name: [short for short in (cut(text, words) for text in texts) if short is not None]
        for name, texts in generated.items()
    }
    long_enough = {name: texts for name, texts in long_enough.items() if len(texts) >= fewest}
    count = min(map(len, long_enough.values()), default=0)
    drawn = {}
    for name, texts in long_enough.items():
        rng = np.random.default_rng(seed_for(seed, 0, f"equal samples {name}"))
        drawn[name] = [texts[index] for index in np.sort(rng.permutation(len(texts))[:count])]
    return drawn


def vendi_score(embeddings: Float[np.ndarray, "text dimension"]) -> float:
    """Effective number of distinct texts: exp(-sum_i l_i log l_i), l the eigenvalues of K / n.

    K is the cosine kernel (Friedman and Dieng 2210.02410). 1 for equal texts, n for orthogonal
    ones. Raises `BasinError` for no texts, and for a zero embedding.
    """
    norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
    if not len(embeddings) or not norms.all():
        raise BasinError("A Vendi score needs embeddings other than zero: leave empty texts out.")
    # The squared singular values of X / sqrt(n) are the eigenvalues of X X' / n, without forming it.
    values = np.linalg.svd(embeddings / norms / np.sqrt(len(embeddings)), compute_uv=False) ** 2
    values = values[values > 1e-12]
    return float(np.exp(-(values * np.log(values)).sum()))


def copied_share(texts: Sequence[str], corpus_texts: Iterable[str], n: int = 8) -> Float[np.ndarray, "text"]:
    """Share of each text's word n-grams that occur in the corpus; NaN for fewer than n words.

    The corpus is read once and only n-grams of `texts` are kept. Give the texts of all generators
    together, without their prompts, and whole documents instead of passages.
    """
    grams = [list(word_ngrams(word_tokens(text), n)) for text in texts]
    wanted = {gram for each in grams for gram in each}
    found: set[tuple[str, ...]] = set()
    for text in corpus_texts:
        found |= wanted.intersection(word_ngrams(word_tokens(text), n))
    return np.array([np.mean([gram in found for gram in each]) if each else np.nan for each in grams])


def word_tokens(text: str) -> list[str]:
    """Lowercased words; both apostrophes count as the same, and underscores separate words."""
    return re.findall(r"[^\W_]+(?:'[^\W_]+)*", text.lower().replace("’", "'"))


def word_ngrams(words: Sequence[str], n: int) -> Iterator[tuple[str, ...]]:
    """All runs of n words, in order."""
    return zip(*(words[start:] for start in range(n)), strict=False)


def divergence_on(
    writer: LanguageModel,
    base: LanguageModel,
    prompts: Sequence[str],
    texts: Sequence[str],
    *,
    vector: SteeringVector | None = None,
    preamble: str = "",
) -> float:
    """KL(writer || base) of next tokens over the texts' own tokens, in nats per token.

    Only the writer reads `preamble`. A text that is tokenized differently after it is left out; NaN
    where none is left. Sampling's temperature and truncation are ignored on both sides.
    """
    total, count = 0.0, 0
    for prompt, text in zip(prompts, texts, strict=True):
        ours, theirs = (_batch(base, before + prompt, text) for before in (preamble, ""))
        if not torch.equal(ours.ids[ours.scored], theirs.ids[theirs.scored]):
            continue
        with torch.no_grad():
            with writer.steer(vector):
                steered = writer.states(ours)
            plain = base.states(theirs)
            # The state one position earlier predicts a token.
            found = base.output.divergences(
                steered[:, :-1][ours.scored[:, 1:]], plain[:, :-1][theirs.scored[:, 1:]]
            )
        total, count = total + float(found.double().sum()), count + len(found)
    return total / count if count else float("nan")


def selection_bound(kept: float, tokens: float) -> float:
    """Upper bound in nats per token on the distance that selecting a share of whole texts adds.

    KL(p m / Z || p) <= log(1 / Z) for an acceptance m. The best of n adds less, at most
    log n - (n - 1) / n (Beirami et al. 2401.01879).
    """
    return log(1 / kept) / tokens


def _batch(model: LanguageModel, prompt: str, text: str) -> TokenBatch:
    limit = model.config.max_tokens
    (batch,) = token_batches(model.tokenizer, [text], [prompt], max_tokens=limit)
    return batch.to(model.device)
