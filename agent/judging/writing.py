"""How much generated text belongs to the concept, by judges that share nothing with the loop.

Judge A reads sentence embeddings, judge B word n-grams. Both are trained on gold labels of real
passages cut to the length of the generated ones. Word salad in the right vocabulary deceives such
judges, so read their scores beside coherence and samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from pydantic import Field
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from agent.errors import BasinError
from agent.judging.average_precision import Row, gold_folds
from agent.judging.decisions import (
    Decisions,
    Judge,
    Judgement,
    RealPassages,
    calibrated,
    cross_decisions,
    cut,
    uncalibrated,
)
from agent.types import StageConfig

Embed = Callable[[Sequence[str]], np.ndarray]
"""Texts to embeddings, float array [text, dimension], such as `SentenceTransformer.encode`."""


class WritingConfig(StageConfig):
    """How generated text is judged."""

    words: int | None = Field(None, ge=5)
    """Words at which all texts are compared; None: what nine tenths of the generated texts reach."""
    skip_words: int = Field(9, ge=0)
    """Opening words to leave out of a real passage, as the prompt is left out of a generated one.
    """
    folds: int = Field(5, ge=2)


@dataclass(frozen=True)
class EqualTexts:
    """Real and generated texts cut to one length, and which of the given texts were long enough."""

    words: int
    real: RealPassages
    generated: Mapping[str, list[str]]
    real_kept: Bool[np.ndarray, "passage"]
    kept: Mapping[str, Bool[np.ndarray, "_text"]]


def judge_writing(
    real: RealPassages, generated: Mapping[str, Sequence[str]], embed: Embed, config: WritingConfig, seed: int
) -> list[Row]:
    """A row for each generator and judge: score, cluster score, AUC and scores of real text.

    Args:
        generated: continuations without their prompts, by the generator's name (`basin`, `base`,
            ...).

    Raises:
        BasinError: nothing was generated, nothing is long enough, or only one document is of a
            kind.
    """
    equal = equal_texts(real, generated, config)
    folds = _folds(equal.real, config, seed)
    written = {name: texts for name, texts in equal.generated.items() if texts}
    rows: list[Row] = []
    for name, judge in {"A embeddings": embedding_judge(embed), "B word n-grams": word_judge()}.items():
        judgement = uncalibrated(judge(equal.real, written, folds), equal.real.gold)
        for generator, scores in judgement.generated.items():
            short = len(generated[generator]) - len(scores)
            row: Row = {
                "generator": generator,
                "judge": name,
                "words": equal.words,
                "samples": len(scores),
            }
            row |= {"too_short": short, "score": float(scores.mean())}
            own = cluster_score(float(scores.mean()), judgement.members, judgement.non_members)
            row |= {"cluster_score": own if judgement.tells else None}
            row |= {"score_members": judgement.members, "score_non_members": judgement.non_members}
            rows.append(row | {"auc": judgement.auc})
    return rows


def judge_passages(
    real: RealPassages,
    generated: Mapping[str, Sequence[str]],
    judges: Mapping[str, Judge],
    config: WritingConfig,
    seed: int,
) -> dict[str, Judgement]:
    """Each judge's calibrated probability of each passage, at one length and with the same folds.

    Args:
        real: of documents that neither the concept nor a generator was made from.
        generated: as for `judge_writing`.
        judges: by name: `embedding_judge`, `word_judge`, `agent.judging.llm_judges.story_judge`.

    Returns:
        Judgements whose arrays have the order of the given texts; NaN for a text too short to
        judge.

    Raises:
        BasinError: as `judge_writing`.
    """
    equal = equal_texts(real, generated, config)
    folds = _folds(equal.real, config, seed)
    found = {}
    for name, judge in judges.items():
        judgement = calibrated(judge(equal.real, equal.generated, folds), equal.real.gold, folds)
        scattered = {each: _scattered(judgement.generated[each], kept) for each, kept in equal.kept.items()}
        everywhere = _scattered(judgement.real, equal.real_kept)
        found[name] = replace(judgement, generated=scattered, real=everywhere)
    return found


def equal_texts(
    real: RealPassages, generated: Mapping[str, Sequence[str]], config: WritingConfig
) -> EqualTexts:
    """All texts at one length, real ones without their opening. Raises as `judge_writing`."""
    words = config.words or _common_length(generated)
    cuts = {name: [cut(text, words) for text in texts] for name, texts in generated.items()}
    real_cuts = [cut(text, words, config.skip_words) for text in real.texts]
    kept = {name: np.array([text is not None for text in texts], bool) for name, texts in cuts.items()}
    real_kept = np.array([text is not None for text in real_cuts], bool)
    if not any(each.any() for each in kept.values()) or not real_kept.any():
        raise BasinError(f"No generated or no real passage has {words} words to judge; lower the length.")
    shortened = RealPassages([text or "" for text in real_cuts], real.gold, real.document_of)
    equal = {name: [text for text in texts if text is not None] for name, texts in cuts.items()}
    return EqualTexts(words, shortened.only(real_kept), equal, real_kept, kept)


def cluster_score(generated: float, members: float, non_members: float) -> float | None:
    """(judge(generated) - judge(real non-members)) / (judge(real members) - judge(real
    non-members)).

    0 is a random book, 1 is a real member, and well above 1 is a caricature. None where the judge
    does not score real members above the others.
    """
    return (generated - non_members) / (members - non_members) if members > non_members else None


def _common_length(generated: Mapping[str, Sequence[str]]) -> int:
    lengths = [len(text.split()) for texts in generated.values() for text in texts]
    if not lengths:
        raise BasinError("There is no generated text to judge; set generation.samples above 0.")
    return max(5, int(np.quantile(lengths, 0.1)))


def embedding_judge(embed: Embed) -> Judge:
    """Judge A: a strongly regularised classifier of sentence embeddings."""
    model = make_pipeline(StandardScaler(), _linear(0.001))

    def decide(
        real: RealPassages, generated: Mapping[str, Sequence[str]], folds: Int[np.ndarray, "passage"]
    ) -> Decisions:
        every = [*real.texts, *(text for written in generated.values() for text in written)]
        texts = list(dict.fromkeys(every))
        embedding = dict(zip(texts, np.asarray(embed(texts), dtype=np.float64), strict=True))

        def features(chosen: Sequence[str]) -> np.ndarray:
            return np.stack([embedding[text] for text in chosen])

        return cross_decisions(real, generated, folds, features, model)

    return decide


def word_judge() -> Judge:
    """Judge B: a classifier of word n-grams."""
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True), _linear(3))
    return lambda real, generated, folds: cross_decisions(real, generated, folds, list, model)


def _linear(inverse_penalty: float) -> LogisticRegression:
    return LogisticRegression(C=inverse_penalty, class_weight="balanced", max_iter=2000)


def _folds(real: RealPassages, config: WritingConfig, seed: int) -> Int[np.ndarray, "passage"]:
    folds = gold_folds(real.gold, real.document_of, config.folds, seed)
    if folds is None:
        raise BasinError(
            "A judge needs two documents inside the concept and two outside; give a larger corpus."
        )
    return folds


def _scattered(
    scores: Float[np.ndarray, "_kept"], kept: Bool[np.ndarray, "_text"]
) -> Float[np.ndarray, "_text"]:
    everywhere = np.full(len(kept), np.nan)
    everywhere[kept] = scores
    return everywhere
