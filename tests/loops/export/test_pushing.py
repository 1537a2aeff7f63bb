"""Uploading to the hub: what a local server that behaves like one is sent, and what is said where it refuses."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from agent.errors import BasinError
from loops.export.pushing import push


class _Hub(BaseHTTPRequestHandler):
    """Makes repositories and takes commits; remembers both."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append((self.path, self.headers.get("Authorization")))
        if self.server.refuses:
            self._answer({"error": "You may not"}, self.server.refuses)
        elif self.path == "/api/repos/create":
            self.server.created.append(json.loads(body))
            self._answer({"url": f"http://{self.headers['Host']}/me/concept"})
        elif self.path.endswith("/preupload/main"):
            files = json.loads(body)["files"]
            told = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None}
                for file in files
            ]
            self._answer({"files": told})
        elif "/commit/main" in self.path:
            lines = [json.loads(line) for line in body.splitlines()]
            for line in lines:
                if line["key"] == "file":
                    self.server.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            self._answer(
                {"commitUrl": f"http://{self.headers['Host']}/me/concept/commit/1", "commitOid": "1" * 40}
            )
        else:
            self._answer({})

    def do_GET(self) -> None:
        if self.server.refuses:
            self._answer({"error": "You may not"}, self.server.refuses)
            return
        self._answer({"sha": "0" * 40, "siblings": [], "id": "me/concept", "private": self.server.private})

    def _answer(self, tree: Any, status: int = 200) -> None:
        content = json.dumps(tree).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", "hf_made_up")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    server.seen, server.created, server.files, server.refuses, server.private = [], [], {}, 0, True
    server.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_folder_arrives_whole_and_private(hub: Any, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rows.parquet").write_bytes(b"PAR1 rows")
    (tmp_path / "README.md").write_text("# Mine")
    address = push(tmp_path, "me/concept", None, dataset=True, endpoint=hub.address)
    assert hub.files == {"data/rows.parquet": b"PAR1 rows", "README.md": b"# Mine"}
    [made] = hub.created
    assert (made["visibility"], made["type"], made["name"]) == ("private", "dataset", "concept")
    assert address.startswith(hub.address)
    assert {token for _, token in hub.seen} == {"Bearer hf_made_up"}


def test_a_single_file_goes_with_its_card(hub: Any, tmp_path: Path) -> None:
    (tmp_path / "v.gguf").write_bytes(b"GGUF")
    (tmp_path / "secret.txt").write_text("not to be sent")
    push(tmp_path / "v.gguf", "me/concept", "# A card", private=False, endpoint=hub.address)
    assert hub.files == {"v.gguf": b"GGUF", "README.md": b"# A card"}
    assert hub.created[0]["visibility"] == "public"


@pytest.mark.parametrize(("status", "hint"), [(403, "hf auth login"), (500, "later")])
def test_a_refusal_is_one_sentence_and_what_was_made_is_kept(
    hub: Any, tmp_path: Path, status: int, hint: str
) -> None:
    hub.refuses = status
    (tmp_path / "v.gguf").write_bytes(b"GGUF")
    with pytest.raises(BasinError, match=hint):
        push(tmp_path / "v.gguf", "me/concept", "", endpoint=hub.address)
    assert (tmp_path / "v.gguf").exists() and not hub.files


def test_a_repository_that_is_public_already_is_not_written_to_in_private(hub: Any, tmp_path: Path) -> None:
    hub.private = False
    (tmp_path / "v.gguf").write_bytes(b"GGUF")
    with pytest.raises(BasinError, match="--public"):
        push(tmp_path / "v.gguf", "me/concept", "", endpoint=hub.address)
    assert not hub.files


def test_no_hub_and_no_name_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", "hf_made_up")
    (tmp_path / "v.gguf").write_bytes(b"GGUF")
    with pytest.raises(BasinError, match="cannot be reached"):
        push(tmp_path / "v.gguf", "me/concept", "", endpoint="http://127.0.0.1:9")
    for name in ("a/b/c", "", "../x", "my repo"):
        with pytest.raises(BasinError, match="no name of a repository"):
            push(tmp_path / "v.gguf", name, "", endpoint="http://127.0.0.1:9")
