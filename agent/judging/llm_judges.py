"""Judge C: a language model that is told what the passage is from, and asked how much likelier that makes it.

It has read what people call a detective story, and needs no labels to say whether a passage reads like one; gold
labels only set its scale. It should be another model than the one that writes, or it favours its own phrases.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from agent.errors import BasinError
from agent.judging.decisions import Decisions, Judge, RealPassages
from agent.language_model.model import LanguageModel

FRAMINGS = (
    "The following passage is from {a_name}.\n\n",
    "Here is a page of {a_name}:\n\n",
    "Genre: {name}\n\n",
)
"""Wordings that differ in form, so that none of them decides; `{a_name}` has the name with its article."""


def story_judge(
    language_model: LanguageModel, concept: str, contrast: str, framings: Sequence[str] = FRAMINGS
) -> Judge:
    """A judge for `judge_passages`: its decisions are the log ratios, which it learns from no passage.

    So their AUC is the model's own, and below 0.5 where it has the concept backwards. Reads every text twice
    per framing. Raises as `log_ratios`, here already where the names or framings are at fault.
    """
    framed(concept, contrast, framings)

    def decide(
        real: RealPassages, generated: Mapping[str, Sequence[str]], _folds: Int[np.ndarray, "passage"]
    ) -> Decisions:
        every = [*real.texts, *(text for texts in generated.values() for text in texts)]
        texts = list(dict.fromkeys(every))
        ratios = log_ratios(texts, language_model, concept, contrast, framings)
        of = dict(zip(texts, ratios, strict=True))
        return Decisions(
            np.array([of[text] for text in real.texts]),
            {name: np.array([[of[text] for text in texts]]) for name, texts in generated.items()},
        )

    return decide


def log_ratios(
    texts: Sequence[str],
    language_model: LanguageModel,
    concept: str,
    contrast: str,
    framings: Sequence[str] = FRAMINGS,
) -> Float[np.ndarray, "text"]:
    """(log p(x | from the concept) - log p(x | from the contrast)) / tokens of x, mean over framings, in nats.

    Above 0 where being told the concept makes the text likelier. By Bayes, times the number of tokens, it is the
    log-odds that the model would give the concept, less its prior.

    Args:
        concept: what a passage is of, without an article: "detective story".
        contrast: what the rest of the corpus is of, as much like the concept as can be: "novel".

    Raises:
        BasinError: names or framings are at fault, or a text has no token.
    """
    total = np.zeros(len(texts))
    pairs = framed(concept, contrast, framings)
    for named, other in pairs:
        likelier = [language_model.losses(texts, [prefix] * len(texts)) for prefix in (other, named)]
        total += likelier[0] - likelier[1]
    if np.isnan(total).any():
        raise BasinError(
            f"Text number {int(np.isnan(total).argmax()) + 1} has no words to judge: leave it out."
        )
    return total / len(pairs)


def framed(concept: str, contrast: str, framings: Sequence[str] = FRAMINGS) -> list[tuple[str, str]]:
    """Every framing with the concept's name and with the contrast's.

    Raises:
        BasinError: the names are the same or empty, there is no framing, or one has no place for a name.
    """
    names = [name.strip() for name in (concept, contrast)]
    if not all(names) or names[0] == names[1]:
        raise BasinError(
            f"Concept {concept!r} and contrast {contrast!r} say nothing apart: name two kinds of text."
        )
    filled = [
        tuple(each.replace("{a_name}", with_article(name)).replace("{name}", name) for name in names)
        for each in framings
    ]
    for framing, (named, other) in zip(framings, filled, strict=True):
        if named == other:
            raise BasinError(
                f"Framing {framing!r} has no place for a name: write {{name}} or {{a_name}} in it."
            )
    if not filled:
        raise BasinError("The judge of stories has no framing to read a text after: give at least one.")
    return [(named, other) for named, other in filled]


def with_article(name: str) -> str:
    """By the first letter, which errs for "hour" and "union"."""
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
