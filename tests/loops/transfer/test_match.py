"""A tiny run's concept found in other readers of the same texts."""

from __future__ import annotations

import json

import numpy as np
import pytest
from planted_chain import config, general, kept, machine, store  # noqa: F401 (fixtures)
from planted_loop import CRIME, PASSAGES, corpus  # noqa: F401 (fixtures)
from typer.testing import CliRunner

from agent.errors import BasinError
from loops.checkpoint.store import RunStore
from loops.cli.main import app
from loops.transfer.match import match, rows, two_sides
from loops.transfer.store import MATCHES, save_match


def test_the_concept_is_found_in_another_model(store):
    found = match(store, None, "other", "concept")
    best = found.candidates[0]
    real = slice(0, len(CRIME))
    assert (best.membership[real][CRIME] > 0.5).mean() > (best.membership[real][~CRIME] > 0.5).mean() + 0.3
    assert len(found.target) == len(CRIME) + len(found.texts.generated)
    kinds = [each.kind for each in found.texts.generated]
    assert set(kinds) == {"steered", "base"}
    assert len({each.whole for each in found.texts.generated}) == len(kinds)
    overlaps = [row["soft_jaccard"] for row in rows(found) if row["kind"] != "component"]
    assert overlaps == sorted(overlaps, reverse=True)


def test_in_its_own_model_the_concept_is_itself(store):
    found = match(store, None, "tiny", "concept", compare=store)
    assert found.compared["concept"] == pytest.approx(1)
    assert found.compared["match"] > 0.5


def test_topics_are_clusters_and_the_pointer_can_be_matched(store):
    found = match(store, None, "lda:3:1", "topic")
    assert found.candidates[0].overlap.jaccard > 0.5
    assert {each.kind for each in found.candidates} == {"component", "union", "classifier"}
    assert sum(each.kind == "component" for each in found.candidates) == 3
    through = match(store, None, "other", "lda:3")
    direct = match(store, None, "lda:3", "concept")
    assert np.array_equal(through.target, direct.candidates[0].membership)


def test_written_texts_are_read_by_the_round_that_is_asked_for(store):
    found = match(store, None, "other", "concept")
    concept = store.load(store.rounds()[-1]).concept
    assert np.array_equal(found.target[: len(CRIME)], concept.membership)
    written = concept.readout.evidence(found.texts.activations)
    assert np.corrcoef(written, found.target[len(CRIME) :])[0, 1] > 0.5


def test_it_is_kept_with_both_sides(store):
    found = match(store, None, "other", "concept")
    file = save_match(found, store)
    assert file.parent == store.path / MATCHES
    stored = json.loads(file.read_bytes())
    assert stored["candidates"] == rows(found) and set(stored["sides"]) == {
        "both",
        "only the concept",
        "only the match",
    }
    titles = [each.split(":")[0] for each in two_sides(found)["both"]]
    assert len(titles) == len(set(titles))


def test_another_corpus_cannot_be_compared(store, tmp_path, monkeypatch):
    passages = store.load_passages()
    shorter = type(passages)(passages.documents, passages.passages[:-1])
    monkeypatch.setattr(
        RunStore,
        "load_passages",
        lambda self: shorter if self.name == "elsewhere" else passages,
    )
    other = RunStore(tmp_path / "elsewhere", store.config)
    with pytest.raises(BasinError, match="elsewhere has other passages"):
        match(store, None, "tiny", "concept", compare=other)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--in", "lda:one"], "'lda:one' is no topic model"),
        (["--in", "nothing"], "'nothing' could not be loaded"),
        (["--in", "other", "--from", "lda"], "'lda' is no topic model"),
        (["--in", "other", "--round", "9"], "has no round 9"),
        (["--in", "other", "--compare", "nobody"], "There is no run 'nobody'"),
    ],
)
def test_a_mistake_is_one_sentence(store, monkeypatch, arguments, sentence):
    monkeypatch.setenv("BASIN_CHECKPOINTS", str(store.path.parent))
    done = CliRunner().invoke(app, ["match", "run", *arguments])
    assert done.exit_code == 1
    assert sentence in done.output.replace("\n", " ") and "Traceback" not in done.output


def test_the_command_prints_table_and_sides(store, monkeypatch):
    monkeypatch.setenv("BASIN_CHECKPOINTS", str(store.path.parent))
    done = CliRunner().invoke(app, ["match", "run", "--in", "other"])
    assert done.exit_code == 0
    assert "classifier" in done.output and "Only the concept" in done.output
