"""How much of what a generator writes is new: against its own other passages, and against the corpus.

Every measure of variety here depends on how much text it is given, so generators are comparable only at the
same number of passages of the same number of words: `equal_samples` makes them so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log

import numpy as np
import torch
from jaxtyping import Float
from sacrebleu.metrics import BLEU
from torch import Tensor

from agent.errors import BasinError
from agent.judging.decisions import cut
from agent.judging.topic_fusion import TopicFusion
from agent.language_model.model import LanguageModel
from agent.language_model.token_batches import token_batches
from agent.steering.gate import PLAIN, SteeringMode
from agent.steering.vector import SteeringVector
from agent.types import seed_for


@dataclass(frozen=True)
class CopiedShare:
    """How much of each text stands in the corpus word for word."""

    per_text: Float[np.ndarray, "text"]
    """Share of the text's word n-grams that occur in the corpus, in [0, 1]; NaN for a text of fewer than n words."""

    @property
    def mean(self) -> float:
        """Over the texts that have n words; NaN where none has."""
        return float(np.nanmean(self.per_text)) if np.isfinite(self.per_text).any() else float("nan")


def equal_samples(generated: Mapping[str, Sequence[str]], words: int, seed: int) -> dict[str, list[str]]:
    """The same number of texts of exactly `words` words of every generator: all that the scantiest one has.

    A generator's texts that are shorter are left out, longer ones cut; which are kept is drawn by the seed.

    Raises:
        BasinError: a generator has fewer than two texts of that length.
    """
    long_enough = {
        name: [short for short in (cut(text, words) for text in texts) if short is not None]
        for name, texts in generated.items()
    }
    for name, texts in long_enough.items():
        if len(texts) < 2:
            raise BasinError(
                f"Generator {name!r} wrote {len(texts)} passages of {words} words, and diversity needs two: "
                "lower the number of words or leave it out."
            )
    count = min(map(len, long_enough.values()), default=0)
    drawn = {}
    for name, texts in long_enough.items():
        rng = np.random.default_rng(seed_for(seed, 0, f"equal samples {name}"))
        drawn[name] = [texts[index] for index in np.sort(rng.permutation(len(texts))[:count])]
    return drawn


def distinct_n(texts: Sequence[str], n: int) -> float:
    """Different word n-grams over all of them, over all texts (Li et al. 1510.03055); 1 where none occurs twice.

    It falls with the amount of text: compare only what `equal_samples` gives. No n-gram spans two texts.
    Raises `BasinError` where no text has n words.
    """
    grams = [gram for text in texts for gram in word_ngrams(word_tokens(text), n)]
    if not grams:
        raise BasinError(f"No text has {n} words, so there are no {n}-grams to count: give longer texts.")
    return len(set(grams)) / len(grams)


def self_bleu(texts: Sequence[str]) -> float:
    """Mean BLEU-4 of every text with all others as references (Zhu et al. 1802.01886), in [0, 1]; 1 is one text.

    Computed by sacrebleu on lowercased words. It rises with the number of texts: compare only what
    `equal_samples` gives. Raises `BasinError` for fewer than two texts.
    """
    if len(texts) < 2:
        raise BasinError("Self-BLEU compares a text with the others: give at least two.")
    bleu = BLEU(tokenize="none", effective_order=True)
    plain = [" ".join(word_tokens(text)) for text in texts]
    scores = [
        bleu.sentence_score(text, plain[:index] + plain[index + 1 :]).score
        for index, text in enumerate(plain)
    ]
    return float(np.mean(scores)) / 100


def vendi_score(embeddings: Float[np.ndarray, "text dimension"]) -> float:
    """Effective number of different texts: exp(-sum_i l_i log l_i), l the eigenvalues of K / n.

    K is the cosine kernel (Friedman and Dieng 2210.02410). From 1, all alike, to n, all orthogonal; compare
    at the same n. Raises `BasinError` for no texts, and for an embedding that is zero.
    """
    norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
    if not len(embeddings) or not norms.all():
        raise BasinError("A Vendi score needs embeddings other than zero: leave empty texts out.")
    # The squared singular values of X / sqrt(n) are the eigenvalues of X X' / n, without forming it.
    values = np.linalg.svd(embeddings / norms / np.sqrt(len(embeddings)), compute_uv=False) ** 2
    values = values[values > 1e-12]
    return float(np.exp(-(values * np.log(values)).sum()))


