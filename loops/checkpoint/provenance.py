"""Versions of the code and libraries, and the processors this process may use."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

TRAINING = ("torch", "transformers", "trl", "peft", "accelerate")
LIBRARIES = (*TRAINING, "sentence-transformers", "scikit-learn", "gensim", "numpy")
PROJECT = Path(__file__).resolve().parents[2]


def versions() -> dict[str, str]:
    """Versions of Python, Basin and the libraries that results depend on, or `missing`."""
    found = {"python": platform.python_version()}
    for name in ("basin", *LIBRARIES):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "missing"
    return found


def commit() -> str | None:
    """The git commit, with `-changed` if files differ from it; None outside a checkout."""
    if not (PROJECT / ".git").exists():
        return None  # installed as a package; a repository further up is another project's
    head = git("rev-parse", "HEAD")
    return head and head + ("-changed" if git("status", "--porcelain", "--untracked-files=no") else "")


def cores() -> int:
    """The number of processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def git(*arguments: str) -> str | None:
    """The output of git in Basin's folder; None if git is missing or fails."""
    try:
        command = ["git", "-C", str(PROJECT), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
