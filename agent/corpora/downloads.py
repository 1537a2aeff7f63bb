"""Files from web servers, fetched politely: one request at a time and not too soon, as long as the server asks to wait, resumed
where a connection broke off, and kept by their hash so that nobody is asked twice.

What a server sent is used only when it is whole: as long as it said, and unchanged since the first part of it.
"""

from __future__ import annotations

import email.utils
import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import requests
from requests.exceptions import RequestException

from agent.corpora import manners as manners_of
from agent.corpora.manners import Manners, require_welcome, turn, user_agent
from agent.errors import BasinError, first_sentence
from agent.hub.pinned_packages import cache_root, sha256_of

logger = logging.getLogger(__name__)

TRIES = 5
"""Without a byte more than before; then the server is given up."""
LONGEST_WAIT = 120.0
"""Seconds; whoever asks for more is not waited for."""
TIMEOUT = (10, 60)
"""Seconds to connect, and between two pieces of an answer."""
PIECE = 1 << 16
LARGEST_FILE = 256 << 20
AGAIN = (429, 500, 502, 503, 504)
REDIRECTS = 5


class Missing(Exception):
    """The server has no such file."""


class _Broken(Exception):
    """An answer that ended too early, or that is worth another try. `wait`: seconds that the server asked for."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class _Refused(Exception):
    """The server does not want to give the file, or it is none that is wanted."""


def fetch_first(
    key: str, addresses: Sequence[str], manners: Manners, check: Callable[[Path], None]
) -> tuple[Path, str]:
    """(file in the cache, address that it came from) of the first address that the server has.

    Args:
        key: what is kept under; asked for again, it comes out of the cache without a request.
        check: raises `BasinError` where what came is not what was meant; nothing is kept then.

    Raises:
        Missing: the server has none of them.
        BasinError: it cannot be reached, breaks off again and again, does not want to be asked, sends something else, or
            the cache folder cannot be written.
    """
    index = _folder() / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.json"
    if (found := _kept(index)) is not None:
        return found
    try:
        index.parent.mkdir(parents=True, exist_ok=True)
        for address in addresses:
            try:
                part = _download(address, manners)
            except Missing:
                continue
            try:
                check(part)
            except BasinError as error:
                _forget(part)
                raise BasinError(f"{address}: {str(error).replace(f'{part} ', 'what came ')}") from None
            return _keep(part, index, address), address
    except OSError as error:
        if error.errno is None or isinstance(error, RequestException):
            raise
        raise BasinError(
            f"The cache folder {cache_root()} cannot be used ({error.strerror}): make room there, or set BASIN_CACHE."
        ) from error
    raise Missing(key)


def _folder() -> Path:
    return cache_root() / "books"


def _part(address: str) -> Path:
    return _folder() / "parts" / f"{hashlib.sha256(address.encode()).hexdigest()[:24]}.part"


def _kept(index: Path) -> tuple[Path, str] | None:
    """What was fetched before, if it still has its hash."""
    try:
        entry = json.loads(index.read_text(encoding="utf-8"))
        path = _folder() / "files" / f"{entry['sha256']}{entry['suffix']}"
        whole = sha256_of(path) == entry["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return (path, entry["address"]) if whole else None


def _keep(part: Path, index: Path, address: str) -> Path:
    digest, suffix = sha256_of(part), Path(urlsplit(address).path).suffix
    path = _folder() / "files" / f"{digest}{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    size = part.stat().st_size
    with part.open("rb+") as stream:
        os.fsync(stream.fileno())
    os.replace(part, path)
    draft = index.with_suffix(".tmp")
    draft.write_text(
        json.dumps({"sha256": digest, "suffix": suffix, "bytes": size, "address": address}), encoding="utf-8"
    )
    os.replace(draft, index)
    _forget(part)
    return path


def _forget(part: Path) -> None:
    for path in (part, part.with_suffix(".json")):
        with suppress(OSError):
            path.unlink()


def _download(address: str, manners: Manners) -> Path:
    """A whole file, however often the connection breaks; what came before a break, or a kill, is not asked for again."""
    part = _part(address)
    part.parent.mkdir(parents=True, exist_ok=True)
    require_welcome(address, manners, partial(_robots, manners=manners))
    try:
        _ask_until_whole(address, part, manners)
    except _Refused as error:
        raise BasinError(f"{manners.name} refuses {address} ({error}): {manners.remedy}.") from None
    return part


def _ask_until_whole(address: str, part: Path, manners: Manners) -> None:
    tries, had = 0, _size(part)
    while True:
        try:
            with turn(address, manners):
                _ask(address, part)
            return
        except _Broken as error:
            tries = 1 if _size(part) > had else tries + 1
            had = _size(part)
            wait = error.wait if error.wait is not None else 2.0**tries
            if wait > LONGEST_WAIT:
                raise BasinError(
                    f"{manners.name} asks to wait for {wait:.0f} s: try again then, or {manners.remedy}."
                ) from None
            if tries >= TRIES:
                raise BasinError(
                    f"{address} cannot be fetched ({first_sentence(error)}): check the network, try again (it goes on "
                    f"where it was), or {manners.remedy}."
                ) from None
            logger.info(f"{manners.name}: {first_sentence(error)}; going on at byte {had:,} in {wait:.0f} s")
            manners_of.sleep(wait)


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _ask(address: str, part: Path) -> None:
    """One request for what is missing of a file; raises `Missing`, `_Broken` or `_Refused` where it does not become whole."""
    known = _validator(part)
    begin = _size(part) if known else 0
    headers = {"User-Agent": user_agent(), "Accept-Encoding": "identity"}
    if begin:
        headers |= {"Range": f"bytes={begin}-", "If-Range": known}
    try:
        with _session().get(address, headers=headers, stream=True, timeout=TIMEOUT) as answer:
            _require_safe(address, answer)
            if answer.status_code in (404, 410):
                raise Missing(address)
            if answer.status_code in AGAIN:
                raise _Broken(f"status {answer.status_code}", _asked_wait(answer))
            if answer.status_code == 416:
                _forget(part)
                raise _Broken("the file is another one now")
            if answer.status_code not in (200, 206):
                raise _Refused(f"status {answer.status_code}")
            begin, whole = _place(answer, begin)
            _write(answer, part, begin, whole)
    except RequestException as error:
        raise _Broken(_reason(error)) from error


def _session() -> requests.Session:
    session = requests.Session()
    session.max_redirects = REDIRECTS
    return session


def _require_safe(address: str, answer: requests.Response) -> None:
    """A site may send elsewhere, but not from https to what anybody on the way can change."""
    if urlsplit(address).scheme == "https" and any(
        urlsplit(each.url).scheme != "https" for each in (*answer.history, answer)
    ):
        raise _Refused("it leads to an address without encryption")


def _place(answer: requests.Response, begin: int) -> tuple[int, int | None]:
    """(byte that the answer begins with, bytes of the whole file where that is said)."""
    length = answer.headers.get("Content-Length", "")
    size = int(length) if length.isdigit() else None
    if answer.status_code == 200:
        return 0, size
    said = answer.headers.get("Content-Range", "").removeprefix("bytes ")
    span, _, total = said.partition("/")
    first = span.partition("-")[0]
    if not first.isdigit() or int(first) != begin:
        raise _Broken("it sent another part than it was asked for")
    return begin, int(total) if total.isdigit() else (begin + size if size is not None else None)


def _write(answer: requests.Response, part: Path, begin: int, whole: int | None) -> None:
    if whole is not None and whole > LARGEST_FILE:
        raise _Refused(f"it has {whole >> 20} MiB, more than a book")
    validator = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
    if not begin:
        # A weak tag does not promise the same bytes.
        part.with_suffix(".json").write_text(
            json.dumps("" if validator.startswith("W/") else validator), encoding="utf-8"
        )
    answer.raw.enforce_content_length = False  # its length is looked at below, when what did come is kept
    with part.open("r+b" if begin else "wb") as stream:
        stream.seek(begin)
        stream.truncate()
        for piece in answer.iter_content(PIECE):
            stream.write(piece)
            if stream.tell() > LARGEST_FILE:
                raise _Refused(f"it has more than {LARGEST_FILE >> 20} MiB, more than a book")
        got = stream.tell()
    if whole is not None and got != whole:
        raise _Broken(f"{got:,} of {whole:,} bytes came")


def _validator(part: Path) -> str:
    """The tag that the file had when its first part came; empty where it may not be resumed."""
    try:
        found = json.loads(part.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return found if isinstance(found, str) else ""


def _asked_wait(answer: requests.Response) -> float | None:
    """Seconds of a Retry-After, which may be a number or a date."""
    said = answer.headers.get("Retry-After", "").strip()
    if said.isdigit():
        return float(said[:9])
    try:
        return max(email.utils.parsedate_to_datetime(said).timestamp() - time.time(), 0.0)
    except (ValueError, TypeError):
        return None


def _reason(error: RequestException) -> str:
    names = {
        "ConnectTimeout": "it does not answer",
        "ReadTimeout": "it stopped sending",
        "TooManyRedirects": "it leads in circles",
        "ChunkedEncodingError": "the connection broke off",
    }
    said = names.get(type(error).__name__)
    return said or f"no connection: {type(error).__name__}"


def _robots(address: str, manners: Manners) -> str | None:
    """What a server tells programs, None where it has nothing to tell."""
    path = _part(address)
    try:
        _ask_until_whole(address, path, manners)
        return path.read_text(encoding="utf-8", errors="replace")
    except (Missing, _Refused):
        return None
    finally:
        _forget(path)
