"""Given pointers rank the planted documents, and invalid ones are refused."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.numpy
from planted_texts import SEA, is_sea, planted_documents
from sklearn.decomposition import NMF, LatentDirichletAllocation
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from agent.errors import BasinError
from agent.pointer.examples import from_document_weights, from_examples, from_keywords
from agent.pointer.given import PointerConfig, point
from agent.pointer.imported import from_bertopic, from_sklearn, load_topic_model, save_topic_model
from agent.pointer.topic_model import Pointer, TopicModel, TopicsConfig

DOCUMENTS = planted_documents()
TEXTS = [document.text for document in DOCUMENTS]
NEW = [document.text for document in planted_documents(seed=9)]


def _separates(pointer: Pointer, texts: list[str] = NEW) -> bool:
    weights = pointer.weights(texts)
    return bool(
        weights[is_sea()].min() > weights[~is_sea()].max() and weights.min() >= 0 and weights.max() <= 1
    )


def test_keywords_weigh_a_text_by_the_share_of_its_words(messages) -> None:
    pointer = Pointer(from_keywords(["Ship", "storm", "kraken"], DOCUMENTS), 0)
    assert _separates(pointer) and "kraken" in messages[0]
    half, none = pointer.weights(["ship table " * 40, "table " * 80])
    assert half == pytest.approx(0.5, abs=0.02) and none < 0.01
    assert pointer.model.top_words(0) == ["ship", "storm"]  # and no word that nobody gave


def test_examples_point_at_their_like() -> None:
    examples = [planted_documents(3, seed)[0].text for seed in (4, 5)]
    pointer = Pointer(from_examples(examples, DOCUMENTS), 0)
    assert _separates(pointer)
    assert set(pointer.model.top_words(0, 6)) == set(SEA)


def test_document_weights_extend_to_new_texts(messages) -> None:
    assert _separates(Pointer(from_document_weights(np.where(is_sea(), 0.9, 0.1), DOCUMENTS), 0))
    assert "10 of 30" in messages[0] and float(messages[0].rpartition(" ")[2].rstrip(".")) > 0.7


@pytest.mark.parametrize(
    ("estimator", "vectorizer"),
    [
        (LatentDirichletAllocation(2, random_state=0, max_iter=30), CountVectorizer()),
        (NMF(2, random_state=0, init="nndsvda", max_iter=500), TfidfVectorizer()),
    ],
)
def test_topics_of_scikit_learn(estimator: Any, vectorizer: Any) -> None:
    theirs = estimator.fit_transform(vectorizer.fit_transform(TEXTS))
    model = from_sklearn(estimator, vectorizer)
    topic = int(np.argmax(model.mass_on(SEA)))
    assert _separates(Pointer(model, topic))
    ours = model.infer(TEXTS)[:, topic]
    assert np.corrcoef(ours, theirs[:, topic])[0, 1] > 0.95
    if isinstance(estimator, LatentDirichletAllocation):
        assert np.allclose(ours, theirs[:, topic], atol=0.05)


@pytest.mark.parametrize("kind", ["none", "one each", "all topics"])
def test_topics_of_bertopic(kind: str) -> None:
    assigned = [0 if sea else 1 for sea in is_sea()]
    assigned[5] = -1
    sure = {"none": None, "one each": np.full(30, 0.8), "all topics": np.full((30, 2), 0.5)}[kind]
    model = from_bertopic(SimpleNamespace(topics_=assigned, probabilities_=sure), TEXTS)
    assert model.count == 3 and _separates(Pointer(model, 0))
    with pytest.raises(BasinError, match="fitted on 30"):
        from_bertopic(SimpleNamespace(topics_=assigned, probabilities_=None), TEXTS[:4])
    with pytest.raises(BasinError, match="fit it first"):
        from_bertopic(SimpleNamespace(), TEXTS)


def test_a_topic_model_survives_a_file(tmp_path: Path) -> None:
    words = ("harbor", "onion", "ship", "of", "red ship")
    counts = np.array([[900.0, 1, 300, 5, 5], [2, 800, 1, 5, 5]])
    model = TopicModel(words, counts, np.array([0.3, 0.7]), 0)
    found = load_topic_model(save_topic_model(model, tmp_path / "t.safetensors"))
    assert found.vocabulary == words[:3] and found.topic_word_counts.tolist() == counts[:, :3].tolist()
    assert found.alpha.tolist() == [0.3, 0.7]
    with pytest.raises(BasinError, match=r"\.safetensors"):
        save_topic_model(model, tmp_path / "t.pkl")


def _write(folder: Path, kind: str, rows: list[dict]) -> Path:
    file = folder / f"weights.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), file)
    elif kind == "jsonl":
        file.write_text("\n".join(map(json.dumps, rows)))
    else:
        file.write_text(json.dumps([row["weight"] for row in rows]))
    return file


@pytest.mark.parametrize("kind", ["json", "jsonl", "parquet"])
@pytest.mark.parametrize("key", [None, "id", "title"])
def test_weights_are_matched_to_documents(kind: str, key: str | None, tmp_path: Path, messages) -> None:
    if kind == "json" and key:
        return
    documents = DOCUMENTS[3:]  # three documents were too short
    rows = [
        {"weight": float(sea)} | ({key: getattr(each, key)} if key else {})
        for sea, each in zip(is_sea(), DOCUMENTS, strict=True)
    ]
    file = _write(tmp_path, kind, rows[::-1] if key else rows)
    config = PointerConfig(document_weights=str(file))
    assert _separates(point(DOCUMENTS, documents, config, TopicsConfig()))
    assert "9 of 27" in messages[0]


def test_a_topic_is_picked_from_a_given_model(tmp_path: Path) -> None:
    vectorizer = CountVectorizer()
    lda = LatentDirichletAllocation(2, random_state=0).fit(vectorizer.fit_transform(TEXTS))
    file = save_topic_model(from_sklearn(lda, vectorizer), tmp_path / "t.safetensors")
    config = PointerConfig(topic_model=str(file))
    assert _separates(point(DOCUMENTS, DOCUMENTS, config, TopicsConfig(words=("ship", "storm"))))


def test_examples_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("ship storm harbor\n\nsail captain anchor ship\n")
    config = PointerConfig(examples_file=str(tmp_path / "mine.txt"))
    assert _separates(point(DOCUMENTS, DOCUMENTS, config, TopicsConfig()))


def refusal(**pointer: object) -> str:
    with pytest.raises(BasinError) as raised:
        point(DOCUMENTS, DOCUMENTS, PointerConfig(**pointer), TopicsConfig(topic=0))
    return str(raised.value)


@pytest.mark.parametrize(
    ("pointer", "hint"),
    [
        ({"keywords": ("the",)}, "'the'"),
        ({"keywords": ("private eye",)}, "'private eye'"),
        ({"keywords": ("kraken",)}, "kraken"),
        ({"examples": ("zwölf boxkämpfer",)}, "no word"),
        ({"document_weights": "none.parquet"}, "check the path"),
        ({"topic_model": "none.safetensors"}, "check the path"),
    ],
)
def test_invalid_pointers_are_refused(pointer: dict, hint: str) -> None:
    assert hint in refusal(**pointer)


@pytest.mark.parametrize(
    ("field", "name", "content", "hint"),
    [
        ("document_weights", "w.json", "[0.5, 0.1]", "2 weights"),
        ("document_weights", "w.json", "[" + ", ".join(["2"] * 30) + "]", "from 0 to 1"),
        ("document_weights", "w.json", "[" + ", ".join(["0.5"] * 30) + "]", "all alike"),
        ("document_weights", "w.json", '{"a": 1}', "no list"),
        ("document_weights", "w.json", "[0.5", "cannot be read"),
        ("document_weights", "w.csv", "0.5", ".parquet"),
        ("document_weights", "w.jsonl", '{"id": "nobody", "weight": 0.5}', "no weight for 30 of 30"),
        ("examples_file", "binary.txt", "\0\1\2", "binary file"),
        ("topic_model", "t.safetensors", "{}", "no topic model"),
    ],
)
def test_invalid_files_are_refused(field: str, name: str, content: str, hint: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    assert hint in refusal(**{field: str(tmp_path / name)})


@pytest.mark.parametrize(
    ("word", "counts", "alpha", "hint"),
    [
        ("ship", [[-1.0]], [1.0], "not negative"),
        ("ship", [[np.nan]], [1.0], "not negative"),
        ("ship", [[1e40]], [1.0], "not negative"),
        ("ship", [[1.0]], [[1.0]], "priors of"),
        ("ship", [[1.0, 2.0]], [1.0], "topics of shape"),
        (7, [[1.0]], [1.0], "no list of words"),
        ("kraken", [[1.0]], [1.0], "None of the topic model's words"),
    ],
)
def test_invalid_topic_models_are_refused(
    word: object, counts: list, alpha: list, hint: str, tmp_path: Path
) -> None:
    arrays = {"topic_word": np.array(counts), "alpha": np.array(alpha)}
    about = {"vocabulary": json.dumps([word]), "seed": "0", "language": "en"}
    safetensors.numpy.save_file(arrays, tmp_path / "t.safetensors", about)
    assert hint in refusal(topic_model=str(tmp_path / "t.safetensors"))


def test_an_estimator_that_is_not_fitted_is_refused() -> None:
    with pytest.raises(BasinError, match="fit it first"):
        from_sklearn(NMF(2), CountVectorizer())