def copied_share(texts: Sequence[str], corpus_texts: Iterable[str], n: int = 8) -> CopiedShare:
    """Share of each text's word n-grams that occur anywhere in the corpus.

    The corpus is read once, a text at a time, and only n-grams of `texts` are kept: 13 million words take some
    ten seconds. Hand in the texts of all generators together, and whole documents rather than passages, so that
    no n-gram is lost at a seam.

    Args:
        texts: continuations without their prompts, which were taken from the corpus.

    Raises:
        BasinError: n is below 1.
    """
    if n < 1:
        raise BasinError(f"An n-gram of {n} words is none: set n to at least 1.")
    grams = [list(word_ngrams(word_tokens(text), n)) for text in texts]
    wanted = {gram for each in grams for gram in each}
    found: set[tuple[str, ...]] = set()
    for text in corpus_texts:
        found |= wanted.intersection(word_ngrams(word_tokens(text), n))
    return CopiedShare(
        np.array([np.mean([gram in found for gram in each]) if each else np.nan for each in grams])
    )


def word_tokens(text: str) -> list[str]:
    """Lowercased words; an apostrophe inside one is the same whichever sign is used, an underscore is none."""
    return re.findall(r"[^\W_]+(?:'[^\W_]+)*", text.lower().replace("’", "'"))


def word_ngrams(words: Sequence[str], n: int) -> Iterator[tuple[str, ...]]:
    """Every run of n words, in order; none where there are fewer."""
    return zip(*(words[start:] for start in range(n)), strict=False)


@torch.no_grad()
def divergence_on(
    writer: LanguageModel,
    base: LanguageModel,
    prompts: Sequence[str],
    texts: Sequence[str],
    vector: SteeringVector | None = None,
    mode: SteeringMode = PLAIN,
    preamble: str = "",
    fusion: TopicFusion | None = None,
) -> float:
    """KL(writer || base) of the next-token distribution over the texts' own tokens, in nats per token.

    The writer reads `preamble`, opening and text, the base model opening and text; `fusion` changes the writer's scores. A text
    whose tokens come out otherwise after the preamble is left out; NaN where none is left. Temperature and truncation of
    sampling are left out on both sides.
    """
    total, count = 0.0, 0
    for prompt, text in zip(prompts, texts, strict=True):
        ours, theirs = (_batch(base, before + prompt, text) for before in (preamble, ""))
        if not torch.equal(ours.ids[ours.scored], theirs.ids[theirs.scored]):
            continue
        with writer.steer(vector, 1.0, mode=mode):
            steered = writer.states(ours)
        plain = base.states(theirs)
        # What predicts a token stands one place before it.
        states = steered[:, :-1][ours.scored[:, 1:]], plain[:, :-1][theirs.scored[:, 1:]]
        found = base.output.divergences(*states) if fusion is None else _fused(base, *states, fusion)
        total, count = total + float(found.double().sum()), count + len(found)
    return total / count if count else float("nan")


def selection_bound(kept: float, tokens: float) -> float:
    """Nats per token that keeping a share of whole texts adds at most: log(1 / share) / tokens.

    KL(p m / Z || p) <= log(1 / Z) for an acceptance m, and for the best of n at most log n - (n - 1) / n (Beirami et al.
    2401.01879), which is less. 0 where everything is kept.
    """
    return log(1 / kept) / tokens


def _fused(
    base: LanguageModel,
    steered: Float[Tensor, "token width"],
    plain: Float[Tensor, "token width"],
    fusion: TopicFusion,
) -> Float[Tensor, "token"]:
    """`OutputLayer.divergences` of scores that are changed before they become probabilities."""
    unused = torch.zeros(len(steered), 0, dtype=torch.long)  # fusion looks at scores alone
    ours = fusion(unused, base.output.logits(steered)).log_softmax(-1)
    theirs = base.output.logits(plain).log_softmax(-1)
    return (ours.exp() * (ours - theirs)).sum(-1)


def _batch(model: LanguageModel, prompt: str, text: str):
    limit = model.config.max_tokens
    (batch,) = token_batches(model.tokenizer, [text], [prompt], limit)
    return batch.to(model.device)
