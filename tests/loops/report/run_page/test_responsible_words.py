"""Responsible words are those of the topic and not of others."""

import numpy as np

from agent.pointer.topic_model import Pointer, TopicModel
from loops.report.run_page.passages import responsible_words


def planted_pointer() -> Pointer:
    """Two topics: one of police and clue, the other of horse and hay; door is shared."""
    counts = np.array([[50.0, 50.0, 0.1, 0.1, 20.0], [0.1, 0.1, 50.0, 50.0, 20.0]])
    return Pointer(TopicModel(("police", "clue", "horse", "hay", "door"), counts, np.array([0.5, 0.5]), 7), 0)


def words(text: str, **options: float) -> dict[str, float]:
    (spans,) = responsible_words(planted_pointer(), [text], **options)
    return {text[begin:end]: share for begin, end, share in spans}


def test_only_words_of_the_topic_are_responsible():
    found = words("The Police's clue, a horse and hay.", least=0.5)
    assert set(found) == {"Police's", "clue"} and min(found.values()) > 0.9


def test_a_shared_word_follows_the_topic_of_its_text():
    assert words("police police clue door")["door"] > 0.8
    assert "door" not in words("horse hay horse hay door")


def test_unknown_words_and_empty_texts_have_no_responsibility():
    assert responsible_words(planted_pointer(), ["nobody knows these", ""]) == [[], []]
