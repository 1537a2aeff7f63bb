"""The documentation is tested: examples and the notebook run, and links, settings, commands and addresses exist.

Examples run in a temporary folder, in which `brown` is a tiny random model on a made-up corpus. They show that
the code works, not how good its results are.
"""

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
import typer
from planted_project import make_project, settings, write_config
from pydantic import BaseModel
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

from loops.cli.main import app
from loops.config import RunConfig

ROOT = Path(__file__).resolve().parents[1]
GUIDES = sorted(path.relative_to(ROOT) for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")
SETTING = re.compile(rf"[` ]((?:{'|'.join(RunConfig.model_fields)})(?:\.[a-z_]+)+)\b(?!\.)")
COMMAND = re.compile(r"(?:^|`)basin ([a-z]+)", re.MULTILINE)
ADDRESS = re.compile(r"`((?:agent|loops|tests|benchmarks|configs)/[\w/.]*\w/?)(?::(\w+))?`")
PARSER = Sybil(parsers=[PythonCodeBlockParser()])


@pytest.fixture(scope="module")
def ground(tmp_path_factory) -> Path:
    """A folder with tiny models and a corpus, and configs/brown.yaml that names them."""
    folder = tmp_path_factory.mktemp("documented")
    make_project(folder)
    (folder / "configs").mkdir()
    write_config(folder / "configs" / "brown.yaml", settings(folder, "vector", rounds=1))
    return folder


@pytest.fixture
def place(ground, tmp_path, monkeypatch) -> dict[str, Any]:
    """Be in a folder with configs/brown.yaml and no runs; the names that blocks take for granted."""
    shutil.copytree(ground / "configs", tmp_path / "configs")
    # A file of that path goes before a name.
    shutil.copy(ground / "configs" / "brown.yaml", tmp_path / "brown")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BASIN_CACHE", str(ground / "cache"))
    monkeypatch.delenv("BASIN_CHECKPOINTS", raising=False)
    monkeypatch.setattr("loops.report.page.obtain", lambda: False)
    monkeypatch.setattr("loops.report.page.script", lambda: "/* charts */")
    pipe = transformers.pipeline("text-generation", model=str(ground / "model"), device="cpu")
    pipe.model.generation_config.max_new_tokens = 4
    ids = pipe.tokenizer(" crimea crimeb", return_tensors="pt").input_ids
    return {"pipe": pipe, "model": pipe.model, "ids": ids}


def _examples() -> list[Path]:
    return [path for path in GUIDES if "```python" in (ROOT / path).read_text(encoding="utf-8")]


@pytest.mark.parametrize("path", _examples(), ids=str)
def test_examples_run(path, place):
    document = PARSER.parse(ROOT / path)
    document.namespace.update(place)
    examples = list(document.examples())
    assert examples, "the document has Python blocks, and none was found"
    for example in examples:
        example.evaluate()


def test_the_guide_has_examples_and_a_wrong_one_fails(tmp_path):
    assert Path("docs/python.md") in _examples()
    (tmp_path / "wrong.md").write_text("```python\nassert 1 == 2\n```\n")
    with pytest.raises(AssertionError):
        next(iter(PARSER.parse(tmp_path / "wrong.md").examples())).evaluate()


@pytest.mark.parametrize("path", GUIDES, ids=str)
def test_links_lead_somewhere(path):
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


def _quoted(pattern: re.Pattern[str]) -> list[Any]:
    """All matches in the pages but the log, which names what was there at its date."""
    texts = [(ROOT / path).read_text(encoding="utf-8") for path in GUIDES if path.name != "log.md"]
    return sorted({each for text in texts for each in pattern.findall(text)})


def test_quoted_settings_exist():
    quoted = {name for name in _quoted(SETTING) if not name.endswith((".json", ".html", ".safetensors"))}
    assert len(quoted) > 20
    assert {name for name in quoted if not _is_setting(name)} == set()
    assert not _is_setting("clustering.sise")


def _is_setting(name: str) -> bool:
    kind: Any = RunConfig
    for part in name.split("."):
        if not (inspect.isclass(kind) and issubclass(kind, BaseModel)) or part not in kind.model_fields:
            return False
        kind = kind.model_fields[part].annotation
    return True


def test_quoted_commands_exist():
    command: Any = typer.main.get_command(app)
    assert set(_quoted(COMMAND)) <= set(command.list_commands(command.context_class(command)))


def test_quoted_addresses_exist():
    """`file.py:function` in a page is a function or class of that file."""
    addresses = _quoted(ADDRESS)
    assert any(name for _, name in addresses)
    missing = [path for path, _ in addresses if not (ROOT / path).exists()]
    assert missing == []
    for path, name in addresses:
        if name:
            source = (ROOT / path).read_text(encoding="utf-8")
            assert re.search(rf"^\s*(def|class) {name}\b", source, re.MULTILINE), f"{path}:{name}"


@pytest.mark.parametrize("path", [path for path in GUIDES if path.name != "log.md"], ids=str)
def test_pages_are_short(path):
    text = (ROOT / path).read_text(encoding="utf-8")
    assert text.count("\n") <= (200 if path.name == "README.md" else 140)
    assert len(text.split()) <= 1600
    long = [line for line in text.split("\n") if len(line) > 100 and line[:1] not in ("|", "!")]
    assert [line for line in long if "://" not in line] == []


@pytest.mark.weights
def test_the_notebook_runs(tmp_path, monkeypatch):
    """On the embedded model, two small rounds: some forty seconds of one core."""
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("BASIN_CHECKPOINTS", raising=False)
    notebook = nbformat.read(ROOT / "docs" / "first_run.ipynb", as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    stored = [cell.outputs for cell in cells]
    assert all(stored), "the outputs are stored with the notebook"
    place = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=900, kernel_name="python3", resources=place).execute()
    assert [cell.outputs[-1].output_type for cell in cells] == [each[-1].output_type for each in stored]
    sentence = "There is no run 'notbook' in checkpoints; did you mean notebook?"
    assert cells[-1].outputs[-1].traceback == [f"BasinError: {sentence}"]
    assert (tmp_path / "checkpoints" / "notebook" / "report.html").exists()


def test_the_reference_builds_without_a_warning(tmp_path):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    found = re.search(r"^REFERENCE := ((?:.*\\\n)*.*)$", makefile, re.MULTILINE)
    assert found is not None
    options = ("--docformat", "google", "--no-show-source", "-o", str(tmp_path))
    command = [sys.executable, "-m", "pdoc", *options, *found[1].replace("\\", " ").split()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "warn" not in (done.stderr + done.stdout).lower(), done.stderr
    assert "predict_proba" in (tmp_path / "loops" / "api" / "classifier.html").read_text(encoding="utf-8")
    assert (tmp_path / "index.html").exists()


@pytest.mark.parametrize("module", ["loops.api.run", "loops.api.views", "loops.api.classifier"])
def test_what_users_call_has_a_docstring(module):
    classes = [each for each in vars(importlib.import_module(module)).values() if inspect.isclass(each)]
    own = [each for each in classes if each.__module__ == module]
    members = [each for kind in own for each in vars(kind).items() if not each[0].startswith("_")]
    public = [
        (name, each) for name, each in members if callable(each) or isinstance(each, property | classmethod)
    ]
    assert own and all(map(inspect.getdoc, own))
    assert [name for name, each in public if not inspect.getdoc(each)] == []


def test_nothing_that_is_kept_names_a_machine():
    for file in [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs").glob("*.ipynb")]:
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"/(home|root|tmp|work|Users)/", text), file.name
