"""The suite is read with a sentence for every mistake, and no pointer sees an unseen text."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import yaml
from planted_suite import KITCHEN, SEA, planted_corpus, write_corpus

from agent.corpora.load import NAMED
from agent.errors import BasinError
from agent.pointer import lda
from loops.evaluation.generation.task import PLAIN, names
from loops.evaluation.membership import suite


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BASIN_CACHE", str(tmp_path / "cache"))


def entry(**changes):
    return {"name": "mine", "corpus": {"source": "stories.jsonl"}, "concepts": {"sea": ["ship"]}} | changes


def suite_file(tmp_path: Path, *entries) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(list(entries)), encoding="utf-8")
    return path


def test_the_suite_that_comes_with_basin_is_read():
    corpora = suite.load_suite()
    assert len(corpora) == 4 and all(corpus.concepts for corpus in corpora)
    for corpus in corpora:
        for concept, called in corpus.called.items():
            assert all(names(f"of {word}s and", [word]) for word in corpus.concepts[concept] if len(word) > 2)
            assert names(f"a {called} of", called.split()) and not names(PLAIN, called.split())
    assert all(suite.is_present(corpus) for corpus in corpora if corpus.corpus.source in NAMED)


def test_a_relative_source_is_taken_from_the_folder_of_the_file(tmp_path):
    (corpus,) = suite.load_suite(suite_file(tmp_path, entry()))
    assert corpus.corpus.source == str(tmp_path / "stories.jsonl")
    assert not suite.is_present(corpus)
    write_corpus(tmp_path)
    assert suite.is_present(corpus)
    assert len(suite.load_passages(corpus).documents) == 48


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([entry(pionter="words")], "no setting 0.pionter; the nearest known one is 0.pointer"),
        ([entry(topics={"cuont": 3})], "0.topics.cuont"),
        ([entry(pointer="oracle")], "0.pointer"),
        ([entry(called={"see": "sea story"})], "called names 'see', which is no concept with words"),
        ([entry(), entry()], "two corpora called 'mine'"),
    ],
)
def test_a_wrong_entry_is_refused_in_a_sentence(entries, said, tmp_path):
    with pytest.raises(BasinError, match=said) as told:
        suite.load_suite(suite_file(tmp_path, *entries))
    assert "mine.yaml" in str(told.value) and "\n" not in str(told.value)


def test_missing_and_unreadable_files_are_refused(tmp_path):
    with pytest.raises(BasinError, match="no suite"):
        suite.load_suite(tmp_path / "none.yaml")
    for content in (b"a: [", b"\xff\xfe\x00", b"", b"7"):
        (tmp_path / "bad.yaml").write_bytes(content)
        with pytest.raises(BasinError, match="bad.yaml") as told:
            suite.load_suite(tmp_path / "bad.yaml")
        assert "\n" not in str(told.value)


def test_parts_are_a_partition_that_keeps_authors_whole(tmp_path):
    passages = suite.load_passages(planted_corpus(tmp_path))
    parts = suite.parts(passages, seed=0)
    assert parts.shape == (len(passages.documents),)
    assert np.bincount(parts).tolist() == [16, 16, 16]
    parts_of = defaultdict(set)
    for document, part in zip(passages.documents, parts, strict=True):
        parts_of[document.author].add(int(part))
    assert len(parts_of) == 24 and all(len(each) == 1 for each in parts_of.values())
    assert not np.array_equal(parts, suite.parts(passages, seed=1))
    assert np.array_equal(parts, suite.parts(passages, seed=0))


@pytest.mark.parametrize("how", ["words", "seed_words"])
def test_a_pointer_points_without_having_seen_an_unseen_text(tmp_path, monkeypatch, how):
    corpus = planted_corpus(tmp_path, pointer=how, concepts={"sea": SEA[:3], "kitchen": KITCHEN[:3]})
    corpus = corpus.model_copy(update={"topics": corpus.topics.model_copy(update={"restarts": 2})})
    passages = suite.load_passages(corpus)
    unseen = suite.parts(passages, seed=0) == 0
    fitted, fit = [], lda.fit

    def watched(documents, *rest):
        fitted.append({document.id for document in documents})
        return fit(documents, *rest)

    monkeypatch.setattr(lda, "fit", watched)
    pointed = [suite.point(corpus, passages, unseen, 0, concept) for concept in corpus.concepts]
    hidden = {document.id for document, out in zip(passages.documents, unseen, strict=True) if out}
    assert len(fitted) == 2 and all(len(each) == 32 and not each & hidden for each in fitted)
    for each, words in zip(pointed, (SEA, KITCHEN), strict=True):
        mass = each.pointer.model.mass_on(words)
        assert each.pointer.topic == int(np.argmax(mass))
        share = np.array([sum(text.count(word) for word in words) for text in passages.texts])
        assert np.corrcoef(share, each.reading.weights)[0, 1] > 0.4
        assert each.reading.expected_words.shape == each.reading.weights.shape == (len(passages.texts),)
        assert (each.reading.words >= each.reading.expected_words).all()
