"""Threads wait for one another briefly, unless the user has said how."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

UNSAID = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
SHOWN = "import loops, agent, os; print(os.environ.get('GOMP_SPINCOUNT'))"


@pytest.mark.parametrize(
    ("given", "found"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")],
)
def test_what_the_user_says_is_kept(given, found):
    told = subprocess.run([sys.executable, "-c", SHOWN], env=UNSAID | given, capture_output=True, text=True)
    assert told.stdout.strip() == found


@pytest.mark.parametrize("package", ["agent", "loops", "benchmarks", "loops.cli"])
def test_it_is_said_before_torch_is_loaded(package):
    code = (
        f"import sys, {package}, os; sys.exit('torch' in sys.modules or 'GOMP_SPINCOUNT' not in os.environ)"
    )
    assert subprocess.run([sys.executable, "-c", code], env=UNSAID).returncode == 0
