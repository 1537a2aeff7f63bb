"""Threads wait for one another briefly, unless the user has said how."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SHOWN = "import loops, agent, os; print(os.environ.get('GOMP_SPINCOUNT'))"


@pytest.mark.parametrize(
    ("given", "found"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")],
)
def test_what_the_user_says_is_kept(given, found):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    told = subprocess.run(
        [sys.executable, "-c", SHOWN], env={**kept, **given}, capture_output=True, text=True
    )
    assert told.stdout.strip() == found


def test_it_is_said_before_torch_is_loaded():
    code = "import sys, agent; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    code = "import sys, loops.cli, os; sys.exit('torch' in sys.modules or 'GOMP_SPINCOUNT' not in os.environ)"
    assert subprocess.run([sys.executable, "-c", code], env=without_policy()).returncode == 0


def without_policy() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
