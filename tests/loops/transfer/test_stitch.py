"""A concept carried between tiny random models, with all its evidence."""

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
from agent.files.checked import DamagedError
from agent.judging.gold import GoldLabels
from agent.language_model.model import LanguageModel
from agent.transfer.learn import BACK, FORWARD, UNSEEN, general_texts
from agent.types import seed_for
from benchmarks.stitch import saved_stitches
from loops.checkpoint.store import RunStore
from loops.cli.main import app
from loops.transfer import evaluate, stitch
from loops.transfer.evaluate import MEASURED, measure_stitch
from loops.transfer.output import evidence, show_stitch
from loops.transfer.stitch import VECTORS, check_stitch, save_stitch
from loops.transfer.trials import DRAWS


def carried(store: RunStore, to: str, **options):
    record = stitch.carry(store, None, to)
    return stitch.stitch(store, record, to, stitching_of(store), samples=12, **options)


def test_a_model_stitched_to_itself_changes_nothing(store):
    found = carried(store, "again")
    rows = {(row["model"], row["vector"]): row for row in found.rows()}
    affine = rows["again", "affine"]
    assert found.stitches.partner == {1: 1, 2: 2}
    assert affine["unexplained_variance"] < 1e-3
    assert affine["cosine_native"] > 0.999 and affine["returned_cosine"] > 0.999
    own = rows["tiny", "native"], rows["again", "native"]
    assert own[0]["nats"] == own[1]["nats"] == affine["nats"] == store.config.updating.budget_nats
    assert found.of("tiny", "base").texts == found.of("again", "base").texts
    assert found.of("again", "native").texts == found.of("again", "affine").texts
    assert affine["effect"] == pytest.approx(rows["again", "native"]["effect"], abs=1e-3)
    controls = {row["vector"]: row for row in found.rows() if row["kind"] == "control"}
    assert list(controls) == ["random map", "shuffled pairs", "random vector", "another concept"]
    control = found.of("again", "random vector")
    assert controls["random vector"]["draws"] == len(control.vectors) == DRAWS
    model = LanguageModel.load(store.config.language_model)
    seed = seed_for(seed_for(store.config.seed, 0, "stitch"), 1, "passage")
    alone = model.generate([found.prompts[1]], [seed], store.config.generation, control.vectors[1])
    assert alone == [control.texts[1]]
    assert all(abs(controls[name]["cosine_native"]) < 0.7 for name in ("random map", "random vector"))


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
    folder = save_stitch(found, store)
    assert measure_stitch(found, store, folder) == []  # a folder of texts has no labels
    monkeypatch.setattr(evaluate, "gold_labels", lambda *_: planted_labels(store))
    measured = measure_stitch(found, store, folder)
    compared = [row["vector"] for row in found.rows() if row["kind"] in ("translated", "control")]
    assert [row["vector"] for row in measured] == compared
    assert json.loads((folder / MEASURED).read_bytes())["rows"] == measured
    ((kept_in, table),) = saved_stitches(store)
    assert kept_in == folder and table["rows"] == found.rows()
    assert np.shape(table["svcca"]) == (2, 3)
    assert len(table["samples"]) == 12 * len(found.trials)
    vectors = safetensors.torch.load_file(folder / VECTORS)
    assert any(name.startswith("other.affine.layer_") for name in vectors)
    show_stitch(found, measured, folder, Console(width=80))
    printed = capsys.readouterr().out
    assert "(a) In tiny the vector" in printed and "(b) In other" in printed
    tables = [line for line in printed.splitlines() if line.startswith(("affine", "random vector", "vector"))]
    assert len(tables) == 6 and max(map(len, tables)) <= 80
    check_stitch(folder)
    (folder / VECTORS).write_bytes(b"other")
    with pytest.raises(DamagedError, match="not what was written"):
        check_stitch(folder)


def test_sentences_claim_no_more_than_the_numbers(store):
    found = carried(store, "again")
    rows = found.rows()

    def with_effects(native: float, translated: float, control: float) -> str:
        changed = []
        for row in rows:
            effect = {"native": native, "translated": translated, "control": control}.get(row["kind"], 0.0)
            ratio = effect / native if row["kind"] in ("translated", "control") and native else None
            numbers = {"effect": effect, "effect_error": 0.1, "behavioural_ratio": ratio, "ratio_error": 0.05}
            changed.append({**row, **numbers})
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
    blind = [{**row, "effect": np.nan, "effect_error": np.nan, "behavioural_ratio": None} for row in rows]
    assert "has no certain effect" in evidence(found, blind)[0] and len(evidence(found, blind)) == 2


def test_a_failed_write_leaves_no_folder(store, monkeypatch):
    def refuse(path, content):
        raise OSError(28, "No space left on device")

    found = carried(store, "again")
    monkeypatch.setattr(stitch, "write_file", refuse)
    with pytest.raises(BasinError, match="again_round_001 cannot be written .No space left.*make room"):
        save_stitch(found, store)
    assert saved_stitches(store) == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--to", "tiny"], "was made in tiny itself"),
        (["--to", "nothing"], "'nothing' could not be loaded"),
        (["--to", "other", "--round", "0"], "Round 0 of run has no vector and readout to carry over"),
        (["--to", "other", "--round", "7"], "has no round 7"),
        (["--to", "other", "--nats", "inf"], "nats was inf: give a finite number from 0.0001 on"),
        (["--to", "other", "--nats", "1000"], "No strength of steering spends 1000.0 nats"),
        (["--to", "other", "--set", "passages=2"], "passages"),
    ],
)
def test_a_mistake_is_one_sentence(store, monkeypatch, arguments, sentence):
    monkeypatch.setenv("BASIN_CHECKPOINTS", str(store.path.parent))
    done = CliRunner().invoke(app, ["stitch", "run", *arguments])
    assert done.exit_code == 1
    assert sentence in done.output.replace("\n", " ") and "Traceback" not in done.output
    assert not (store.path / "stitches").exists()


def test_general_text_is_of_other_documents_and_of_enough_of_them(store, tmp_path):
    config, own = stitching_of(store), store.load_passages()
    texts, use = general_texts(config, own, 0)
    assert not set(texts) & set(own.texts) and set(use) == {UNSEEN, FORWARD, BACK}
    with pytest.raises(BasinError, match="0 documents that are not the run's own"):
        general_texts(config.model_copy(update={"corpus": store.config.corpus}), own, 0)
    (folder := tmp_path / "few").mkdir()
    generator = np.random.default_rng(0)
    for number in range(7):
        (folder / f"{number}.txt").write_text(" ".join(generator.choice(PLAIN, 4000)), encoding="utf-8")
    few = {"corpus": CorpusConfig(source=str(folder)), "passages": 8}
    with pytest.raises(BasinError, match="8 passages of general text are of 5 documents .* and 7 are needed"):
        general_texts(config.model_copy(update=few), own, 0)


def test_the_whole_command(store, monkeypatch):
    monkeypatch.setenv("BASIN_CHECKPOINTS", str(store.path.parent))
    settings = [f"corpus.source={stitching_of(store).corpus.source}", "passages=20"]
    arguments = ["stitch", "run", "--to", "other", "--samples", "8", "--nats", "0.02"]
    done = CliRunner().invoke(app, [*arguments, "--set", settings[0], "--set", settings[1]])
    assert done.exit_code == 0, done.output
    ((folder, table),) = saved_stitches(store)
    assert {row["nats"] for row in table["rows"]} == {0.0, 0.02}
    assert str(folder) in done.output and not (folder / MEASURED).exists()
