"""Judge D, where a larger instruction-tuned model is at hand: it is shown a rubric and asked for a grade.

The grade is the expectation over the five digits that the model could answer next, so no answer has to be sampled or parsed,
and a model that hesitates between 3 and 4 says 3.5 (G-Eval, Liu et al. 2303.16634).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int

from agent.errors import BasinError
from agent.judging.decisions import Decisions, Judge, RealPassages
from agent.judging.llm_judges import with_article
from agent.language_model.model import LanguageModel

GRADES = (1, 2, 3, 4, 5)
BELONGS = """You grade short passages. Does this passage read like a page of {a_name}?
Judge what happens in it and how it is told, not single words.
1: nothing in it could be from {a_name}
2: a word or two could be
3: it could be, as well as from another book
4: it is probably from {a_name}
5: it is unmistakably from {a_name}

Passage:
{passage}

Answer with one digit from 1 to 5.
"""
READABLE = """You grade short passages. Is this passage readable English prose, whatever it is about?
It may begin and break off in the middle of a sentence.
1: words in no order
2: sentences that do not hold together
3: sentences that hold together, but not with each other
4: readable, with slips
5: reads like a printed book

Passage:
{passage}

Answer with one digit from 1 to 5.
"""


def rubric_judge(language_model: LanguageModel, concept: str) -> Judge:
    """A judge for `judge_passages` whose decisions are grades of belonging, in [1, 5]; learnt from no passage."""
    a_name = a_named(concept)

    def decide(
        real: RealPassages, generated: Mapping[str, Sequence[str]], _folds: Int[np.ndarray, "passage"]
    ) -> Decisions:
        graded = {
            which: grades(language_model, BELONGS, texts, a_name=a_name)
            for which, texts in {**generated, "": real.texts}.items()
        }
        return Decisions(graded[""], {which: graded[which][None] for which in generated})

    return decide


def a_named(concept: str) -> str:
    """The concept's name with its article. Raises `BasinError` for none."""
    name = concept.strip()
    if not name:
        raise BasinError("The rubric needs a name for the concept, such as 'detective story'.")
    return with_article(name)


@torch.no_grad()
def grades(
    language_model: LanguageModel, rubric: str, texts: Sequence[str], **named: str
) -> Float[np.ndarray, "text"]:
    """The expected grade of every text under a rubric, in [1, 5].

    Asked in the model's chat format where it has one. Raises `BasinError` where the model's tokenizer has no digits.
    """
    questions = [rubric.format(passage=text, **named) for text in texts]
    asked = [language_model.chat(question) or f"{question}Answer: " for question in questions]
    digits = _digit_tokens(language_model)
    found = np.zeros(len(texts))
    for batch in language_model.batches(asked, max_tokens=2048):
        states = language_model.states(batch)
        last = batch.real.sum(1) - 1  # padded on the right
        answers = language_model.output.logits(states[torch.arange(len(last)), last])[:, digits].softmax(-1)
        found[list(batch.rows)] = (answers.cpu().double() @ torch.tensor(GRADES, dtype=torch.double)).numpy()
    return found


def _digit_tokens(language_model: LanguageModel) -> list[int]:
    tokenizer = language_model.tokenizer
    found = [tokenizer(str(grade), add_special_tokens=False)["input_ids"] for grade in GRADES]
    if (
        any(not ids or ids[-1] == tokenizer.unk_token_id for ids in found)
        or len({ids[-1] for ids in found}) < 5
    ):
        raise BasinError(
            f"Model {language_model.config.name!r} has no tokens for the digits 1 to 5, so it cannot grade: name another."
        )
    return [ids[-1] for ids in found]
