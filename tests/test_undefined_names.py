"""No name is used that nothing defines. Ruff finds them (F821), but takes jaxtyping's axis strings for names, too."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("agent", "loops", "benchmarks", "tests")


def _undefined(*paths: str, folder: Path = ROOT) -> list[str]:
    """`file:line name` of every undefined name that is no axis of a shape, as `Float[np.ndarray, "passage"]` has."""
    options = ("--isolated", "--select=F821", "--output-format=json")
    command = [sys.executable, "-m", "ruff", "check", *options, *paths]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    found = []
    for each in json.loads(done.stdout):
        file, row, column = Path(each["filename"]), each["location"]["row"], each["location"]["column"]
        line = file.read_text(encoding="utf-8").splitlines()[row - 1]
        if line[: column - 1].rstrip("*#?_ ")[-3:] != ', "':
            found.append(f"{file.relative_to(folder)}:{row} {each['message']}")
    return found


def test_every_name_is_defined():
    assert _undefined(*FOLDERS) == []


def test_an_undefined_name_is_found_and_an_axis_is_none(tmp_path):
    (tmp_path / "odd.py").write_text(
        "import numpy as np\nfrom jaxtyping import Float\n\n\n"
        'def first(x: Float[np.ndarray, "passage"], y: "Nobody", z: Float[np.ndarray, "*more"]) -> Missing:\n'
        "    return forgotten(x, y, z)\n"
    )
    names = [line.split()[-1] for line in _undefined("odd.py", folder=tmp_path)]
    assert names == ["`Nobody`", "`Missing`", "`forgotten`"]
