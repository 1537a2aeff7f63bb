"""Prompts do not name the concept, and the judges' passages are used for nothing else."""

from __future__ import annotations

import json

import numpy as np
import pytest
from planted_suite import GOLD_ENTRY, KITCHEN, SEA, planted_corpus

from agent.clustering.texts import Texts
from agent.errors import BasinError
from agent.judging.gold import every_gold_labels
from loops.evaluation.generation import task as generation_task
from loops.evaluation.generation.task import (
    PLAIN,
    PLAIN_EVERY,
    RecordedCorpus,
    make_task,
    names,
    neutral_prompts,
)
from loops.evaluation.membership import suite

WORDS = (*SEA[:3], "harbor", "story")


@pytest.fixture(autouse=True)
def _planted(tmp_path, monkeypatch):
    monkeypatch.setenv("BASIN_CACHE", str(tmp_path / "cache"))
    gold_file = tmp_path / "labels.yaml"
    gold_file.write_text(json.dumps({"stories.jsonl": GOLD_ENTRY}), encoding="utf-8")
    monkeypatch.setattr(generation_task, "SUITE_GOLD_FILE", gold_file)
    monkeypatch.setattr(generation_task, "COMPONENTS", 12)


@pytest.fixture
def corpus(tmp_path):
    called = {"sea": "harbor story", "kitchen": "recipe"}
    return planted_corpus(tmp_path, concepts={"sea": SEA[:3], "kitchen": KITCHEN[:3]}, called=called)


@pytest.fixture
def read(corpus, tmp_path):
    """Planted activations that hold the concept; no language model."""
    passages = suite.load_passages(corpus)
    labels = every_gold_labels(corpus.corpus, passages.documents, tmp_path / "labels.yaml")
    gold = labels[0].of_passages(passages.document_of)
    noise = np.random.default_rng(3).normal(size=(len(gold), 2, 10))
    return RecordedCorpus(corpus, passages, None, (noise + 0.9 * gold[:, None, None]).astype(np.float32))


@pytest.fixture
def task(read, tmp_path):
    return make_task(read, "sea", samples=32, seed=1, folder=tmp_path)


def opening(text: str, words: int = 9) -> str:
    return " ".join(text.split()[:words])


def test_no_prompt_names_the_concept_though_the_texts_do(task):
    words = {"harbor", *SEA[:3]}
    # By hand, and not by the function that chose them.
    naming = [text for text in task.unseen.texts if words & set(opening(text).lower().split())]
    assert len(naming) > 10 and len(task.prompts) == 32
    for prompt in task.prompts:
        assert not any(word in prompt.lower() for word in words), prompt
        assert "sea" not in prompt.lower().split()
    # Prompts are of every kind: the other words of the same stories do occur.
    assert any(word in prompt for prompt in task.prompts for word in SEA[3:])
    assert any(word in prompt for prompt in task.prompts for word in KITCHEN)


def test_one_prompt_in_eight_is_the_plain_one_and_the_others_open_passages(task):
    plain = [at for at, prompt in enumerate(task.prompts) if prompt.strip() == PLAIN]
    assert plain == list(range(PLAIN_EVERY - 1, 32, PLAIN_EVERY)) and len(plain) == 4
    others = [prompt for prompt in task.prompts if prompt.strip() != PLAIN]
    assert all(len(prompt.split()) == 9 for prompt in others) and len(set(others)) > 20


def test_prompts_open_unseen_passages(task, read):
    passages = read.passages
    unseen, seen = ({opening(text) for text in texts} for texts in (task.unseen.texts, task.texts))
    drawn = set(task.prompts) - {f"{PLAIN}\n\n"}
    assert drawn <= unseen and not drawn <= seen
    # No author is on both sides, and every passage is on one.
    author = {
        text: passages.documents[at].author
        for text, at in zip(passages.texts, passages.document_of, strict=True)
    }
    assert not {author[text] for text in task.unseen.texts} & {author[text] for text in task.texts}
    assert len(task.unseen.texts) + len(task.texts) == len(passages.texts)


def test_target_concepts_cover_the_seen_passages_and_gold_is_known(task):
    gold = task.targets["gold"].membership
    assert set(np.unique(gold)) == {0, 1} and 0.1 < gold.mean() < 0.5
    for target in task.targets.values():
        assert target.membership.shape == (len(task.texts),)
        assert ((target.membership >= 0) & (target.membership <= 1)).all()
    inside, outside = (
        Texts(np.full((4, 2, 10), value, dtype=np.float32), np.full(4, pointer))
        for value, pointer in ((0.9, 1.0), (0.0, -4.0))
    )
    assert (task.targets["random"].membership > 0).any()
    for name, target in ((name, task.targets[name]) for name in ("topic", "basin", "gold")):
        assert (target.log_odds(inside) > target.log_odds(outside)).all(), name
    assert np.corrcoef(task.targets["basin"].membership, gold)[0, 1] > 0.7
    assert task.warning is None


def test_labels_of_unseen_documents_decide_nothing(read, tmp_path, monkeypatch, task):
    """With them turned round, only the judges' passages change."""
    true = generation_task.every_gold_labels

    def turned(config, documents, file):
        hidden = suite.parts(read.passages, 1) == 0
        return [
            type(each)(np.where(hidden, ~each.labels, each.labels), each.counted, each.concept, each.corpus)
            for each in true(config, documents, file)
        ]

    monkeypatch.setattr(generation_task, "every_gold_labels", turned)
    other = make_task(read, "sea", samples=32, seed=1, folder=tmp_path)
    assert list(other.prompts) == list(task.prompts) and other.texts == task.texts
    for name in task.targets:
        assert np.array_equal(other.targets[name].membership, task.targets[name].membership)
    assert np.array_equal(other.unseen.gold, ~task.unseen.gold)


def test_a_concept_without_labels_or_with_one_kind_of_document_is_refused(read, tmp_path, monkeypatch):
    with pytest.raises(BasinError, match="stories has no gold labels for 'kitchen'"):
        make_task(read, "kitchen", samples=8, seed=1, folder=tmp_path)
    first = np.arange(48) % 8 < 2
    monkeypatch.setattr(suite, "parts", lambda passages, seed: np.where(first, 0, 1))
    with pytest.raises(BasinError, match="fewer than 2 are of a kind"):
        make_task(read, "sea", samples=8, seed=1, folder=tmp_path)


@pytest.mark.parametrize(
    ("prompt", "named"),
    [
        ("The SHIP was late", True),
        ("two ships, he said", True),
        ("worship was over", False),
        ("the harbormaster's wife", True),
        ("a story of the land", False),
    ],
)
def test_a_word_names_the_concept_in_any_ending(prompt, named):
    assert names(prompt, WORDS) == named


def test_only_neutral_openings_are_drawn():
    texts = [*[f"ship {number} of the line" for number in range(50)], "the cow in the meadow"]
    prompts = neutral_prompts(texts, 9, WORDS, 0, length=3)
    assert prompts.count(f"{PLAIN}\n\n") == 1 and prompts.count("the cow in") == 8
    with pytest.raises(BasinError, match="names the concept"):
        neutral_prompts(texts[:50], 9, WORDS, 0, length=3)
