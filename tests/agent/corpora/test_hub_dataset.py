"""Data sets by name: rows as they come; and a hub that fails in every way there is ends in one sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from agent.corpora import hub_dataset
from agent.corpora.load import CorpusConfig, iter_records, load_corpus
from agent.errors import BasinError

ROWS = [{"text": f"Story number {n}.", "title": f"T{n}", "label": n % 2, "picture": b"\0"} for n in range(30)]


@pytest.fixture(autouse=True)
def _apart(tmp_path_factory, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path_factory.mktemp("datasets"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "set"
    (path / "data").mkdir(parents=True)
    for name, part in (("train-00000-of-00002", ROWS[:20]), ("train-00001-of-00002", ROWS[20:])):
        pq.write_table(pa.Table.from_pylist(part), path / "data" / f"{name}.parquet")
    return path


def refusal(source: str, **settings) -> str:
    with pytest.raises(BasinError) as raised:
        load_corpus(CorpusConfig(source=source, **settings))
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_data_set_is_streamed_in_order(folder: Path, messages: list[str]) -> None:
    documents = load_corpus(CorpusConfig(source=f"hf:{folder}"))
    assert [document.title for document in documents] == [f"T{n}" for n in range(30)]
    assert "without a local copy" in messages[0]
    assert len(load_corpus(CorpusConfig(source=f"hf:{folder}", limit=3))) == 3


def test_only_what_is_asked_for_is_read(folder: Path) -> None:
    config = CorpusConfig(source=f"hf:{folder}", limit=1)
    ((record, _),) = iter_records(config, fields=("label",))
    assert record == {"text": "Story number 0.", "title": "T0", "label": 0, "picture": None}
    ((record, _),) = iter_records(config)
    assert record["picture"] == b"\0"


def test_what_a_user_gets_wrong(folder: Path) -> None:
    assert "has no field 'body': set text_field" in refusal(f"hf:{folder}", text_field="body")
    assert "has no split 'dev'" in refusal(f"hf:{folder}", split="dev")
    assert "has no subset 'small'" in refusal(f"hf:{folder}", subset="small")
    assert "is not on the hub" in refusal("hf:./nothing/here") or "holds no data files" in refusal(
        "hf:./nothing/here"
    )
    (folder.parent / "empty").mkdir()
    assert "holds no data files" in refusal(f"hf:{folder.parent / 'empty'}")


def test_a_row_without_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text('{"text": "One."}\n{"text": null}\n')
    assert "row 2 has no text in 'text'" in refusal(f"hf:{tmp_path}")


@pytest.mark.parametrize("name", ["", "a/b/c", "https://huggingface.co/datasets/a/b", "a b"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(ValueError, match="write for example hf:owner/name"):
        hub_dataset.dataset_name(f"hf:{name}")


def test_a_stream_that_breaks_in_the_middle_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def rows():
        yield {"text": "One."}
        raise ConnectionError("the peer went away")

    class Rows:
        column_names = ["text"]

        def select_columns(self, names):
            return rows()

    monkeypatch.setattr("datasets.load_dataset", lambda *arguments, **options: Rows())
    assert "The hub does not give hf:a/b (the peer went away)" in refusal("hf:a/b")


CHILD = """
import json, sys
from agent.errors import BasinError
from agent.corpora.load import CorpusConfig, load_corpus
for name in sys.argv[1:]:
    try:
        load_corpus(CorpusConfig(source=name))
    except BasinError as error:
        print(json.dumps(str(error)), flush=True)
"""


def test_a_hub_that_fails_ends_in_a_sentence(tmp_path: Path) -> None:
    """Against a server, in a process of its own, since the library reads the hub's address once."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *arguments) -> None:
            pass

        def answer(self) -> None:
            kind = next(
                (kind for kind in ("missing", "gated", "broken", "garbage") if kind in self.path), "broken"
            )
            code = {"missing": 404, "gated": 403, "broken": 500, "garbage": 200}[kind]
            self.send_response(code)
            if kind in ("missing", "gated"):
                self.send_header("X-Error-Code", {"missing": "RepoNotFound", "gated": "GatedRepo"}[kind])
            self.send_header("Content-Length", "2")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(b"<>")

        do_GET = do_HEAD = do_POST = answer

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    names = ["hf:x/missing", "hf:x/gated", "hf:x/broken", "hf:x/garbage"]
    environment = {
        **os.environ,
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "HF_HOME": str(tmp_path),
        "HF_HUB_OFFLINE": "0",
        "HF_TOKEN": "",
    }
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *names],
        env=environment,
        cwd=root,
        capture_output=True,
        text=True,
        timeout=300,
    )
    server.shutdown()
    message = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(message) == len(names), done.stderr[-2000:]
    assert "is not on the hub" in message[0]
    assert "is gated: accept its terms" in message[1]
    assert all(
        name in sentence and "\n" not in sentence for name, sentence in zip(names, message, strict=True)
    )
