"""Threads wait for one another briefly, unless the user has said how."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

UNSAID = {
    name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "OPENBLAS_"))
}
SHOWN = "import loops, agent, os; print(os.environ.get('GOMP_SPINCOUNT'))"


@pytest.mark.parametrize(
    ("given", "found"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")],
)
def test_what_the_user_says_is_kept(given, found):
    told = subprocess.run([sys.executable, "-c", SHOWN], env=UNSAID | given, capture_output=True, text=True)
    assert told.stdout.strip() == found


def test_so_are_those_of_numpy():
    shown = "import agent, os; print(os.environ.get('OPENBLAS_THREAD_TIMEOUT'))"
    for given, found in (({}, "16"), ({"OPENBLAS_THREAD_TIMEOUT": "20"}, "20")):
        told = subprocess.run(
            [sys.executable, "-c", shown], env=UNSAID | given, capture_output=True, text=True
        )
        assert told.stdout.strip() == found


@pytest.mark.parametrize("package", ["agent", "loops", "benchmarks", "loops.cli.main"])
def test_it_is_said_before_torch_and_numpy_are_loaded(package):
    """A finder that is asked for either looks whether it has been said."""
    code = f"""
import os, sys
class Looks:
    def find_spec(self, name, *_):
        if name in ("torch", "numpy") and not {{"GOMP_SPINCOUNT", "OPENBLAS_THREAD_TIMEOUT"}} <= set(os.environ):
            os._exit(3)
sys.meta_path.insert(0, Looks())
import {package}, numpy
"""
    assert subprocess.run([sys.executable, "-c", code], env=UNSAID).returncode == 0
