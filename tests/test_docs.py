"""What the documentation shows is run: every Python block of the guides, README's five lines, and the notebook's cells.

The blocks run in a folder of their own, in which `brown` is a tiny random model on a made-up corpus: what is tried is that the
code works, not what comes of it.
"""

from __future__ import annotations

import importlib
import inspect
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import transformers
from sybil import Document, Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

from benchmarks.torture.ground import make_ground, settings, write_config

ROOT = Path(__file__).resolve().parents[1]
GUIDES = sorted(path.relative_to(ROOT) for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tiny models and a corpus, and configs/brown.yaml that names them."""
    folder = tmp_path_factory.mktemp("documented")
    make_ground(folder)
    (folder / "configs").mkdir()
    write_config(folder / "configs" / "brown.yaml", settings(folder, "vector", rounds=1))
    return folder


@pytest.fixture
def place(ground: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Be in a folder with configs/brown.yaml and no runs; the names that blocks take for granted."""
    shutil.copytree(ground / "configs", tmp_path / "configs")
    # A file of that path goes before a name.
    shutil.copy(ground / "configs" / "brown.yaml", tmp_path / "brown")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BASIN_CACHE", str(ground / "cache"))
    monkeypatch.delenv("BASIN_CHECKPOINTS", raising=False)
    monkeypatch.setattr("loops.report.page.obtain", lambda progress=None: False)
    monkeypatch.setattr("loops.report.page.script", lambda: "/* charts */")
    pipe = transformers.pipeline("text-generation", model=str(ground / "model"), device="cpu")
    pipe.model.generation_config.max_new_tokens = 4
    ids = pipe.tokenizer(" crimea crimeb", return_tensors="pt").input_ids
    return {"pipe": pipe, "model": pipe.model, "ids": ids}


def _document(path: Path) -> Document:
    return Sybil(parsers=[PythonCodeBlockParser()], path=str(path.parent)).parse(path)


def _examples() -> list[Path]:
    return [path for path in GUIDES if "```python" in (ROOT / path).read_text(encoding="utf-8")]


@pytest.mark.parametrize("path", _examples(), ids=str)
def test_examples_run(path: Path, place: dict[str, Any]) -> None:
    document = _document(ROOT / path)
    document.namespace.update(place)
    examples = list(document.examples())
    assert examples, "the document has Python blocks, and none was found"
    for example in examples:
        example.evaluate()


def test_the_guide_has_examples_and_a_wrong_one_fails(tmp_path: Path) -> None:
    assert Path("docs/python.md") in _examples()
    (tmp_path / "wrong.md").write_text("```python\nassert 1 == 2\n```\n")
    with pytest.raises(AssertionError):
        next(iter(_document(tmp_path / "wrong.md").examples())).evaluate()


@pytest.mark.parametrize("path", GUIDES, ids=str)
def test_links_lead_somewhere(path: Path) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    broken = []
    for target in LINK.findall(text):
        name, _, anchor = target.partition("#")
        file = (ROOT / path).parent / name if name else ROOT / path
        if "://" in target or name.startswith("reference/"):
            continue
        if not file.exists() or (anchor and anchor not in _anchors(file)):
            broken.append(target)
    assert broken == []


def _anchors(file: Path) -> set[str]:
    """Names that headings can be linked by, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.weights
def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the embedded model, two small rounds: some forty seconds of one core."""
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("BASIN_CHECKPOINTS", raising=False)
    notebook = nbformat.read(ROOT / "docs" / "first_run.ipynb", as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    stored = [cell.outputs for cell in cells]
    assert all(stored), "what it shows is kept with it"
    client = NotebookClient(
        notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    assert [cell.outputs[-1].output_type for cell in cells] == [each[-1].output_type for each in stored]
    assert cells[-1].outputs[-1].traceback == [
        "BasinError: There is no run 'notbook' in checkpoints; did you mean notebook?"
    ]
    assert (tmp_path / "checkpoints" / "notebook" / "report.html").exists()


def test_the_reference_builds_without_a_warning(tmp_path: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    found = re.search(r"^REFERENCE := ((?:.*\\\n)*.*)$", makefile, re.MULTILINE)
    assert found is not None
    modules = found[1].replace("\\", " ").split()
    command = [
        sys.executable,
        "-m",
        "pdoc",
        "--docformat",
        "google",
        "--no-show-source",
        "-o",
        str(tmp_path),
        *modules,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "warn" not in (done.stderr + done.stdout).lower(), done.stderr
    assert "predict_proba" in (tmp_path / "loops" / "classifier.html").read_text(encoding="utf-8")
    assert (tmp_path / "index.html").exists()


@pytest.mark.parametrize("module", ["loops.api.run", "loops.api.views", "loops.api.classifier"])
def test_what_users_call_has_a_docstring(module: str) -> None:
    classes = [each for each in vars(importlib.import_module(module)).values() if inspect.isclass(each)]
    own = [each for each in classes if each.__module__ == module]
    bare = [
        f"{each.__name__}.{name}"
        for each in own
        for name, member in [("", each), *vars(each).items()]
        if not name.startswith("_") and (callable(member) or isinstance(member, property | classmethod))
        if not inspect.getdoc(member)
    ]
    assert own and bare == []


def test_nothing_that_is_kept_names_a_machine() -> None:
    for file in [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs").glob("*.ipynb")]:
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"/(home|root|tmp|work|Users)/", text), file.name
