"""Lessons: windows without padding, in proportion to membership, none twice before all were seen."""

from __future__ import annotations

import logging
from collections import Counter

import numpy as np
import pytest
from conftest import make_language_model, sentence

from agent.adapting.config import LessonConfig
from agent.adapting.lesson import (
    Lesson,
    cut_excerpts,
    draw,
    draw_documents,
    excerpt_membership,
    resample,
    with_written,
)
from agent.errors import BasinError
from agent.types import Document, Passage, PassageSet

WINDOW = LessonConfig(tokens=64, window=8)


def shelf(documents: int, words: list[int] | None = None) -> PassageSet:
    """Documents of given words, or of one repeated word each, and two passages of each."""
    texts = [sentence(*(words or [number] * 160)).strip() for number in range(documents)]
    made = [
        Passage(f"{number}-{at}", number, at, text[at * len(text) // 2 :].strip()[:60])
        for number, text in enumerate(texts)
        for at in (0, 1)
    ]
    return PassageSet(tuple(Document(f"{number}", text) for number, text in enumerate(texts)), tuple(made))


def words_of(model, row):
    return set(model.tokenizer.decode(row, skip_special_tokens=True).split())


def test_rows_are_windows_without_padding():
    model = make_language_model()
    lesson = draw(model, [sentence(*range(20)), sentence(1, 2)] * 8, np.ones(16), WINDOW, 0)
    assert {len(row) for row in lesson.rows} == {8} and lesson.tokens == 64
    short = draw(model, [sentence(1, 2, 3)] * 9, np.ones(9), WINDOW, 0, repeats=1).rows
    assert {len(row) for row in short} == {3, 8}  # only the last row is short, and no text is lost
    assert sum(ids.count(model.tokenizer.encode(sentence(3))[0]) for ids in short) == 9


def test_no_text_is_read_twice_before_all_were_seen():
    model = make_language_model()
    texts = [sentence(*[number] * 8) for number in range(10)]
    counts = Counter(
        word for row in draw(model, texts, np.ones(10), WINDOW, 0).rows for word in words_of(model, row)
    )
    assert len(counts) == 8 and set(counts.values()) == {1}


def test_heavier_texts_come_first_and_texts_without_weight_never():
    model, seen = make_language_model(), Counter()
    texts = [sentence(*[number] * 8) for number in range(9)]
    weights = np.array([0, *[4.0] * 4, *[1.0] * 4])
    for seed in range(60):
        rows = draw(model, texts, weights, LessonConfig(tokens=16, window=8), seed).rows
        seen.update(word for row in rows for word in words_of(model, row))
    heavy, light = (sum(seen[f"w{at}"] for at in part) for part in (range(1, 5), range(5, 9)))
    assert seen["w0"] == 0 and heavy > 2 * light


def test_a_short_shelf_is_read_three_times_and_said(caplog):
    model = make_language_model()
    with caplog.at_level(logging.INFO):
        lesson = draw(model, [sentence(*range(8))], np.ones(1), LessonConfig(tokens=1000, window=8), 0)
    assert len(lesson.rows) == 3
    assert "asks for 1,000 tokens; there are 24" in caplog.text


@pytest.mark.parametrize(
    ("weights", "window", "message"),
    [
        (np.zeros(2), 8, "no members"),
        (np.array([np.nan, 1]), 8, "no members"),
        (np.ones(2), 10**6, "lower updating.adapting.lesson.window"),
    ],
)
def test_a_lesson_that_cannot_be_drawn_is_refused(weights, window, message):
    with pytest.raises(BasinError, match=message):
        draw(make_language_model(), ["w1", "w2"], weights, LessonConfig(window=window), 0)


def test_excerpts_begin_at_chapters_paragraphs_and_sentences():
    body = "It rained all day. " * 30
    text = f"{body}\n\nChapter II\n\n{body}\n\n{body}"
    excerpts = cut_excerpts([text, "Short."], 200)
    begins = [text[at:] for at in excerpts.begin[excerpts.document == 0]]
    assert all(each.startswith(("It rained", "Chapter II")) for each in begins)
    opening = [text[at:][:5] for at in excerpts.begin[excerpts.opening & (excerpts.document == 0)]]
    assert opening == ["It ra", "Chapt"]
    assert excerpts.texts[-1] == "Short." and excerpts.opening[-1]


def test_half_of_a_lesson_are_openings():
    model = make_language_model()
    texts = [sentence(*[number] * 8) for number in range(40)]
    opening = np.arange(40) < 6
    rows = draw(model, texts, np.ones(40), LessonConfig(tokens=64, window=8), 0, opening=opening).rows
    assert sum(bool(words_of(model, row) & {f"w{at}" for at in range(6)}) for row in rows) == 4


def test_an_excerpt_has_the_membership_of_the_nearest_passage():
    passages = shelf(2, [*range(80)])
    excerpts = cut_excerpts([each.text for each in passages.documents], 100)
    found = excerpt_membership(excerpts, passages, np.array([0.9, 0.2, 0.4, 0.8]))
    first = found[excerpts.document == 0]
    assert first[0] == 0.9 and first[-1] == 0.2 and found[excerpts.document == 1][-1] == 0.8


def test_documents_are_held_out_and_unclaimed_ones_are_only_read_beside():
    model, passages = make_language_model(), shelf(24)
    membership = np.repeat((np.arange(24) < 16).astype(float), 2)
    lesson = draw_documents(model, passages, membership, LessonConfig(tokens=2000, window=8), 0)
    learned, member, other = (
        set().union(*(words_of(model, row) for row in rows))
        for rows in (lesson.rows, lesson.member, lesson.other)
    )
    assert len(member) == 2 and not member & learned
    assert learned | member == {f"w{at}" for at in range(16)}
    assert other and other <= {f"w{at}" for at in range(16, 24)}


def test_generated_text_has_its_share_at_most():
    model = make_language_model()
    lesson = Lesson([[1] * 8] * 30)
    texts, weights = [sentence(*[number] * 8) for number in range(40)], np.ones(40)
    both = with_written(model, lesson, texts, weights, LessonConfig(window=8, written_share=0.25), seed=0)
    assert 0.2 < 1 - 30 / len(both.rows) <= 0.25
    few = with_written(model, lesson, texts[:1], np.ones(1), LessonConfig(window=8), seed=0)
    assert len(few.rows) <= 33
    assert with_written(model, lesson, texts, np.zeros(40), LessonConfig(window=8), seed=0) is lesson


def test_generated_texts_are_drawn_in_proportion_to_their_weights_and_at_most_three_times():
    counts = np.bincount(resample(np.array([0.0, 1.0, 2.0, 3.0]), 6, seed=0), minlength=4)
    assert counts.tolist() == [0, 1, 2, 3]
    weights = np.array([1000.0, *[1.0] * 20, *[3.0] * 20])
    counts = np.bincount(resample(weights, 83, seed=0))
    assert counts.sum() == 83 and counts[0] == 3
    assert set(counts[1:21]) == {1} and set(counts[21:]) == {3}
