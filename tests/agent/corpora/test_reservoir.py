"""Samples of streams: the right number, in order, everyone with the same chance, and only what was kept is held."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from agent.corpora import load
from agent.corpora.load import CorpusConfig, draw_sample, load_corpus
from agent.errors import BasinError
from agent.types import Document


def stream(count: int):
    return (Document(str(number), f"text {number}") for number in range(count))


def numbers(count: int, size: int, seed: int) -> list[int]:
    return [int(document.id) for document in draw_sample(stream(count), size, seed, "it").documents]


def test_a_sample_is_in_order_and_the_same_for_the_same_seed() -> None:
    sample = numbers(1000, 50, 1)
    assert sample == sorted(set(sample)) and len(sample) == 50
    assert sample == numbers(1000, 50, 1) != numbers(1000, 50, 2)
    assert numbers(7, 50, 1) == list(range(7)) and numbers(0, 5, 1) == []
    assert draw_sample(stream(1000), 50, 1, "it").population == 1000


def test_every_document_has_the_same_chance() -> None:
    counts = Counter(number for seed in range(600) for number in numbers(40, 10, seed))
    # 600 draws of a quarter each: 150 expected, a deviation of about 10.6
    assert len(counts) == 40 and all(abs(count - 150) < 4.5 * 10.6 for count in counts.values())


def test_a_sample_too_large_to_be_held_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "MOST_TEXT", 100)
    with pytest.raises(BasinError, match="lower corpus.sample"):
        draw_sample(stream(1000), 50, 1, "it")


def test_a_corpus_beyond_the_limits_can_be_sampled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, messages: list[str]
) -> None:
    path = tmp_path / "many.jsonl"
    path.write_text("".join(json.dumps({"text": f"Text {n}."}) + "\n" for n in range(200)))
    monkeypatch.setattr(load, "MOST_DOCUMENTS", 100)
    with pytest.raises(BasinError, match="set corpus.sample to hold a sample"):
        load_corpus(CorpusConfig(source=str(path)))
    documents = load_corpus(CorpusConfig(source=str(path), sample=10))
    assert len(documents) == 10 and "A sample of 10 of the 200 documents" in messages[0]


def test_a_folder_of_tables_is_one_corpus(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "README.md").write_text("About the tables.")
    (tmp_path / "more").mkdir()
    pq.write_table(pa.table({"body": ["one", "two"], "title": ["1", "2"]}), tmp_path / "a.parquet")
    (tmp_path / "more" / "b.jsonl").write_text('{"body": "three", "title": "3"}\n')
    config = CorpusConfig(source=str(tmp_path), text_field="body")
    assert [(each.text, each.title) for each in load_corpus(config)] == [
        ("one", "1"),
        ("two", "2"),
        ("three", "3"),
    ]
    (tmp_path / "story.txt").write_text("A story.")
    with pytest.raises(BasinError, match=r"holds texts \(story.txt\) and tables \(a.parquet\)"):
        load_corpus(config)
