"""Judges of text: A reads sentence embeddings, B word n-grams, C is a language model.

A and B are classifiers trained on gold labels of real passages. Word salad in the right vocabulary
deceives them, so read their scores beside coherence and samples. C compares a passage's likelihood
after two descriptions. Use another model for it than the one that writes, because a model prefers
its own phrases.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from agent.errors import BasinError
from agent.language_model.model import LanguageModel

FRAMING = "The following passage is from {a_name}.\n\n"

Embed = Callable[[Sequence[str]], np.ndarray]
"""Texts to embeddings, float array [text, dimension], such as `SentenceTransformer.encode`."""


@dataclass(frozen=True)
class RealPassages:
    """Labelled passages that train the judges and calibrate their scores."""

    texts: Sequence[str]
    gold: Bool[np.ndarray, "passage"]
    document_of: Int[np.ndarray, "passage"]

    def only(self, kept: Bool[np.ndarray, "passage"]) -> RealPassages:
        texts = [self.texts[index] for index in np.flatnonzero(kept).tolist()]
        return RealPassages(texts, self.gold[kept], self.document_of[kept])


@dataclass(frozen=True)
class Decisions:
    """A judge's log-odds of belonging, up to shift and scale."""

    real: Float[np.ndarray, "passage"]
    """By a classifier that was not trained on the passage's document."""
    generated: Mapping[str, Float[np.ndarray, "fold _text"]]
    """By each fold's classifier, by generator."""


Judge = Callable[[RealPassages, Mapping[str, Sequence[str]], Int[np.ndarray, "passage"]], Decisions]
"""From real passages, generated texts and the fold of every real passage to decisions."""


def trained_judges(embed: Embed) -> dict[str, Judge]:
    """Judges A and B, which count for whether a passage is inside."""
    return {"a": embedding_judge(embed), "b": word_judge()}


def embedding_judge(embed: Embed) -> Judge:
    """Judge A: a strongly regularised classifier of sentence embeddings."""
    model = make_pipeline(StandardScaler(), _linear(0.001))

    def decide(
        real: RealPassages, generated: Mapping[str, Sequence[str]], folds: Int[np.ndarray, "passage"]
    ) -> Decisions:
        texts = _distinct(real, generated)
        embedding = dict(zip(texts, np.asarray(embed(texts), dtype=np.float64), strict=True))

        def features(chosen: Sequence[str]) -> np.ndarray:
            return np.stack([embedding[text] for text in chosen])

        return _cross_decisions(real, generated, folds, features, model)

    return decide


def word_judge() -> Judge:
    """Judge B: a classifier of word n-grams."""
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True), _linear(3))
    return lambda real, generated, folds: _cross_decisions(real, generated, folds, list, model)


def _linear(inverse_penalty: float) -> LogisticRegression:
    return LogisticRegression(C=inverse_penalty, class_weight="balanced", max_iter=2000)


def _distinct(real: RealPassages, generated: Mapping[str, Sequence[str]]) -> list[str]:
    return list(dict.fromkeys([*real.texts, *(text for texts in generated.values() for text in texts)]))


def _cross_decisions(
    real: RealPassages,
    generated: Mapping[str, Sequence[str]],
    folds: Int[np.ndarray, "passage"],
    features: Callable[[Sequence[str]], Any],
    model: Any,
) -> Decisions:
    """Decisions on real passages by other folds' classifiers, on generated texts by all of them."""
    held_out = np.empty(len(real.texts))
    parts: dict[str, list[np.ndarray]] = {name: [] for name in generated}
    for fold in np.unique(folds):
        seen, unseen = real.only(folds != fold), folds == fold
        fitted = clone(model).fit(features(seen.texts), seen.gold)
        held_out[unseen] = fitted.decision_function(features(real.only(unseen).texts))
        for name, texts in generated.items():
            parts[name].append(fitted.decision_function(features(texts)) if texts else np.empty(0))
    return Decisions(held_out, {name: np.stack(each) for name, each in parts.items()})


def story_judge(language_model: LanguageModel, concept: str, contrast: str) -> Judge:
    """Judge C: its decisions are `log_ratios`, so it reads every text twice and is not trained.

    Its AUC is the model's own, and below 0.5 where the model has the concept backwards.
    Raises as `log_ratios`, already here for the names.
    """
    _prefixes(concept, contrast)

    def decide(
        real: RealPassages, generated: Mapping[str, Sequence[str]], _folds: Int[np.ndarray, "passage"]
    ) -> Decisions:
        texts = _distinct(real, generated)
        ratio = dict(zip(texts, log_ratios(texts, language_model, concept, contrast), strict=True))
        return Decisions(
            np.array([ratio[text] for text in real.texts]),
            {name: np.array([[ratio[text] for text in texts]]) for name, texts in generated.items()},
        )

    return decide


def log_ratios(
    texts: Sequence[str], language_model: LanguageModel, concept: str, contrast: str
) -> Float[np.ndarray, "text"]:
    """(log p(x | from the concept) - log p(x | from the contrast)) / tokens of x, in nats.

    By Bayes' rule, times the number of tokens, it is the model's log-odds of the concept less its
    prior.

    Args:
        concept: what a passage is from, without an article: "detective story".
        contrast: what the rest of the corpus is, as similar to the concept as possible: "novel".

    Raises:
        BasinError: the names are empty or equal, or a text has no token.
    """
    named, other = (
        language_model.losses(texts, [prefix] * len(texts)) for prefix in _prefixes(concept, contrast)
    )
    ratios: Float[np.ndarray, "text"] = other - named
    if np.isnan(ratios).any():
        raise BasinError(
            f"Text number {int(np.isnan(ratios).argmax()) + 1} has no words to judge: leave it out."
        )
    return ratios


def _prefixes(concept: str, contrast: str) -> tuple[str, str]:
    names = concept.strip(), contrast.strip()
    if not all(names) or names[0] == names[1]:
        raise BasinError(
            f"Concept {concept!r} and contrast {contrast!r} are no two kinds of text: name two that differ."
        )
    return FRAMING.format(a_name=with_article(names[0])), FRAMING.format(a_name=with_article(names[1]))


def with_article(name: str) -> str:
    """The name after its article by the first letter, which errs for "hour" and "union"."""
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
