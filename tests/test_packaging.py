"""What a user gets who installs Basin: wheel and source archive, tried outside the checkout."""

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
import yaml
from planted_project import make_project

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with a source archive, and a wheel that was made from it. No network: the build's own library is installed."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory) -> Path:
    """The programs' folder of an environment with Basin's wheel; other libraries come from the one that runs the tests."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python")]
    install = ["install", "--quiet", "--no-deps", "--no-index", str(next(built.glob("*.whl")))]
    subprocess.run([*pip, *install], check=True, env={**os.environ, "PIP_CONFIG_FILE": os.devnull})
    site = next((folder / "lib").glob("python*/site-packages"))
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin"


def _outside(installed: Path, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run an installed program in a folder that is no checkout, with no npm to fetch anything by."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"PATH": str(installed), "BASIN_CACHE": str(folder / "cache"), "HOME": str(folder)}
    environment |= {"BASIN_CHECKPOINTS": str(folder / "runs"), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    line = [str(installed / command[0]), *command[1:]]
    return subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def _modules() -> set[str]:
    files = [file for name in ("agent", "loops") for file in (ROOT / name).rglob("*") if file.is_file()]
    return {str(file.relative_to(ROOT)) for file in files if "__pycache__" not in file.parts}


def test_the_wheel_holds_the_packages_and_their_data_and_nothing_else(built):
    names = set(zipfile.ZipFile(next(built.glob("*.whl"))).namelist())
    meta = f"basin-{PROJECT['version']}.dist-info/"
    configs = {f"agent/{file.relative_to(ROOT)}" for file in (ROOT / "configs").glob("*/*.yaml")}
    assert {name for name in names if not name.startswith(meta)} == _modules() | configs
    assert {"agent/py.typed", "loops/py.typed", "loops/report/assets/page.html"} <= names
    assert f"{meta}licenses/LICENSE" in names and f"{meta}entry_points.txt" in names


def test_the_source_archive_builds_it_and_has_no_tests_and_no_data(built):
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {name.split("/")[0] for name in names} <= {
        *("agent", "loops", "configs", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff"),
        *("pyproject.toml", "PKG-INFO", ".gitignore"),
    }
    assert {"README.md", "LICENSE", "pyproject.toml", "configs/runs/brown.yaml"} <= names


def test_an_installed_basin_finds_its_own_things(installed, tmp_path):
    code = "import agent, loops; from agent.config import CONFIGS; print(loops.__file__, CONFIGS)"
    done = _outside(installed, tmp_path, "python", "-c", code)
    assert done.returncode == 0, done.stderr
    assert all(str(installed.parent) in path for path in done.stdout.split())
    assert "Usage: basin" in _outside(installed, tmp_path, "basin", "--help").stdout
    wrong = _outside(installed, tmp_path, "basin", "run", "brown", "--set", "corpus.source=nowhere")
    assert wrong.returncode == 1 and "nowhere" in wrong.stderr, wrong.stderr
    assert (tmp_path / "runs" / "brown" / "run.json").exists()


def test_an_installed_basin_runs_and_draws_a_page(installed, tmp_path):
    make_project(tmp_path)
    done = _outside(installed, tmp_path, "basin", "run", "vector.yaml", "--rounds", "1")
    assert done.returncode == 0, done.stderr
    page = _outside(installed, tmp_path, "basin", "report", "vector")
    assert page.returncode == 0, page.stderr
    assert (tmp_path / "runs" / "vector" / "report.html").stat().st_size > 100_000
    assert "Every file is as written" in _outside(installed, tmp_path, "basin", "verify", "vector").stdout


def test_every_extra_that_is_named_exists_and_is_documented():
    files = [file for folder in ("agent", "loops", "docs") for file in (ROOT / folder).rglob("*.[pm][yd]")]
    text = "".join(file.read_text(encoding="utf-8") for file in [*files, ROOT / "README.md"])
    named = set(",".join(re.findall(r"(?:basin|\.)\[([\w,]+)\]'", text)).split(","))
    extras = set(PROJECT["optional-dependencies"])
    assert {"plots", "ray"} <= named <= extras
    table = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in table for name in extras)


def test_version_and_licence_are_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"] == "Apache-2.0"
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert f"\n## {PROJECT['version']}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
