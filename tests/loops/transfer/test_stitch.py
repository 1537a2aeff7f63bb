"""A concept carried between tiny random models, with all its evidence."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import safetensors.torch
from planted_chain import config, general, kept, machine, stitching_of, store  # noqa: F401 (fixtures)
from planted_loop import PLAIN, corpus, tiny_parts  # noqa: F401 (fixtures)
from rich.console import Console
from typer.testing import CliRunner

from agent.corpora.load import CorpusConfig
from agent.errors import BasinError
from agent.judging.gold import GoldLabels
from agent.language_model.model import LanguageModel
from agent.types import seed_for
from loops.checkpoint.schema import unsealed
from loops.checkpoint.store import RunStore
from loops.cli.main import app
from loops.transfer import evaluate, stitch, trials
from loops.transfer import store as stored
from loops.transfer.evaluate import MEASURED, labels_of, measure_stitch
from loops.transfer.general_text import general_texts
from loops.transfer.output import evidence, show_stitch
from loops.transfer.picture import PICTURE, draw_stitch
from loops.transfer.store import (
    MATRIX,
    SAMPLES,
    TABLE,
    VECTORS,
    save_stitch,
    saved_stitches,
    stitch_folder,
)


def carried(store: RunStore, to: str, **options):
    config = stitching_of(store)
    pair = trials.Pair.of(store, to, config)
    record = stitch.carry(store, None)
    return stitch.stitch(store, record, pair, config, samples=12, **options)


def test_a_model_stitched_onto_itself_is_itself(store):
    found = carried(store, "again")
    rows = {(row["model"], row["vector"]): row for row in found.rows()}
    affine = rows["again", "affine"]
    assert found.stitches.partner == {1: 1, 2: 2}
    assert affine["unexplained_variance"] < 1e-3
    assert affine["cosine_native"] > 0.999 and affine["returned_cosine"] > 0.999
    assert affine["leaning_ratio"] == pytest.approx(1, abs=0.02)
    own = rows["tiny", "native"], rows["again", "native"]
    assert own[0]["nats"] == own[1]["nats"] == affine["nats"] == store.config.updating.budget_nats
    assert found.of("tiny", "base").texts == found.of("again", "base").texts
    assert found.of("again", "native").texts == found.of("again", "affine").texts
    assert affine["effect"] == pytest.approx(rows["again", "native"]["effect"], abs=1e-3)
    assert {row["vector"] for row in found.rows() if row["kind"] == "control"} == {
        "random map",
        "shuffled pairs",
        "random vector",
        "another concept",
    }
    control, draws = found.of("again", "random vector"), stitching_of(store).draws
    assert rows["again", "random vector"]["draws"] == len(control.vectors) == draws
    model = LanguageModel.load(store.config.language_model)
    seed = seed_for(seed_for(store.config.seed, 0, "stitch"), 1, "passage")
    alone = model.generate([found.prompts[1]], [seed], store.config.generation, control.vectors[1])
    assert alone == [control.texts[1]]
    cosines = {name: rows["again", name]["cosine_native"] for name in ("random map", "random vector")}
    assert all(abs(value) < 0.7 for value in cosines.values()), cosines


def planted_labels(store: RunStore) -> GoldLabels:
    """Documents that are about crime."""
    passages = store.load_passages()
    crime = [text.count("crime") > text.count("ocean") + text.count("field") for text in passages.texts]
    labels = np.bincount(passages.document_of, crime) > 2
    return GoldLabels(labels, np.ones(len(labels), bool), "crime", "shelf")


class Counted:
    """Embeds a text as the counts of what its words begin with."""

    def encode(self, texts, **options):
        kinds = ("crime", "ocean", "field", "plain")
        return np.array([[text.count(kind) for kind in kinds] for text in texts], float)


def test_everything_is_kept_and_shown(store, monkeypatch, capsys):
    monkeypatch.setattr(evaluate, "load_embedder", lambda: Counted())
    found = carried(store, "other")
    folder = stitch_folder(store, "some/other model", found.round)
    assert folder.parent.parent == store.path and "/" not in folder.name.replace(" ", "")
    save_stitch(found, folder)
    assert labels_of(store, None) is None  # a folder of texts has none
    measured = measure_stitch(found, store, planted_labels(store), folder)
    by_name = {(row["model"], row["vector"]): row for row in measured}
    assert by_name.keys() == {(row["model"], row["vector"]) for row in found.rows()}
    assert json.loads((folder / MEASURED).read_bytes())["rows"] == measured
    assert by_name["other", "base"]["effect_a"] == 0 and by_name["other", "native"]["ratio_a"] is None
    draw_stitch(found, measured, folder)
    assert (folder / PICTURE).stat().st_size > 20_000
    table = unsealed((folder / TABLE).read_bytes(), TABLE)
    assert [row["vector"] for row in table["rows"]][:4] == ["base", "native", "base", "native"]
    assert saved_stitches(store) == [(folder, table)]
    matrix = json.loads((folder / MATRIX).read_bytes())
    assert np.shape(matrix["svcca"]) == (2, 3) == (len(matrix["first"]), len(matrix["second"]))
    vectors = safetensors.torch.load_file(folder / VECTORS)
    assert any(name.startswith("other.affine.layer_") for name in vectors)
    samples = json.loads((folder / SAMPLES).read_bytes())
    assert len(samples) == 12 * len(found.trials)
    show_stitch(found, measured, folder, Console(width=80))
    printed = capsys.readouterr().out
    assert "(a) In tiny the vector" in printed and "(b) In other" in printed
    tables = [line for line in printed.splitlines() if line.startswith(("affine", "random vector", "vector"))]
    assert len(tables) == 6 and max(map(len, tables)) <= 80


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
    assert "works" in good and "0.90 ± 0.05 of the native" in good and "The controls do nothing" in good
    assert "has no certain effect" in with_effects(1.0, 0.1, 0.0)
    assert "But some controls work, too" in with_effects(1.0, 0.9, 0.6)
    assert "nothing to compare with" in with_effects(0.1, 0.9, 0.0)
    assert "adapter" not in good
    assert "round's adapter" in evidence(replace(found, left_behind=True), rows)[0]
    # An error as large as the limit proves nothing about controls.
    assert "not all are certainly below; the largest is" in with_effects(1.0, 0.9, 0.08)
    blind = [{**row, "effect": None, "effect_error": None, "behavioural_ratio": None} for row in rows]
    assert "has no certain effect" in evidence(found, blind)[0] and len(evidence(found, blind)) == 2


def test_what_is_not_a_number_is_kept_as_nothing(store, tmp_path):
    """A reader that cannot tell members from others has no scale to read on."""
    found = carried(store, "again")
    pushed = [replace(each, readings=np.full(len(each.readings), np.nan)) for each in found.trials]
    save_stitch(replace(found, trials=pushed), tmp_path / "kept")
    rows = json.loads((tmp_path / "kept" / TABLE).read_bytes(), parse_constant=pytest.fail)["rows"]
    assert all(row["effect"] is None and row["reading"] is None for row in rows)


def test_nothing_is_left_where_the_disk_refuses(store, tmp_path, monkeypatch):
    found, folder = carried(store, "again"), tmp_path / "kept"
    monkeypatch.setattr(stored, "write_file", refuse)
    with pytest.raises(BasinError, match="kept cannot be written .No space left on device.; make room"):
        save_stitch(found, folder)
    assert not (folder / TABLE).exists()
    monkeypatch.undo()
    monkeypatch.setattr(evaluate, "write_file", refuse)
    monkeypatch.setattr(evaluate, "load_embedder", lambda: Counted())
    with pytest.raises(BasinError, match="measured.json cannot be written"):
        measure_stitch(found, store, planted_labels(store), folder)
    with pytest.raises(BasinError, match="stitch.png cannot be written"):
        draw_stitch(found, [], folder / "nowhere")


def refuse(path, content):
    raise OSError(28, "No space left on device")


def test_vectors_are_applied_as_they_were_calibrated(store):
    """A run that turns the stream steers plainly here, natively and translated alike."""
    updating = store.config.updating.model_copy(update={"norm_preserving": True})
    turning = RunStore(store.path, store.config.model_copy(update={"updating": updating}))
    found = carried(turning, "again")
    assert found.of("again", "native").texts == found.of("again", "affine").texts


def test_documents_of_the_run_are_not_general_text(store):
    config = stitching_of(store).model_copy(update={"corpus": store.config.corpus})
    with pytest.raises(BasinError, match="0 documents that are not the run's own"):
        general_texts(config, store.load_passages(), 0)
    texts, parts = general_texts(stitching_of(store), store.load_passages(), 0)
    assert not set(texts) & set(store.load_passages().texts)
    assert set(parts) == set(range(stitching_of(store).parts))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--to", "tiny"], "was made in tiny itself"),
        (["--to", "nothing"], "'nothing' could not be loaded"),
        (
            ["--to", "other", "--round", "0"],
            "Round 0 of run has no vector and readout to carry over",
        ),
        (["--to", "other", "--round", "7"], "has no round 7"),
        (["--to", "other", "--method", "magic"], "stitching.methods.0: input should be"),
        (["--to", "other", "--nats", "1000"], "No strength of steering spends 1000.0 nats"),
        (["--to", "other", "--label", "a", "--label", "b"], "1 runs and 2 labels were named"),
        (["--to", "other", "--label", "a"], "has no gold labels to judge by; leave --label out."),
    ],
)
def test_a_mistake_is_one_sentence(store, monkeypatch, arguments, sentence):
    monkeypatch.setenv("BASIN_CHECKPOINTS", str(store.path.parent))
    done = CliRunner().invoke(app, ["stitch", "run", *arguments])
    assert done.exit_code == 1
    assert sentence in done.output.replace("\n", " ") and "Traceback" not in done.output
    assert not (store.path / "stitches").exists()


def test_a_run_of_that_model_is_refused_before_others_are_stitched(store, monkeypatch):
    model = store.config.language_model.model_copy(update={"name": "other"})
    second = RunStore(store.path, store.config.model_copy(update={"language_model": model}))
    monkeypatch.setattr("loops.checkpoint.find.open_run", {"run": store, "second": second}.get)
    done = CliRunner().invoke(app, ["stitch", "run", "second", "--to", "other"])
    assert done.exit_code == 1 and "was made in other itself" in done.output.replace("\n", " ")
    assert not (store.path / "stitches").exists()


@pytest.mark.parametrize(
    ("documents", "words", "sentence"),
    [
        (1, 4000, "holds a single document"),
        (3, 4000, "has 3 documents that are not the run's own, and 7 are needed"),
        (7, 4000, "8 passages of general text are of 5 documents, and 7 are needed"),
    ],
)
def test_too_little_general_text_is_one_sentence(store, tmp_path, documents, words, sentence):
    """Seven documents are enough, but eight of their passages are of fewer."""
    folder = tmp_path / "few"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(documents):
        (folder / f"{number}.txt").write_text(" ".join(generator.choice(PLAIN, words)), encoding="utf-8")
    changes = {"corpus": CorpusConfig(source=str(folder)), "passages": 8}
    config = stitching_of(store).model_copy(update=changes)
    with pytest.raises(BasinError, match=sentence):
        trials.Pair.of(store, "other", config)


def test_the_whole_command(store, monkeypatch):
    monkeypatch.setenv("BASIN_CHECKPOINTS", str(store.path.parent))
    arguments = ["--to", "other", "--passages", "8", "--samples", "8", "--method", "affine", "--nats", "0.02"]
    arguments += ["--set", f"corpus.source={stitching_of(store).corpus.source}"]
    done = CliRunner().invoke(app, ["stitch", "run", *arguments])
    assert done.exit_code == 0, done.output
    ((folder, table),) = saved_stitches(store)
    assert {row["nats"] for row in table["rows"]} == {0.0, 0.02} and (folder / PICTURE).exists()
    assert {row["vector"] for row in table["rows"] if row["kind"] == "translated"} == {"affine"}
    assert str(folder) in done.output and not (folder / MEASURED).exists()


def test_maps_serve_other_runs_of_the_same_model_and_documents(store, config, tmp_path):
    pair = trials.Pair.of(store, "other", stitching_of(store))
    assert pair.serves(store)
    deeper = store.config.language_model.model_copy(update={"layers": (1,)})
    assert not pair.serves(RunStore(store.path, store.config.model_copy(update={"language_model": deeper})))
