"""How much generated text belongs to the concept, by judges that share nothing with the loop.

All texts are cut to one length. Decisions on real passages come from a classifier that was not
trained on their document. A logistic curve through those decisions and the gold labels (Platt 1999)
turns decisions into probabilities, and two means of real passages turn those into cluster scores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from pydantic import Field
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from agent.config import StageConfig
from agent.errors import BasinError
from agent.judging.average_precision import Row, gold_folds
from agent.judging.judges import Decisions, Judge, RealPassages

LEAST_AUC = 0.6
"""On real passages of unseen documents. Below it, members and others score alike."""
MIDPOINT = 0.5
"""The cluster score half-way from real non-members to real members."""


class WritingConfig(StageConfig):
    """How generated text is judged."""

    words: int | None = Field(None, ge=5)
    """Words at which all texts are compared; None: what nine tenths of the generated texts reach."""
    skip_words: int = Field(9, ge=0)
    """Opening words to leave out of a real passage, as the prompt is left out of a generated one.
    """
    folds: int = Field(5, ge=2)


@dataclass(frozen=True)
class Judgement:
    """One judge's probabilities of belonging."""

    auc: float
    """On real passages of unseen documents; 0.5 is chance."""
    members: float
    """Mean score of real members of unseen documents."""
    non_members: float
    generated: Mapping[str, Float[np.ndarray, "_text"]]
    """By generator; NaN for a text that is too short to judge."""
    real: Float[np.ndarray, "passage"]
    """Of each real passage, by a judge that did not see its document; NaN where it is too short."""

    @property
    def tells(self) -> bool:
        """Whether AUC is at least `LEAST_AUC` and members score above the others."""
        return self.auc >= LEAST_AUC and self.members > self.non_members

    def on_cluster_scale(self, scores: Float[np.ndarray, "_text"]) -> Float[np.ndarray, "_text"]:
        """(score - real non-members) / (real members - real non-members).

        0 is a random book, 1 is a real member, and well above 1 is a caricature. NaN for a judge
        that is not reliable.
        """
        gap = self.members - self.non_members if self.tells else np.nan
        return (scores - self.non_members) / gap


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
        generated: continuations without their prompts, by the generator's name (`basin`, `base`).
        judges: by name; see `agent.judging.judges`.

    Returns:
        Judgements whose arrays have the order of the given texts; NaN for a text too short to
        judge.

    Raises:
        BasinError: nothing was generated, nothing is long enough, or only one document is of a
            kind.
    """
    words = config.words or _common_length(generated)
    cuts = {name: [cut(text, words) for text in texts] for name, texts in generated.items()}
    real_cuts = [cut(text, words, config.skip_words) for text in real.texts]
    kept = {name: np.array([text is not None for text in texts], bool) for name, texts in cuts.items()}
    real_kept = np.array([text is not None for text in real_cuts], bool)
    if not any(each.any() for each in kept.values()) or not real_kept.any():
        raise BasinError(f"No generated or no real passage has {words} words to judge; lower the length.")
    equal = {name: [text for text in texts if text is not None] for name, texts in cuts.items()}
    shortened = replace(real, texts=[text or "" for text in real_cuts]).only(real_kept)
    folds = gold_folds(shortened.gold, shortened.document_of, config.folds, seed)
    if folds is None:
        raise BasinError(
            "A judge needs two documents inside the concept and two outside; give a larger corpus."
        )
    found = {}
    for name, judge in judges.items():
        judgement = calibrated(judge(shortened, equal, folds), shortened.gold, folds)
        scattered = {each: _scattered(judgement.generated[each], kept[each]) for each in kept}
        found[name] = replace(judgement, generated=scattered, real=_scattered(judgement.real, real_kept))
    return found


def cut(text: str, words: int, skip: int = 0) -> str | None:
    """`words` words of a text after its first `skip`, or None where there are fewer."""
    kept = text.split()[skip : skip + words]
    return " ".join(kept) if len(kept) == words else None


def _common_length(generated: Mapping[str, Sequence[str]]) -> int:
    lengths = [len(text.split()) for texts in generated.values() for text in texts]
    if not lengths:
        raise BasinError("There is no generated text to judge; set generation.samples above 0.")
    return max(5, int(np.quantile(lengths, 0.1)))


def _scattered(
    scores: Float[np.ndarray, "_kept"], kept: Bool[np.ndarray, "_text"]
) -> Float[np.ndarray, "_text"]:
    everywhere = np.full(len(kept), np.nan)
    everywhere[kept] = scores
    return everywhere


def calibrated(
    decisions: Decisions, gold: Bool[np.ndarray, "passage"], folds: Int[np.ndarray, "passage"]
) -> Judgement:
    """Probabilities of belonging at even odds, as if members were as common as the others.

    The curve is fitted at the corpus's share of members and then moved to even odds (Saerens et al.
    2002), because a generator's base rate is unknown. A fold's passages are scored by a curve
    fitted on the other folds.
    """
    real = np.empty(len(gold))
    for fold in np.unique(folds):
        seen, unseen = folds != fold, folds == fold
        real[unseen] = _curve(decisions.real[seen], gold[seen])(decisions.real[unseen])
    curve = _curve(decisions.real, gold)
    real = expit(real)
    return Judgement(
        auc=float(roc_auc_score(gold, decisions.real)),
        members=float(real[gold].mean()),
        non_members=float(real[~gold].mean()),
        generated={name: expit(curve(each)).mean(0) for name, each in decisions.generated.items()},
        real=real,
    )


def _curve(
    decisions: Float[np.ndarray, "passage"], gold: Bool[np.ndarray, "passage"]
) -> Callable[[np.ndarray], np.ndarray]:
    """Platt's curve from decisions to log-odds at even odds; 0 for a judge that ranks backwards."""
    # Standardised, because the penalty would shrink the slope of small decisions.
    middle, spread = decisions.mean(), decisions.std() or 1.0
    model = LogisticRegression(C=100.0).fit((decisions[:, None] - middle) / spread, gold)
    slope = float(model.coef_[0, 0])
    if slope <= 0:
        return np.zeros_like
    intercept = float(model.intercept_[0] - logit(gold.mean()))
    return lambda values: slope * (values - middle) / spread + intercept


