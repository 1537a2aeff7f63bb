"""How web servers are asked: by name, one request at a time, not too soon, and not where programs are unwelcome."""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from urllib.parse import urlsplit
from urllib.robotparser import RobotFileParser

from agent.errors import BasinError
from agent.hub.pinned_packages import cache_root

sleep = time.sleep


@dataclass(frozen=True)
class Manners:
    """How a server is asked."""

    seconds_between: float
    """From one request to the next, of all processes of this user together."""
    name: str
    """Of the site, for sentences."""
    remedy: str
    """What to do where the site does not want to be asked by a program."""


def user_agent() -> str:
    """What Basin calls itself; `BASIN_CONTACT` adds how to reach whoever runs it."""
    try:
        number = version("basin")
    except PackageNotFoundError:
        number = "0"
    contact = os.environ.get("BASIN_CONTACT", "").strip()
    contact = f"; {contact}" if contact and contact.isascii() and contact.isprintable() else ""
    return f"basin/{number} (reads single books{contact})"


@contextmanager
def turn(address: str, manners: Manners) -> Iterator[None]:
    """Wait for the turn to ask a server: after every other process here, and not too soon after the last request."""
    host = hashlib.sha256(urlsplit(address).netloc.encode()).hexdigest()[:16]
    path = cache_root() / "books" / f"{host}.turn"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        since = (
            time.time() - os.fstat(descriptor).st_mtime
            if os.fstat(descriptor).st_size
            else manners.seconds_between
        )
        if 0 <= since < manners.seconds_between:
            sleep(manners.seconds_between - since)
        try:
            yield
        finally:
            os.pwrite(descriptor, b"1", 0)  # its time is that of the last request
    finally:
        os.close(descriptor)


_rules: dict[str, RobotFileParser] = {}


def require_welcome(address: str, manners: Manners, read: Callable[[str], str | None]) -> None:
    """Raise `BasinError` where the server's robots.txt does not want programs at an address.

    Args:
        read: gives the text at an address, None where there is none; asked once for a server.
    """
    place = urlsplit(address)
    base = f"{place.scheme}://{place.netloc}"
    if base not in _rules:
        rules = RobotFileParser()
        rules.parse((read(f"{base}/robots.txt") or "").splitlines())
        _rules[base] = rules
    if not _rules[base].can_fetch(user_agent(), address):
        raise BasinError(
            f"{manners.name} asks programs not to fetch {address} (robots.txt): {manners.remedy}."
        )
