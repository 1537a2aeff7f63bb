"""Threads wait for one another briefly, unless the user has said how."""

import os
import subprocess
import sys

import pytest

GIVEN = ("OMP_", "GOMP_", "OPENBLAS_")
UNSAID = {name: value for name, value in os.environ.items() if not name.startswith(GIVEN)}


@pytest.mark.parametrize(
    ("given", "name", "found"),
    [
        ({}, "GOMP_SPINCOUNT", "10000"),
        ({"GOMP_SPINCOUNT": "7"}, "GOMP_SPINCOUNT", "7"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, "GOMP_SPINCOUNT", "None"),
        ({}, "OPENBLAS_THREAD_TIMEOUT", "16"),
        ({"OPENBLAS_THREAD_TIMEOUT": "20"}, "OPENBLAS_THREAD_TIMEOUT", "20"),
    ],
)
def test_settings_of_the_user_stay(given, name, found):
    code = f"import loops, agent, os; print(os.environ.get({name!r}))"
    done = subprocess.run([sys.executable, "-c", code], env=UNSAID | given, capture_output=True, text=True)
    assert done.stdout.strip() == found


@pytest.mark.parametrize("package", ["agent", "loops", "benchmarks", "loops.cli.main"])
def test_variables_are_set_before_torch_and_numpy_are_loaded(package):
    """A module finder checks the variables when either is imported."""
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
