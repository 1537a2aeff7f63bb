"""How much generated text belongs to the concept, according to judges that share nothing with the loop.

Judge A reads sentence embeddings, judge B word n-grams; both are trained on gold labels, on real passages
cut to the length of what they judge, and never on generated text. Judges that look at words are fooled by
word salad in the right vocabulary: their scores mean something only beside coherence, and after reading
samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from pydantic import Field
from scipy.special import expit
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from agent.errors import BasinError
from agent.judging.measure import Row, gold_folds
from agent.types import StageConfig

Embed = Callable[[Sequence[str]], np.ndarray]
"""Sentence embeddings of texts, float array [text, dimension]; `SentenceTransformer.encode` is one."""


class WritingConfig(StageConfig):
    """How generated text is judged."""

    words: int | None = Field(None, ge=5)
    """Length at which all texts are compared; None takes what nine tenths of the generated ones reach."""
    skip_words: int = Field(9, ge=0)
    """Opening words of a real passage left out, as the prompt is left out of a generated one."""
    folds: int = Field(5, ge=2)


@dataclass(frozen=True)
class RealPassages:
    """What the judges learn from, and what generated text is compared with."""

    texts: Sequence[str]
    gold: Bool[np.ndarray, "passage"]
    document_of: Int[np.ndarray, "passage"]


@dataclass(frozen=True)
class Judgement:
    """Scores of one judge: probabilities of belonging."""

    auc: float
    """Of real passages of documents the judge did not see: how far it can be trusted; 0.5 is a coin."""
    members: float
    """Mean score of real members, of documents the judge did not see."""
    non_members: float
    generated: Mapping[str, Float[np.ndarray, "text"]]
    """By generator."""


def judge_writing(
    real: RealPassages,
    generated: Mapping[str, Sequence[str]],
    embed: Embed,
    config: WritingConfig,
    seed: int,
) -> list[Row]:
    """A flat row for every generator and judge: score, cluster score, the judge's AUC, what real text scores.

    Args:
        generated: continuations without their prompts, by the generator's name (`basin`, `base`, ...).

    Raises:
        BasinError: nothing was generated, nothing is long enough, or only one document is of a kind.
    """
    words = config.words or _common_length(generated)
    equal = {name: _equal(texts, words) for name, texts in generated.items()}
    cuts = [cut(text, words, config.skip_words) for text in real.texts]
    kept = np.array([text is not None for text in cuts])
    if not any(equal.values()) or not kept.any():
        raise BasinError(f"No generated or no real passage has {words} words to judge; lower the length.")
    real = RealPassages([text for text in cuts if text is not None], real.gold[kept], real.document_of[kept])
    judges = {"A embeddings": _by_embeddings, "B word n-grams": _by_words}
    rows: list[Row] = []
    for name, judge in judges.items():
        judgement = _cross_judge(real, equal, *judge(real, equal, embed), config, seed)
        for generator, scores in judgement.generated.items():
            short = len(generated[generator]) - len(scores)
            row: Row = {"generator": generator, "judge": name, "words": words, "samples": len(scores)}
            row |= {"too_short": short, "score": float(scores.mean())}
            row |= {"cluster_score": cluster_score(row["score"], judgement.members, judgement.non_members)}
            row |= {"score_members": judgement.members, "score_non_members": judgement.non_members}
            rows.append(row | {"auc": judgement.auc})
    return rows


def cluster_score(generated: float, members: float, non_members: float) -> float | None:
    """(judge(generated) - judge(real non-members)) / (judge(real members) - judge(real non-members)).

    0 is a random book, 1 as much inside as the real ones, well above 1 a caricature. None where the judge
    does not score real members above the others, because then it measures nothing.
    """
    return (generated - non_members) / (members - non_members) if members > non_members else None


def cut(text: str, words: int, skip: int = 0) -> str | None:
    """`words` words of a text after its first `skip`, or None where there are not as many."""
    kept = text.split()[skip : skip + words]
    return " ".join(kept) if len(kept) == words else None


def _equal(texts: Sequence[str], words: int) -> list[str]:
    return [text for text in (cut(text, words) for text in texts) if text is not None]


def _common_length(generated: Mapping[str, Sequence[str]]) -> int:
    lengths = [len(text.split()) for texts in generated.values() for text in texts]
    if not lengths:
        raise BasinError("There is no generated text to judge; set generation.samples above 0.")
    return max(5, int(np.quantile(lengths, 0.1)))


def _by_embeddings(
    real: RealPassages, generated: Mapping[str, Sequence[str]], embed: Embed
) -> tuple[Any, Any]:
    """Judge A: (function from texts to features, unfitted classifier). Every text is embedded once."""
    texts = list(dict.fromkeys([*real.texts, *(text for written in generated.values() for text in written)]))
    embedding = dict(zip(texts, np.asarray(embed(texts), dtype=np.float64), strict=True))
    model = make_pipeline(StandardScaler(), _linear(0.001))
    return lambda chosen: np.stack([embedding[text] for text in chosen]), model


def _by_words(real: RealPassages, generated: Mapping[str, Sequence[str]], embed: Embed) -> tuple[Any, Any]:
    """Judge B: the same of word n-grams; it needs no embeddings."""
    return list, make_pipeline(TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True), _linear(3))


def _linear(inverse_penalty: float) -> LogisticRegression:
    return LogisticRegression(C=inverse_penalty, class_weight="balanced", max_iter=2000)


def _cross_judge(
    real: RealPassages,
    generated: Mapping[str, Sequence[str]],
    features: Callable[[Sequence[str]], Any],
    model: Any,
    config: WritingConfig,
    seed: int,
) -> Judgement:
    """Real passages are scored by the classifier that did not see their document, generated ones by all."""
    folds = gold_folds(real.gold, real.document_of, config.folds, seed)
    if folds is None:
        raise BasinError(
            "A judge needs two documents inside the concept and two outside; give a larger corpus."
        )
    held_out = np.empty(len(real.texts))
    scores: dict[str, list[np.ndarray]] = {name: [] for name, texts in generated.items() if texts}
    for fold in np.unique(folds):
        training, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        fitted = clone(model).fit(features([real.texts[index] for index in training]), real.gold[training])
        held_out[test] = expit(fitted.decision_function(features([real.texts[index] for index in test])))
        for name, parts in scores.items():
            parts.append(expit(fitted.decision_function(features(generated[name]))))
    return Judgement(
        auc=float(roc_auc_score(real.gold, held_out)),
        members=float(held_out[real.gold].mean()),
        non_members=float(held_out[~real.gold].mean()),
        generated={name: np.mean(parts, axis=0) for name, parts in scores.items()},
    )
