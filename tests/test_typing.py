"""What users and their editors see of Basin has types that hold: mypy, strict, over the modules that pyproject.toml lists.

The first check takes some seconds, later ones a second or two: mypy keeps what it found in .mypy_cache.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

USER = """
import numpy as np
from jaxtyping import Float
from loops import BasinError, Run

run = Run.open("brown")
written: list[str] = list(run.generate(2))
shares: Float[np.ndarray, "text 2"] = run.concept.predict_proba(written)
drift = run.rounds[-1].metrics["drift"]
path: str = run.report().path  # a Path
run.generate("eight")
run.rouns
"""


def _mypy(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mypy", "--no-pretty", "--no-error-summary", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_listed_modules_are_typed_strictly():
    done = _mypy()
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_user_s_mistakes_are_found_and_axes_are_none(tmp_path):
    (tmp_path / "script.py").write_text(USER)
    output, wrong = _mypy(str(tmp_path / "script.py")).stdout, ("path", "run.generate(", "run.rouns")
    numbers = {number for number, line in enumerate(USER.splitlines(), 1) if line.startswith(wrong)}
    assert {int(line.split(":")[1]) for line in output.splitlines() if "error:" in line} == numbers, output
