"""Parquet files: sizes are limited, and only requested columns are read."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from agent.corpora import parquet
from agent.corpora.load import CorpusConfig, iter_records, load_corpus
from agent.corpora.parquet import read_parquet
from agent.errors import BasinError

TEXTS = [f"Text {number}. " * 20 for number in range(200)]


def write(tmp_path: Path, table: dict, **options) -> Path:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table(table), path, **options)
    return path


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("compression", ["none", "zstd", "snappy", "gzip"])
def test_every_row_group_is_read_in_order(version: str, compression: str, tmp_path: Path) -> None:
    path = write(
        tmp_path,
        {"text": TEXTS, "tags": [["a", "b"]] * 200},
        data_page_version=version,
        compression=compression,
        row_group_size=70,
        data_page_size=500,
        write_page_checksum=True,
    )
    assert [document.text for document in load_corpus(CorpusConfig(source=str(path)))] == TEXTS
    assert [row["tags"] for _, row in read_parquet(path, ["tags"])] == [["a", "b"]] * 200


def test_only_requested_columns_are_read(tmp_path: Path) -> None:
    path = write(tmp_path, {"text": ["a", "b"], "kind": ["x", "y"], "odd": [{"b": 1}] * 2})
    config = CorpusConfig(source=str(path))
    assert [record for record, _ in iter_records(config, fields=["kind"])][1] == {
        "text": "b",
        "kind": "y",
        "odd": None,
    }
    with pytest.raises(BasinError, match="records in the column 'odd'"):
        list(iter_records(config))
    with pytest.raises(BasinError, match=r"no field 'body'.*\(text, kind, odd\)"):
        load_corpus(CorpusConfig(source=str(path), text_field="body"))


def test_a_text_that_repeats_through_a_dictionary_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "UNPACKED_FREELY", 1 << 20)
    once = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), pa.array(["a" * 5000]))
    path = write(tmp_path, {"text": once})
    read = 0
    with pytest.raises(BasinError, match="more than 100 times its size"):
        for _ in read_parquet(path, ["text"]):
            read += 1
    assert read < 2000


def test_a_file_that_unpacks_to_more_than_text_does_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, {"text": ["a" * (1 << 21)]}, compression="zstd")
    assert len(list(read_parquet(path, None))) == 1
    monkeypatch.setattr(parquet, "UNPACKED_FREELY", 1 << 20)
    with pytest.raises(BasinError, match="the file unpacks to more than 100 times its size"):
        list(read_parquet(path, None))


@pytest.mark.parametrize("entries", [["a"] * 20_000, ["b" * 9000] * 9000])
def test_a_list_out_of_proportion_is_refused(entries: list[str], tmp_path: Path) -> None:
    path = write(tmp_path, {"text": ["a"], "tags": [entries]})
    with pytest.raises(BasinError, match="row 1 or soon after .*'tags'"):
        list(read_parquet(path, ["tags"]))


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ("LARGEST_FILE", "is larger than .*: write it as several files"),
        ("LARGEST_ROW_GROUP", "has a row group of more than .*: write smaller row groups"),
    ],
)
def test_a_file_that_is_too_large_is_refused(
    limit: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, limit, 100)
    with pytest.raises(BasinError, match=f"t.parquet {message}"):
        list(read_parquet(write(tmp_path, {"text": TEXTS}), None))


@pytest.mark.parametrize("cut", [0, 4, 20, 300, -1, -8, -60])
def test_a_truncated_file_is_refused(cut: int, tmp_path: Path) -> None:
    path = write(tmp_path, {"text": TEXTS})
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(BasinError, match="not a whole Parquet file"):
        list(read_parquet(path, None))


def test_values_without_a_python_type_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, {"text": ["a"], "when": pa.array([2**62]).view(pa.timestamp("us"))})
    with pytest.raises(BasinError, match="row 1 has a value that cannot be read"):
        list(read_parquet(path, None))
    assert len(load_corpus(CorpusConfig(source=str(path)))) == 1
