"""A tiny run's concept found in other readers of the same texts."""

import json

import pytest
from planted_chain import config, general, kept, machine, store  # noqa: F401 (fixtures)
from planted_loop import CRIME, corpus  # noqa: F401 (fixtures)
from typer.testing import CliRunner

from agent.errors import BasinError
from loops.checkpoint.store import RunStore
from loops.cli.main import app
from loops.transfer.match import MATCHES, match

SIDES = {"both", "only the concept", "only the match"}


def test_the_concept_is_found_in_another_model(store):
    found = match(store, None, "other")
    assert found["clusters"][0]["soft_jaccard_real"] > 0.5
    overlaps = [row["soft_jaccard"] for row in found["clusters"]]
    assert overlaps == sorted(overlaps, reverse=True)
    titles = [each.split(":")[0] for each in found["sides"]["both"]]
    assert titles and len(titles) == len(set(titles))


def test_the_concept_matches_itself_in_its_own_model(store):
    compared = match(store, None, "tiny", compare=store)["compared"]
    assert compared["concept"] == pytest.approx(1)
    assert compared["match"] > 0.5


def test_topics_are_clusters(store):
    clusters = match(store, None, "lda:3:1")["clusters"]
    union = next(each for each in clusters if each["kind"] == "union")
    assert clusters[0]["soft_jaccard"] > 0.5
    assert len(union["words"]) == len(union["components"]) > 0


def test_another_corpus_cannot_be_compared(store, tmp_path, monkeypatch):
    passages = store.load_passages()
    shorter = type(passages)(passages.documents, passages.passages[:-1])
    monkeypatch.setattr(
        RunStore, "load_passages", lambda self: shorter if self.name == "elsewhere" else passages
    )
    with pytest.raises(BasinError, match="elsewhere has other passages"):
        match(store, None, "tiny", compare=RunStore(tmp_path / "elsewhere", store.config))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--in", "lda:one"], "'lda:one' is no topic model"),
        (["--in", "nothing"], "'nothing' could not be loaded"),
        (["--in", "other", "--round", "0"], "Round 0 of run has no readout to match"),
        (["--in", "other", "--round", "9"], "has no round 9"),
        (["--in", "other", "--compare", "nobody"], "There is no run 'nobody'"),
    ],
)
def test_a_mistake_is_one_sentence(store, monkeypatch, arguments, sentence):
    monkeypatch.setenv("BASIN_CHECKPOINTS", str(store.path.parent))
    done = CliRunner().invoke(app, ["match", "run", *arguments])
    assert done.exit_code == 1
    assert sentence in done.output.replace("\n", " ") and "Traceback" not in done.output


def test_the_command_prints_and_keeps_clusters_and_sides(store, monkeypatch):
    monkeypatch.setenv("BASIN_CHECKPOINTS", str(store.path.parent))
    done = CliRunner().invoke(app, ["match", "run", "--in", "other"])
    assert done.exit_code == 0
    assert "classifier" in done.output and "Only the concept" in done.output
    (file,) = (store.path / MATCHES).iterdir()
    stored = json.loads(file.read_bytes())
    assert {each["kind"] for each in stored["clusters"]} == {"union", "classifier"}
    assert set(stored["sides"]) == SIDES
