"""Gold labels are found by the text of a document, and their absence is logged."""

import ast
import json
from pathlib import Path

import pytest
import yaml

from agent.corpora import load
from agent.corpora.load import CorpusConfig
from agent.errors import BasinError
from agent.judging import gold
from agent.types import Document, document_id
from loops.evaluation.membership import suite

ROOT = Path(gold.__file__).parents[2]
TEXTS = {"a": "The inspector came.", "b": "The sea was calm.", "c": "A knife, said Holmes."}


def documents(names="abc"):
    return [Document(id=document_id(TEXTS[name]), text="") for name in names]


def library(tmp_path, name="books.jsonl", **labels):
    """A JSONL file of the three texts with the given fields, one value per text."""
    path = tmp_path / name
    rows = [
        {"text": text} | {key: values[at] for key, values in labels.items()}
        for at, text in enumerate(TEXTS.values())
    ]
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return CorpusConfig(source=str(path))


def gold_file(tmp_path, entry):
    path = tmp_path / "gold.yaml"
    path.write_text(json.dumps({"books.jsonl": entry}), encoding="utf-8")
    return path


def test_a_boolean_field_label_needs_no_entry(tmp_path):
    found = gold.gold_labels(library(tmp_path, label=[True, False, True]), documents())
    assert found.labels.tolist() == [True, False, True]
    assert found.counted.all()
    assert found.corpus == "books"


def test_labels_follow_the_documents_and_not_the_order_of_the_file(tmp_path):
    corpus = library(tmp_path, label=[True, False, False])
    assert gold.gold_labels(corpus, documents("cba")).labels.tolist() == [False, False, True]
    assert gold.gold_labels(corpus, documents("ab")).labels.tolist() == [True, False]


@pytest.mark.parametrize(
    ("values", "positive", "expected"),
    [
        (["crime", "sea", "crime"], "crime", [True, False, True]),
        ([["crime", "short"], [], ["sea"]], "crime", [True, False, False]),
        ([3, 1, 3], 3, [True, False, True]),
    ],
)
def test_the_gold_file_names_field_and_value(values, positive, expected, tmp_path):
    corpus = library(tmp_path, kind=values, label=[False, True, False])
    entry = [{"field": "kind", "positive": positive, "concept": "crime", "corpus": "mine"}]
    found = gold.gold_labels(corpus, documents(), gold_file=gold_file(tmp_path, entry))
    assert found.labels.tolist() == expected
    assert (found.corpus, found.concept) == ("mine", "crime")


def test_debatable_documents_are_not_counted_and_the_main_reading_comes_first(tmp_path):
    corpus = library(tmp_path, kind=[True, False, True], unsure=[False, False, True])
    entry = [{"field": "kind"}, {"field": "kind", "leave_out": "unsure", "concept": "sure"}]
    found = gold.every_gold_labels(corpus, documents(), gold_file=gold_file(tmp_path, entry))
    assert [labels.counted.tolist() for labels in found] == [[True] * 3, [True, True, False]]
    assert found[1].concept == "sure"


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({}, "no gold labels"),
        ({"label": [True, None, False]}, "1 of 3 documents"),
        ({"label": ["crime", "sea", "crime"]}, "nothing to tell apart"),
    ],
)
def test_a_corpus_without_labels_gives_none_and_the_reason(labels, said, tmp_path, messages):
    sentences = messages
    assert gold.gold_labels(library(tmp_path, **labels), documents()) is None
    assert len(sentences) == 1 and said in sentences[0]


def test_documents_that_are_not_in_the_corpus_are_refused(tmp_path):
    stranger = Document(id=document_id("Another text."), text="", title="Another")
    with pytest.raises(BasinError, match="1 of 4 documents .*Another"):
        gold.gold_labels(library(tmp_path, label=[True, False, True]), [*documents(), stranger])


def test_a_wrong_entry_is_named(tmp_path):
    path = gold_file(tmp_path, [{"feild": "kind"}])
    with pytest.raises(
        BasinError, match=r"books\.jsonl: there is no setting 0\.feild; the nearest known one is 0\.field"
    ):
        gold.gold_labels(library(tmp_path, kind=[True, False, True]), documents(), gold_file=path)


@pytest.mark.parametrize("source", ["brown-fiction", "brown"])
def test_brown_labels_are_the_letter_of_the_file_name(source, monkeypatch):
    files = zip(["cl01", "cn01", "cl02"], TEXTS.values(), strict=True)
    monkeypatch.setattr(
        load, "brown_files", lambda *_: [(name, text, "A title", "An author") for name, text in files]
    )
    found = gold.gold_labels(CorpusConfig(source=source), documents())
    assert found.labels.tolist() == [True, False, True]
    assert (found.corpus, found.concept) == (source, "detective")


def test_nothing_but_judging_reads_the_gold_file():
    readers = [
        path.relative_to(ROOT)
        for folder in ("agent", "loops")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "gold.yaml" in node.value
    ]
    assert readers and {path.parts[:2] for path in readers} == {("agent", "judging")}


def test_every_concept_of_the_suites_has_an_entry_of_its_own_name_and_belongs_to_one_suite():
    labelled = yaml.safe_load(gold.SUITE_GOLD_FILE.read_text(encoding="utf-8"))
    concepts = [
        (Path(corpus.corpus.source).name, concept)
        for path in sorted(suite.SUITE_FILE.parent.glob("membership*.yaml"))
        for corpus in suite.load_suite(path)
        for concept in corpus.concepts
    ]
    entries = [(name, entry["concept"]) for name, found in labelled.items() for entry in found]
    assert sorted(entries) == sorted(concepts)


@pytest.mark.weights
def test_brown_fiction_has_24_detective_samples_of_126():
    corpus = CorpusConfig(source="brown-fiction")
    labels = gold.gold_labels(corpus, load.load_corpus(corpus)).labels
    assert (len(labels), labels.sum()) == (126, 24)
