"""Passages: nearly equal, cut at sentence ends, nothing lost, duplicates counted, folds by document."""

import numpy as np
import pytest
from pydantic import ValidationError

from agent.corpora.passages import PassagesConfig, cut, evenly_spaced, split
from agent.errors import BasinError
from agent.types import Document, document_id


def document(text: str) -> Document:
    return Document(id=document_id(text), text=text)


def prose(words: int, seed: int) -> str:
    """Sentences of 4 to 20 made-up words, five to a paragraph."""
    random = np.random.default_rng(seed)
    sentences, written = [], 0
    while written < words:
        length = min(int(random.integers(4, 21)), words - written)
        chosen = ["".join(random.choice(list("abcdefgh"), size=4)) for _ in range(length)]
        sentences.append(" ".join(chosen).capitalize() + ".")
        written += length
    return "\n\n".join(" ".join(sentences[at : at + 5]) for at in range(0, len(sentences), 5))


@pytest.mark.parametrize("words", [60, 180, 260, 275, 1000, 5003])
def test_cuts_lose_nothing_end_sentences_and_are_of_even_length(words):
    text = prose(words, seed=words)
    pieces = cut(text, 180)
    assert len(pieces) == max(1, round(words / 180))
    assert " ".join(pieces).split() == text.split()
    assert all(piece.endswith(".") for piece in pieces)
    aim = words / len(pieces)
    assert all(abs(len(piece.split()) - aim) <= 20 for piece in pieces)


def test_a_text_without_sentence_ends_is_cut_between_words():
    text = " ".join(f"w{n}" for n in range(1000))
    lengths = [len(piece.split()) for piece in cut(text, 100)]
    assert sum(lengths) == 1000
    assert max(lengths) <= 130


def test_abbreviations_and_initials_do_not_end_sentences():
    text = "He saw Mr. Holmes and Dr. J. Watson there. " * 12
    assert all(piece.startswith("He saw") for piece in cut(text, 10))


def test_a_passage_keeps_its_paragraphs():
    assert cut("One two.\n\nThree four.", 10) == ["One two.\n\nThree four."]


def test_duplicates_and_short_documents_are_dropped_and_counted():
    first, second = prose(400, 1), prose(400, 2)
    documents = [document(text) for text in (first, second, first.upper(), "Two words", f" {second}\n", "")]
    passages = split(documents, PassagesConfig())
    assert passages.dropped == {"duplicate documents": 2, "short documents": 2}
    assert passages.documents == tuple(documents[:2])
    assert passages.document_of.tolist() == [0, 0, 1, 1]
    assert [passage.position for passage in passages.passages] == [0, 1, 0, 1]
    assert len({passage.id for passage in passages.passages}) == 4


def test_passages_that_documents_share_are_kept_once():
    shared = prose(180, 3)
    documents = [document(f"{shared}\n\n{prose(180, seed)}") for seed in (4, 5)]
    passages = split(documents, PassagesConfig())
    assert passages.dropped == {"duplicate passages": 1}
    assert passages.document_of.tolist() == [0, 0, 1]


def test_per_document_keeps_evenly_spaced_passages():
    assert evenly_spaced(10, 2) == [2, 7]
    assert evenly_spaced(3, 5) == evenly_spaced(3, None) == [0, 1, 2]
    documents = [document(prose(1800, seed)) for seed in (6, 7)]
    passages = split(documents, PassagesConfig(per_document=2))
    assert [passage.position for passage in passages.passages] == [2, 7, 2, 7]


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        ([], "holds no documents"),
        ([prose(400, 1)], "holds a single document"),
        ([prose(400, 1)] * 3, "holds a single distinct document"),
        (["two words", "three words here"], "None of the corpus's 2 documents is long enough"),
        (["two words", prose(400, 1)], "1 of the corpus's 2 documents is long enough.*minimum_words from 60"),
    ],
)
def test_a_corpus_with_nothing_to_compare_is_refused(texts, sentence):
    with pytest.raises(BasinError, match=sentence):
        split([document(text) for text in texts], PassagesConfig())


def test_config_refuses_nonsense():
    with pytest.raises(ValidationError, match="must not exceed words"):
        PassagesConfig(words=50, minimum_words=60)
    with pytest.raises(ValidationError):
        PassagesConfig(word=180)
