"""Real text passes, loops and salad do not, and the language model's limit is a quantile of real losses."""

from __future__ import annotations

import re

import numpy as np
import pytest
from conftest import make_language_model, sentence

from agent.errors import BasinError
from agent.language_model.coherence import Coherence, CoherenceConfig, text_statistics

SUBJECTS = ["The old man", "A tall woman", "My brother", "The clerk", "Nobody in the house", "She", "He"]
VERBS = [
    "walked to",
    "looked at",
    "had never seen",
    "spoke of",
    "was afraid of",
    "turned from",
    "wrote about",
]
OBJECTS = ["the river", "a door", "the letter on the table", "his father's watch", "that room", "the street"]
ENDS = [" in the morning.", ", and then it rained.", " with a smile.", ".", ' and said, "No."', "?"]


def real_texts(count: int, seed: int = 0) -> list[str]:
    generator = np.random.default_rng(seed)
    return [
        " ".join(
            " ".join(map(generator.choice, (SUBJECTS, VERBS, OBJECTS))) + generator.choice(ENDS)
            for _ in range(14)
        )
        for _ in range(count)
    ]


@pytest.fixture(scope="module")
def coherence() -> Coherence:
    return Coherence.load(real_texts(200), CoherenceConfig(model=None))


def verdict(coherence: Coherence, text: str):
    return coherence.check([text], ["The clerk"])


def test_unseen_real_texts_nearly_always_pass(coherence):
    report = coherence.check(real_texts(200, seed=1), ["The clerk"] * 200)
    assert report.share > 0.93
    assert np.isnan(report.losses).all() and not report.unlikely.any()


def test_a_loop_is_repetitive(coherence):
    report = verdict(coherence, real_texts(1)[0][:60] + " and he said that he said that he said that" * 12)
    assert report.repetitive_share == 1.0 and report.share == 0.0


@pytest.mark.parametrize(
    "text",
    [
        "detective murder police evidence crime clue witness inspector suspect victim body weapon " * 1
        + "alibi coroner jury verdict prison gallows sergeant constable barrister solicitor judge",
        "The man ???!!!..,,;;--- walked (((( to ]]]] the door. He looked at it.",
        "1 = 2 || 3 -> 4; 77 88 99 101 :: 12.5 the 13 14 15 of 16 17 18 $% 19 20",
        "No. Yes. A. He. The. In. She. And. To. Of. It. Was. Not. On. Then. With. Of.",
        "the man walked to the door. he looked at the river. she turned from it. nobody spoke of the letter.",
        "",
        " \n ",
    ],
)
def test_broken_text_is_broken(coherence, text):
    report = verdict(coherence, text)
    assert report.broken_share == 1.0 and not report.coherent[0]


FORMS = {
    "lower case without punctuation": lambda text: re.sub(r"[^a-z' ]", "", text.lower()),
    "capitals": str.upper,
    "a transcript": lambda text: re.sub(r"[^\w' ]", "", text).lower().replace(" and ", " uh and "),
    "verse": lambda text: re.sub(r"[.,] ", "\n", text).replace('"', ""),
    "scanned": lambda text: re.sub(r"(\w) (\w)", r"\1 ~ \2", text).replace("e,", "€,").replace(".", " ."),
    "code": lambda text: "\n".join(f"x{at} = {word}({at});" for at, word in enumerate(text.split())),
}


@pytest.mark.parametrize("form", FORMS)
def test_limits_that_the_base_model_cannot_meet_come_from_what_it_writes(form: str) -> None:
    corpus = [FORMS[form](text) for text in real_texts(200)]
    coherence = Coherence.load(corpus, CoherenceConfig(model=None))
    base, prompts = real_texts(40, seed=1), ["The clerk"] * 40
    before, fair = coherence.check(base, prompts), coherence.fair_to(base, prompts)
    if before.share >= 0.5:
        assert form in ("capitals", "verse", "scanned") and fair is coherence
        return
    assert before.share < 0.1 and "now come from what the base model writes" in fair.note
    assert fair.check(base, prompts).share > 0.6
    assert not fair.check(["? ! ?? The. !!!! (((("] * 3, [""] * 3).coherent.any()
    assert not fair.check(["word salad murder police alibi crime clue"] * 3, [""] * 3).coherent.any()


def test_a_base_model_that_writes_no_text_moves_no_limit(coherence) -> None:
    noise = ["xq zzk 88 qwv | " * 12] * 9
    fair = coherence.fair_to(noise, [""] * 9)
    assert fair.limits == coherence.limits and "by every measure" in fair.note
    good = real_texts(9, seed=2)
    assert coherence.fair_to(good, [""] * 9) is coherence


def test_chinese_passages_are_judged_by_the_character() -> None:
    draw = np.random.default_rng(0)
    pieces = [
        f"{who}{did}{what}。"
        for who in ("侦探", "警察", "法官")
        for did in ("看见了", "找到了")
        for what in ("凶手", "证据", "房间", "刀")
    ]
    texts = ["".join(draw.permutation(pieces)) for _ in range(40)]
    judge = Coherence.load(texts, CoherenceConfig(model=None, words=30, prompt_words=3))
    assert judge.check([text[6:] for text in texts[:10]], [""] * 10).share > 0.8
    loop, stopless = "侦探看见了凶手" * 12, "侦。" * 40
    assert judge.check([loop, stopless], [""] * 2).share == 0


def test_statistics_by_hand():
    values = text_statistics("He ran. He ran, and he -- ran? well.", frozenset({"he", "and"}))
    assert values["distinct_trigrams"] == 1.0
    assert values["longest_repeat"] == 2
    assert values["common_words"] == pytest.approx(4 / 8)
    assert values["punctuation_run"] == 2
    assert values["words_per_stop"] == pytest.approx(8 / 3)
    assert values["uncapitalised"] == pytest.approx(1 / 2)
    assert text_statistics("a b c a b c a b c", frozenset())["distinct_trigrams"] == pytest.approx(3 / 7)


def test_the_loss_limit_is_the_quantile_of_real_losses():
    generator = np.random.default_rng(0)
    language_model = make_language_model()
    texts = [sentence(*generator.integers(0, 90, 30)) for _ in range(40)]
    config = CoherenceConfig(prompt_words=3, words=20, real_passages=40, quantile=0.9)
    coherence = Coherence.fit(texts, config, language_model)
    heads, rests = (
        [text[: len(_head(text, 3))] for text in texts],
        [_head(text, 23)[len(_head(text, 3)) :] for text in texts],
    )
    losses = language_model.losses(rests, heads)
    assert coherence.loss_limit == pytest.approx(np.quantile(losses, 0.9))
    # Checked at the length it was fitted at: what follows does not count.
    report = coherence.check([rest + sentence(1) * 15 for rest in rests], heads)
    np.testing.assert_allclose(report.losses, losses, atol=1e-5)
    assert report.unlikely.sum() == 4
    assert not report.coherent[report.unlikely].any()


def _head(text: str, words: int) -> str:
    return "".join(" " + word for word in text.split()[:words])


def test_too_little_text_is_named():
    with pytest.raises(BasinError, match="Only 0 real passages have 69 words"):
        Coherence.fit(["Too short."] * 20, CoherenceConfig(model=None), None)
    with pytest.raises(BasinError, match="no passages"):
        Coherence.load(real_texts(20), CoherenceConfig(model=None)).check([], [])
