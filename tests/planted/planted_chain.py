"""Tiny models that hand a concept on: settings of a chain, other readers of the same texts, and a run of one round."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import transformers
from conftest import make_causal_lm
from planted_loop import SETTINGS, WORDS, corpus, run_rounds, tiny_model, tiny_parts  # noqa: F401 (fixtures)
from planted_project import changed

from agent.errors import BasinError
from agent.language_model.model import LanguageModel
from agent.transfer.learn import StitchingConfig
from loops.checkpoint.store import RunStore
from loops.config import ChainConfig


def model_of(config) -> LanguageModel:
    """`tiny`, its twin `again` and `other` by name; a folder is loaded as it was saved."""
    if "/" in config.name:
        model = transformers.AutoModelForCausalLM.from_pretrained(config.name)
        return LanguageModel(model, transformers.AutoTokenizer.from_pretrained(config.name), config)
    if config.name == "other":
        return LanguageModel(make_causal_lm("gpt2", depth=4, seed=3), tiny_parts()[1], config)
    if config.name not in ("tiny", "again"):
        raise BasinError(f"Language model {config.name!r} could not be loaded: name another.")
    return tiny_model(config)


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    monkeypatch.setenv("BASIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(LanguageModel, "load", model_of)


@pytest.fixture
def general(tmp_path):
    """Other documents of the same words."""
    generator = np.random.default_rng(7)
    folder = tmp_path / "general"
    folder.mkdir()
    for number in range(20):
        (folder / f"{number:02d}.txt").write_text(" ".join(generator.choice(WORDS, 200)), encoding="utf-8")
    return folder


def stitching(general) -> dict:
    return {"corpus": {"source": str(general)}, "passages": 20}


def stitching_of(store: RunStore) -> StitchingConfig:
    """Maps are learnt from the general text beside the run's corpus."""
    return StitchingConfig.model_validate(stitching(Path(store.config.corpus.source).parent / "general"))


@pytest.fixture
def config(corpus, general):  # noqa: F811
    def make(*links, **succession):
        clustering = {"size": 0.33, "trust": 0.0, "falling": 2, "embeddings": False, "generated_share": 0.0}
        updating = {"adapting": {"lesson": {"tokens": 512, "window": 32}}}
        changes = {"corpus": {"source": str(corpus)}, "clustering": clustering, "updating": updating}
        run = changed(SETTINGS, changes | {"rounds": 3})
        chain = {"links": links, "certificate": False, "study": 8, **LENIENT, **succession}
        return ChainConfig.model_validate({"run": run, "stitching": stitching(general), **chain})

    return make


OTHER, SAME = ({"language_model": {"name": name}} for name in ("other", "tiny"))
LENIENT = {"handover": {"cosine": 0.5, "overlap": 0.35, "agreement": 0.35}}
"""Random models see little of what they read."""


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Where the run of this module is kept once it is made, with its texts."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def store(config, kept, tmp_path):  # noqa: F811
    """A run of one round: made by the first test that asks for it, copied for the others."""
    if not (kept / "run").exists():
        made = RunStore.create(kept / "run", config().run.model_copy(update={"rounds": 1}))
        run_rounds(made)
    shutil.copytree(kept / "run", tmp_path / "run")
    return RunStore.open(tmp_path / "run")
