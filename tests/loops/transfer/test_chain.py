"""A chain of tiny models: the concept is handed on, refined, handed on again; bad hand-overs are refused."""

import json

import numpy as np
import pytest
from planted_chain import OTHER, SAME, config, general, machine, model_of, stitching  # noqa: F401 (fixtures)
from planted_log import listening
from planted_loop import CRIME, DOCUMENTS, PLAIN, SETTINGS, THEMES, corpus, tiny_parts  # noqa: F401 (fixtures)

from agent.errors import BasinError
from agent.membership.similarity import soft_jaccard
from agent.transfer.learn import StitchingConfig
from benchmarks import successors
from loops.checkpoint.store import RunStore
from loops.report.terminal import show_run
from loops.transfer.chain import CHAIN, succeed
from loops.transfer.evaluate import measure_chain
from loops.transfer.output import show_chain


def chain(config, folder) -> tuple[list[dict], list[str]]:
    with listening() as heard:
        return succeed(config, folder), heard.messages


def test_the_concept_is_handed_from_model_to_model(config, tmp_path, capsys):
    links = ({**OTHER, "by": "intersection"}, {"language_model": {"name": "tiny"}, "by": "intersection"})
    rows, messages = chain(config(*links), tmp_path / "chain")
    assert [row["accepted"] for row in rows] == [True, True]
    assert [row["from_run"] for row in rows] == ["00_tiny", "01_other"]
    final = RunStore.open(tmp_path / "chain" / "02_tiny")
    membership = final.load(final.rounds()[-1]).concept.membership
    assert soft_jaccard(membership, CRIME.astype(float)) > 0.6
    assert final.about["origin"]["lineage"] == ["00_tiny", "01_other"]
    assert final.config.clustering.trust == 0
    assert final.config.clustering.size == pytest.approx(0.33, abs=0.01)
    measured = measure_chain(tmp_path / "chain", rows)
    from rich.console import Console

    show_chain(rows, measured, tmp_path / "chain", Console())
    show_run(final, Console())
    printed = capsys.readouterr().out
    assert "Accepted: 00_tiny to 01_other" in printed
    assert "Received from 01_other (round 3, other) by intersection." in printed


def test_a_chain_that_was_killed_goes_on_within_a_link(config, tmp_path, monkeypatch):
    settings = config({**OTHER, "by": "intersection"})
    straight, _ = chain(settings, tmp_path / "straight")
    saved = RunStore.save

    def dying(store, record, *arguments):
        if store.name.startswith("01") and record.round == 2:
            raise KeyboardInterrupt
        saved(store, record, *arguments)

    monkeypatch.setattr(RunStore, "save", dying)
    with pytest.raises(KeyboardInterrupt):
        chain(settings, tmp_path / "killed")
    monkeypatch.setattr(RunStore, "save", saved)
    rows, _ = chain(settings, tmp_path / "killed")
    assert {**rows[0], "seconds": 0} == {**straight[0], "seconds": 0}
    both = [RunStore.open(tmp_path / name / "01_other").load(3).concept for name in ("straight", "killed")]
    assert np.array_equal(both[0].membership, both[1].membership)


def test_a_bad_hand_over_is_refused_and_finished_links_are_not_repeated(config, tmp_path):
    folder = tmp_path / "chain"
    settings = config({**SAME, "by": "both", "planted": "shuffled_vector"}, {**SAME, "by": "both"})
    rows, messages = chain(settings, folder)
    assert [row["accepted"] for row in rows] == [False, True] and rows[1]["tokens"] > 100
    assert rows[1]["from_run"] == "00_tiny"
    assert rows[0]["sentence"].startswith("Refused: 00_tiny to 01_tiny")
    assert rows[0]["sentence"] in messages
    assert not (folder / "01_tiny" / "round_000").exists()
    assert json.loads((folder / CHAIN).read_bytes())["rows"] == rows
    files = {file: file.stat().st_mtime_ns for file in folder.glob("0*/round_*/*")}
    assert chain(settings, folder)[0] == rows
    assert files == {file: file.stat().st_mtime_ns for file in folder.glob("0*/round_*/*")}


def test_a_concept_that_is_not_certified_is_refused(config, tmp_path):
    rows, _ = chain(config({**OTHER, "by": "intersection"}, certificate=True), tmp_path / "chain")
    certificate = RunStore.open(tmp_path / "chain" / "01_other").load_certificate()
    assert rows[0]["accepted"] == certificate["certified"]
    assert not certificate["certified"], "drift_bound 0 in three rounds: nothing can be still"
    assert rows[0]["refusals"] == [certificate["sentence"]]


def test_a_model_improved_by_more_text_is_its_own_successor(config, tmp_path, general):
    rows, _ = chain(config({"improved": "more_text", "by": "intersection"}), tmp_path / "chain")
    store = RunStore.open(tmp_path / "chain" / rows[0]["to_run"])
    assert rows[0]["accepted"] and store.config.language_model.name.endswith("01_model")
    improved, old = model_of(store.config.language_model), tiny_parts()[0]
    weights = [dict(each.named_parameters()) for each in (improved.model, old)]
    assert set(weights[0]) == set(weights[1])
    assert any(not weights[0][name].equal(weights[1][name]) for name in weights[0])
    maps = StitchingConfig.model_validate(stitching(general))
    learnt = successors.learnt(tmp_path / "chain", rows[0], 8, maps)
    assert learnt["nats_general_before"] != learnt["nats_general_after"]


def test_a_chain_that_cannot_be_is_one_sentence(config, tmp_path):
    with pytest.raises(BasinError, match="names no successors"):
        chain(config(), tmp_path / "chain")
    with pytest.raises(ValueError, match="either a language_model or improved"):
        config({"by": "intersection"})
