"""Corpora from folders and files, samples of them, and a sentence for each error."""

import bz2
import gzip
import json
import lzma
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from agent.corpora import load as load_module
from agent.corpora.load import CorpusConfig, draw_sample, iter_records, load_corpus
from agent.errors import BasinError
from agent.types import Document, document_id

ROWS = [
    {"text": "The first story.", "title": "One", "author": "Ann", "label": "crime"},
    {"text": "A second — story.", "title": "Two", "author": None, "label": "romance"},
]
PACK = {
    "": bytes,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


def load(path, **fields):
    return load_corpus(CorpusConfig(source=str(path), **fields))


def test_folder_is_read_recursively_in_order_and_hidden_files_are_not(tmp_path):
    for name, text in {"b.txt": "b\r\ntext", "a/x.md": "x", "a/.hidden.txt": "no", "c.pdf": "no"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(text.encode())
    documents = load(tmp_path)
    assert [(document.title, document.text) for document in documents] == [("a/x", "x"), ("b", "b\ntext")]
    assert documents[0].id == document_id("x")


def test_one_text_file_is_one_document(tmp_path):
    (tmp_path / "novel.txt").write_text("\ufeffOnce", encoding="utf-8")
    assert [document.text for document in load(tmp_path / "novel.txt")] == ["Once"]


@pytest.mark.parametrize(("suffix", "pack"), PACK.items())
def test_jsonl_plain_and_packed(tmp_path, suffix, pack):
    path = tmp_path / f"stories.v2.jsonl{suffix}"
    path.write_bytes(pack(LINES))
    documents = load(path)
    assert [document.text for document in documents] == [row["text"] for row in ROWS]
    assert [document.author for document in documents] == ["Ann", ""]


def test_parquet(tmp_path):
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "stories.parquet")
    assert [document.title for document in load(tmp_path / "stories.parquet")] == ["One", "Two"]


def test_labels_reach_records_and_not_documents(tmp_path):
    (tmp_path / "s.jsonl").write_bytes(LINES)
    config = CorpusConfig(source="s.jsonl")
    assert [record["label"] for record, _ in iter_records(config, tmp_path)] == ["crime", "romance"]
    assert "crime" not in repr(load_corpus(config, tmp_path))


def test_limit_and_field_names(tmp_path):
    (tmp_path / "s.jsonl").write_bytes(LINES)
    (document,) = load(tmp_path / "s.jsonl", limit=1, text_field="label", title_field="text")
    assert (document.text, document.title) == ("crime", "The first story.")


@pytest.mark.parametrize(("suffix", "pack"), list(PACK.items())[1:])
@pytest.mark.parametrize("keep", [0.5, 0.98])
def test_a_truncated_packed_file_is_refused(tmp_path, suffix, pack, keep):
    packed = pack(b"".join(json.dumps({"text": document_id(str(n))}).encode() + b"\n" for n in range(20_000)))
    path = tmp_path / f"s.jsonl{suffix}"
    path.write_bytes(packed[: int(len(packed) * keep)])
    with pytest.raises(BasinError, match="cut short after line"):
        load(path)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("s.jsonl", LINES + b"\n{broken\n", "line 4 is not JSON"),
        ("s.jsonl", LINES + b'{"title": "no text"}\n', "line 3 has no text in 'text'"),
        ("s.jsonl", LINES + b'{"text": 5}\n', "line 3 has no text in 'text'"),
        ("s.jsonl", b"\n", "holds no records"),
        ("s.jsonl.gz", b"plain", "damaged or cut short after line 0"),
        ("s.parquet", b"PAR1 but not really", "not a whole Parquet file"),
        ("s.csv", b"a,b", "no corpus that Basin can read"),
        ("s", b"a,b", "no corpus that Basin can read"),
        ("s.txt", b"caf\xe9", "not UTF-8 text"),
        ("s.txt", b"\0\1\2", "binary file"),
    ],
)
def test_invalid_files_are_named(tmp_path, name, content, sentence):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BasinError, match=sentence) as raised:
        load(tmp_path / name)
    assert str(tmp_path / name) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_empty_folder(tmp_path):
    with pytest.raises(BasinError, match="holds no .txt or .md files"):
        load(tmp_path)