def cluster_scores(judgements: Sequence[Judgement], generator: str) -> Float[np.ndarray, "judge text"]:
    """Each judge's cluster score of each text: 0 is the mean real non-member, 1 the mean member.

    NaN for a text that is too short, and for all texts of a judge that is not reliable.
    """
    return np.stack([each.on_cluster_scale(each.generated[generator]) for each in judgements])


def inside(scores: Float[np.ndarray, "judge text"]) -> Bool[np.ndarray, "text"]:
    """Whether the mean of a text's cluster scores is at least 0.5; False where one of them is NaN.

    A mean is used instead of a vote, because scores far from the midpoint are more certain.
    """
    return np.asarray(scores.mean(0) >= MIDPOINT)


def measure_inside(
    judgements: Sequence[Judgement], generator: str, real: RealPassages, coherent: Bool[np.ndarray, "text"]
) -> Row:
    """Shares of a generator's texts that are inside, and inside and coherent; None where a judge is
    not reliable.

    Not all real members pass, so their share is the number to compare with. The share of real
    non-members is the score of a random book.

    Args:
        judgements: of `judge_passages`, by the judges that count (A and B).
        real: the passages that the judgements were made with.
        coherent: of the generator's texts, in their order.
    """
    passed = inside(cluster_scores(judgements, generator))
    real_scores = np.stack([each.on_cluster_scale(each.real) for each in judgements])
    judged = ~np.isnan(real_scores).any(0)
    real_passed = inside(real_scores)
    known = len(passed) > 0 and all(each.tells for each in judgements)
    return {
        "inside": float(passed.mean()) if known else None,
        "inside_and_readable": float((passed & coherent).mean()) if known else None,
        "inside_of_real_members": float(real_passed[judged & real.gold].mean()) if known else None,
        "inside_of_real_others": float(real_passed[judged & ~real.gold].mean()) if known else None,
    }
