"""Parquet files: claims are checked before memory is set aside, and only what is asked for is read."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from agent.corpora import parquet
from agent.corpora.compact import Broken, Compact
from agent.corpora.load import CorpusConfig, iter_records, load_corpus
from agent.corpora.parquet import read_parquet
from agent.corpora.parquet_pages import read_pages, read_row_groups
from agent.errors import BasinError

TEXTS = [f"Text {number}. " * 20 for number in range(200)]


def write(tmp_path: Path, table: dict, **options) -> Path:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table(table), path, **options)
    return path


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("dictionary", [True, False])
@pytest.mark.parametrize("compression", ["none", "zstd", "snappy", "gzip"])
def test_pages_say_what_arrow_says(version: str, dictionary: bool, compression: str, tmp_path: Path) -> None:
    path = write(
        tmp_path,
        {"text": TEXTS, "tags": [["a", "b"]] * 200},
        data_page_version=version,
        use_dictionary=dictionary,
        compression=compression,
        row_group_size=70,
        data_page_size=500,
        write_page_checksum=True,
    )
    about = pq.read_metadata(path)
    with path.open("rb") as file:
        groups = read_row_groups(file)
        assert [group.rows for group in groups] == [70, 70, 60]
        for at, group in enumerate(groups):
            for number, chunk in enumerate(group.chunks):
                arrow, own = about.row_group(at).column(number), read_pages(file, chunk)
                assert own.values == arrow.num_values
                assert own.packed < arrow.total_compressed_size
                assert own.unpacked < arrow.total_uncompressed_size
    assert [document.text for document in load_corpus(CorpusConfig(source=str(path)))] == TEXTS


def test_only_the_columns_that_are_asked_for_are_read(tmp_path: Path) -> None:
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


def test_one_long_text_named_many_times_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "UNPACKED_FREELY", 1 << 20)
    once = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), pa.array(["a" * 5000]))
    path = write(tmp_path, {"text": once})
    read = 0
    with pytest.raises(BasinError, match="more than 100 times its size"):
        for _ in read_parquet(path, ["text"]):
            read += 1
    assert read < 2000


def test_pages_that_unpack_to_more_than_text_does_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, {"text": ["a" * (1 << 21)]}, compression="zstd")
    assert len(list(read_parquet(path, None))) == 1
    monkeypatch.setattr(parquet, "UNPACKED_FREELY", 1 << 20)
    with pytest.raises(BasinError, match="'text' unpacks to more than 100 times its size"):
        list(read_parquet(path, None))


@pytest.mark.parametrize("entries", [["a"] * 20_000, ["b" * 9000] * 9000])
def test_a_list_out_of_proportion_is_refused(entries: list[str], tmp_path: Path) -> None:
    path = write(tmp_path, {"text": ["a"], "tags": [entries]})
    with pytest.raises(BasinError, match="row 1 or soon after .*'tags'"):
        list(read_parquet(path, ["tags"]))


def test_a_page_that_claims_two_gigabytes_is_not_given_them(tmp_path: Path) -> None:
    path = write(tmp_path, {"text": TEXTS}, compression="zstd", use_dictionary=False)
    content = bytearray(path.read_bytes())
    with path.open("rb") as file:
        begin = read_row_groups(file)[0].chunks[0].begin
        honest = read_pages(file, read_row_groups(file)[0].chunks[0])
    claim = _varint(honest.unpacked)
    at = content.index(claim, begin)
    largest = _varint(2**31 - 1)
    # Longer by some bytes: what follows is cut away, so that the places in the footer stay right.
    content[at : at + len(claim)] = largest
    del content[at + 60 : at + 60 + len(largest) - len(claim)]
    path.write_bytes(content)
    with pytest.raises(BasinError, match=r"unpacks to more|not a whole Parquet"):
        list(read_parquet(path, None))


def _varint(value: int) -> bytes:
    value, out = value << 1, bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


@pytest.mark.parametrize("cut", [0, 4, 20, 300, -1, -8, -60])
def test_a_file_cut_short_is_told(cut: int, tmp_path: Path) -> None:
    path = write(tmp_path, {"text": TEXTS})
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(BasinError, match="not a whole Parquet file"):
        list(read_parquet(path, None))


def test_values_that_python_has_no_type_for_are_told(tmp_path: Path) -> None:
    path = write(tmp_path, {"text": ["a"], "when": pa.array([2**62]).view(pa.timestamp("us"))})
    with pytest.raises(BasinError, match="row 1 has a value that cannot be read"):
        list(read_parquet(path, None))
    assert len(load_corpus(CorpusConfig(source=str(path)))) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x15",
        b"\x15\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x1c" * 40,
        b"\x19\xf5\xff\xff\x03",
        b"\x1d\0",
    ],
)
def test_a_broken_description_is_told(content: bytes) -> None:
    with pytest.raises(Broken):
        Compact(content).struct()