def test_an_unknown_field_is_refused_with_the_known_ones(tmp_path):
    (tmp_path / "s.jsonl").write_bytes(LINES)
    with pytest.raises(BasinError, match=r"no field 'body'.*\(text, title, author, label\)"):
        load(tmp_path / "s.jsonl", text_field="body")
    with pytest.raises(BasinError, match="set title_field"):
        load(tmp_path / "s.jsonl", title_field="name")


def test_a_field_that_would_be_ignored_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(BasinError, match="leave out text_field"):
        load(tmp_path, text_field="body")


def test_missing_corpus_and_misspelt_name():
    with pytest.raises(BasinError, match="did you mean 'brown-fiction'"):
        load("brown-fictoin")
    with pytest.raises(BasinError, match="no corpus 'nowhere/at/all'"):
        load("nowhere/at/all")


@pytest.mark.parametrize(
    ("source", "categories"), [("brown-fiction", "klmnpr"), ("brown", "abcdefghjklmnpr")]
)
def test_brown_records_have_the_category_and_documents_do_not(source, categories, monkeypatch):
    asked = []

    def files(wanted):
        asked.append(wanted)
        yield "cl01", "The inspector came.", "A title", "An author"

    monkeypatch.setattr("agent.corpora.load.brown_files", files)
    ((record, text),) = iter_records(CorpusConfig(source=source))
    assert record == {"category": "l", "title": "A title", "author": "An author"}
    (document,) = load_corpus(CorpusConfig(source=source))
    assert (document.text, document.title, document.author) == (text, "A title", "An author")
    assert asked == [categories] * 2 and "cl01" not in repr(document)


def test_a_named_corpus_refuses_fields_that_it_would_ignore():
    with pytest.raises(BasinError, match="leave out text_field"):
        load("newsgroups", text_field="body")


def stream(count):
    return (Document(str(number), f"text {number}") for number in range(count))


def numbers(count, size, seed):
    return [int(document.id) for document in draw_sample(stream(count), size, seed, "it")[0]]


def test_a_sample_is_in_order_and_the_same_for_the_same_seed():
    sample = numbers(1000, 50, 1)
    assert sample == sorted(set(sample)) and len(sample) == 50
    assert sample == numbers(1000, 50, 1) != numbers(1000, 50, 2)
    assert numbers(7, 50, 1) == list(range(7)) and numbers(0, 5, 1) == []
    assert draw_sample(stream(1000), 50, 1, "it")[1] == 1000


def test_every_document_has_the_same_chance():
    counts = Counter(number for seed in range(600) for number in numbers(40, 10, seed))
    # 600 draws of a quarter each: 150 expected, a deviation of about 10.6
    assert len(counts) == 40 and all(abs(count - 150) < 4.5 * 10.6 for count in counts.values())


def test_a_sample_that_is_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(load_module, "MOST_TEXT", 100)
    with pytest.raises(BasinError, match="lower corpus.sample"):
        draw_sample(stream(1000), 50, 1, "it")


def test_a_corpus_beyond_the_limits_can_be_sampled(tmp_path, monkeypatch, messages):
    path = tmp_path / "many.jsonl"
    path.write_text("".join(json.dumps({"text": f"Text {n}."}) + "\n" for n in range(200)))
    monkeypatch.setattr(load_module, "MOST_DOCUMENTS", 100)
    with pytest.raises(BasinError, match="set corpus.sample to hold a sample"):
        load_corpus(CorpusConfig(source=str(path)))
    documents = load_corpus(CorpusConfig(source=str(path), sample=10))
    assert len(documents) == 10 and "A sample of 10 of the 200 documents" in messages[0]


def test_a_folder_of_tables_is_one_corpus(tmp_path):
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
