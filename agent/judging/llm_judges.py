"""Judge C: a language model compares a passage's likelihood after two descriptions.

It needs gold labels only for its scale. Use another model than the one that writes, because a model
prefers its own phrases.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from agent.errors import BasinError
from agent.judging.decisions import Decisions, Judge, RealPassages
from agent.language_model.model import LanguageModel

FRAMING = "The following passage is from {a_name}.\n\n"


def story_judge(language_model: LanguageModel, concept: str, contrast: str) -> Judge:
    """A judge for `judge_passages` whose decisions are `log_ratios`; it reads every text twice.

    Its AUC is the model's own, and below 0.5 where the model has the concept backwards.
    Raises as `log_ratios`, already here for the names.
    """
    _prefixes(concept, contrast)

    def decide(
        real: RealPassages, generated: Mapping[str, Sequence[str]], _folds: Int[np.ndarray, "passage"]
    ) -> Decisions:
        every = [*real.texts, *(text for texts in generated.values() for text in texts)]
        texts = list(dict.fromkeys(every))
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
