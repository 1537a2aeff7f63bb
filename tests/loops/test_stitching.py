"""A concept carried between tiny random models, with all its evidence."""

from __future__ import annotations

import json

import numpy as np
import pytest
import safetensors.torch
from conftest import make_causal_lm
from rich.console import Console
from test_refine import CRIME, corpus, tiny_parts  # noqa: F401 (fixtures)
from test_successors import config, general, machine  # noqa: F401 (fixtures)
from typer.testing import CliRunner

from agent.errors import BasinError
from agent.language_model import LanguageModel
from loops import refine, stitching
from loops.cli import app
from loops.general_text import general_texts
from loops.progress import SilentProgress
from loops.stitch_measuring import measure_stitch
from loops.stitch_picture import PICTURE, draw_stitch
from loops.stitch_store import MATRIX, SAMPLES, TABLE, VECTORS, save_stitch, saved_stitches, stitch_folder
from loops.stitch_table import evidence, show_stitch
from loops.store import RunStore


@pytest.fixture
def readers(monkeypatch):
    """`tiny` and its twin `again`, which only the name tells apart, and `other` of another architecture."""

    def load(config, progress=None):  # noqa: F811
        if config.name == "other":
            return LanguageModel(make_causal_lm("gpt2", depth=4, seed=3), tiny_parts()[1], config)
        if config.name not in ("tiny", "again"):
            raise BasinError(f"Language model {config.name!r} could not be loaded: name another.")
        return LanguageModel(*tiny_parts(), config)

    monkeypatch.setattr(LanguageModel, "load", load)


@pytest.fixture
def store(config, tmp_path, readers):  # noqa: F811
    settings = config()
    made = RunStore.create(tmp_path / "run", settings.model_copy(update={"rounds": 1}))
    refine.run(made.config, made, SilentProgress())
    return made


def carried(store: RunStore, to: str, **options):
    config = store.config.stitching  # noqa: F811
    pair = stitching.Pair.of(store, to, config, lambda text: None)
    record = stitching.carry(store, None)
    return stitching.stitch(store, record, pair, config, lambda text: None, samples=12, **options)


def test_a_model_stitched_onto_itself_is_itself(store):
    found = carried(store, "again")
    rows = {(row["model"], row["vector"]): row for row in found.rows()}
    affine = rows["again", "affine"]
    assert found.stitches.partner == {1: 1, 2: 2}
    assert affine["unexplained_variance"] < 0.1
    assert affine["cosine_native"] > 0.8 and affine["returned_cosine"] > 0.8
    own = rows["tiny", "native"], rows["again", "native"]
    assert own[0]["nats"] == own[1]["nats"] == affine["nats"] == store.config.updating.budget_nats
    texts = [found.of(model, "base").texts for model in ("tiny", "again")]
    assert texts[0] == texts[1]
    assert {row["vector"] for row in found.rows() if row["kind"] == "control"} == {
        "random map",
        "shuffled pairs",
        "random vector",
        "another concept",
    }
    cosines = {name: rows["again", name]["cosine_native"] for name in ("random map", "random vector")}
    assert all(abs(value) < 0.7 for value in cosines.values()), cosines


def test_everything_is_kept_and_shown(store, tmp_path, capsys):
    found = carried(store, "other")
    folder = stitch_folder(store, "some/other model", found.round)
    assert folder.parent.parent == store.path and "/" not in folder.name.replace(" ", "")
    save_stitch(found, folder)
    measured = measure_stitch(found, store, folder, lambda text: None)
    draw_stitch(found, measured, folder)
    assert (folder / PICTURE).stat().st_size > 20_000
    assert measured == []  # a corpus without labels
    told = json.loads((folder / TABLE).read_bytes())
    assert [row["vector"] for row in told["rows"]][:4] == ["base", "native", "base", "native"]
    assert saved_stitches(store) == [(folder, told)]
    matrix = json.loads((folder / MATRIX).read_bytes())
    assert np.shape(matrix["svcca"]) == (2, 3) == (len(matrix["first"]), len(matrix["second"]))
    vectors = safetensors.torch.load_file(folder / VECTORS)
    assert any(name.startswith("other.affine.layer_") for name in vectors)
    samples = json.loads((folder / SAMPLES).read_bytes())
    assert len(samples) == 12 * len(found.pushed)
    show_stitch(found, measured, folder, Console(width=80))
    printed = capsys.readouterr().out
    assert "(a) In tiny the vector" in printed and "(b) In other" in printed


def test_sentences_claim_no_more_than_the_numbers(store):
    found = carried(store, "again")
    rows = found.rows()

    def with_effects(native: float, translated: float, control: float) -> str:
        changed = []
        for row in rows:
            effect = {"native": native, "translated": translated, "control": control}.get(row["kind"], 0.0)
            ratio = effect / native if row["kind"] in ("translated", "control") and native else None
            changed.append(
                {
                    **row,
                    "effect": effect,
                    "effect_error": 0.1,
                    "behavioural_ratio": ratio,
                    "ratio_error": 0.05,
                }
            )
        return " ".join(evidence(found, changed))

    good = with_effects(1.0, 0.9, 0.02)
    assert "works" in good and "0.90 ± 0.05 of what" in good and "What must not work does not" in good
    assert "has no certain effect" in with_effects(1.0, 0.1, 0.0)
    assert "But what must not work does, too" in with_effects(1.0, 0.9, 0.6)
    assert "nothing to compare with" in with_effects(0.1, 0.9, 0.0)


def test_documents_of_the_run_are_not_general_text(store):
    config = store.config.stitching.model_copy(update={"corpus": store.config.corpus})  # noqa: F811
    with pytest.raises(BasinError, match="0 documents that are not the run's own"):
        general_texts(config, store.load_passages(), 0, lambda text: None)
    texts, parts = general_texts(store.config.stitching, store.load_passages(), 0, lambda text: None)
    assert not set(texts) & set(store.load_passages().texts)
    assert set(parts) == set(range(store.config.stitching.parts))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--to", "tiny"], "was made in tiny itself"),
        (["--to", "nothing"], "'nothing' could not be loaded"),
        (["--to", "other", "--round", "0"], "Round 0 of run has no vector and readout"),
        (["--to", "other", "--round", "7"], "has no round 7"),
        (["--to", "other", "--method", "magic"], "stitching.methods.0: input should be"),
        (["--to", "other", "--label", "a", "--label", "b"], "1 runs and 2 labels were named"),
    ],
)
def test_a_mistake_is_one_sentence(store, monkeypatch, arguments, sentence):
    monkeypatch.setenv("BASIN_CHECKPOINTS", str(store.path.parent))
    done = CliRunner().invoke(app, ["stitch", "run", *arguments])
    assert done.exit_code == 1
    assert sentence in done.output.replace("\n", " ") and "Traceback" not in done.output
    assert not (store.path / "stitches").exists()


def test_maps_serve_other_runs_of_the_same_model_and_documents(store, config, tmp_path):  # noqa: F811
    pair = stitching.Pair.of(store, "other", store.config.stitching, lambda text: None)
    assert pair.serves(store)
    deeper = store.config.language_model.model_copy(update={"layers": (1,)})
    assert not pair.serves(RunStore(store.path, store.config.model_copy(update={"language_model": deeper})))
