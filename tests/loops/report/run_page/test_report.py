"""The page of a run: planted, damaged and hostile runs, and a page that fails never stops a run."""

import json
import shutil
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import typer.testing
from planted_scene import FALSE_FRIENDS, HOSTILE, TOPIC, UNSAID, Reader, Scene, plant

from agent.errors import BasinError
from loops.checkpoint.schema import sealed
from loops.checkpoint.store import RunStore
from loops.cli.main import app
from loops.evaluation.stored_measures import SHOWN, SHOWN_LATER
from loops.report import make
from loops.report.make import ReportPage, make_report
from loops.report.page import plain
from loops.report.run_page.material import gather
from loops.report.run_page.passages import thousandths


@pytest.fixture(autouse=True)
def apart(tmp_path, monkeypatch) -> None:
    """A cache of its own, no network, and the small stand-in for Plotly: these tests open no browser."""
    monkeypatch.setenv("BASIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BASIN_CHECKPOINTS", str(tmp_path))
    monkeypatch.setattr("loops.report.page.obtain", lambda: False)
    monkeypatch.setattr("loops.report.page.script", lambda: "/* charts */")


def made(store: RunStore) -> tuple[Reader, dict[str, Any]]:
    """The page as it is read, and the data in it."""
    read = Reader(make_report(store).path.read_bytes())
    return read, json.loads(next(text for given, text in read.scripts if given.get("id") == "basin-data"))


def test_the_head_lists_refused_and_added_passages(tmp_path):
    store = plant(tmp_path / "run", Scene(3))
    read, data = made(store)
    text = " ".join(read.text.split())
    claimed, inside = (store.load(number).concept.inside for number in (0, 3))
    refused = f"The concept refuses {(claimed & ~inside).sum()} of them."
    assert f"The pointer claims {claimed.sum()} passages. {refused}" in text
    out, taken = (
        set(text.split(f"Words that distinguish them from the {others}:")[1].split("Mostly from")[0].split())
        for others in ("claimed passages that stay", "other passages outside the pointer")
    )
    assert len(out & set(FALSE_FRIENDS)) >= 4 and not out & set(TOPIC) and taken & set(UNSAID)
    assert "All 3 rounds are done" in text and data["rounds"] == [0, 1, 2, 3]


def test_a_still_run_has_converged(tmp_path):
    read, data = made(plant(tmp_path / "run", Scene(12)))
    assert "Converged" in read.text and "Drift stayed under 0.02 for 2 rounds" in read.text
    assert data["course"]["limits"]["drift"] == 0.02 and data["course"]["series"]["drift"][0] is None


def test_the_map_shows_every_text(tmp_path):
    store = plant(tmp_path / "run", Scene(3))
    _, data = made(store)
    rounds = data["map"]["rounds"]
    assert len(data["map"]["real"]) == 240 and len(rounds) == 4
    assert [len(each["written"]) for each in rounds] == [len(each) for each in data["written"]["rounds"]]
    assert data["map"]["topic"] and all(each["ellipse"] for each in rounds)
    read, data = made(plant(tmp_path / "bare", Scene(3, placed=False)))
    assert data["map"] is None and "There is no map" in read.text


def test_stored_page_data_stays_inside_the_run(tmp_path):
    store = plant(tmp_path / "run", Scene(1, placed=False))
    (tmp_path / "elsewhere").mkdir()
    (store.path / "page").symlink_to(tmp_path / "elsewhere")
    _watcher(store).round_done([store.load(0)])
    assert (store.path / "report.html").exists()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_members_stay_on_their_side_of_one_half():
    shares = np.array([0.0, 0.4996, 0.49999999, 0.5, 0.5004, 1.0])
    assert thousandths(shares).tolist() == [0, 499, 499, 500, 500, 1000]


def test_the_page_shows_passages_as_stored(tmp_path):
    store = plant(tmp_path / "run", Scene(3))
    shown, record, passages = made(store)[1], store.load(3), store.load_passages()
    texts, membership = shown["passages"]["texts"], np.array(shown["passages"]["membership"])
    assert texts == passages.texts
    assert np.allclose(membership[3] / 1000, record.concept.membership, atol=0.001)
    before, now = store.load(2).concept.inside, record.concept.inside
    assert set(shown["exchange"][3]["entered"]) == set(np.flatnonzero(now & ~before))
    for at in shown["disagreements"]["refused"]:
        assert membership[0, at] >= 500 > membership[3, at]
    known = {*TOPIC, *FALSE_FRIENDS, *UNSAID}
    for at, spans in shown["responsibilities"].items():
        words = ((texts[int(at)][begin:end].lower(), share) for begin, end, share in spans)
        assert all(word in known or share < 0.9 for word, share in words)


def test_hostile_texts_do_nothing(tmp_path):
    read, data = made(plant(tmp_path / "run", Scene(2, hostile=True)))
    assert {tag for tag, _ in read.tags if tag in ("img", "b", "base", "iframe", "object")} == set()
    assert not [name for _, given in read.tags for name in given if name.startswith("on")]
    links = [value for _, given in read.tags for name, value in given.items() if name in ("href", "src")]
    assert all(link.startswith(("#", "data:,")) for link in links)
    assert plain(HOSTILE).strip() in data["passages"]["texts"][0], "it is all shown"
    assert plain(HOSTILE.replace("\x00", "")) in read.text, "also in the settings and titles"


@pytest.mark.parametrize("rounds", [0, 1])
def test_short_runs_have_a_page(tmp_path, rounds):
    read, data = made(plant(tmp_path / "run", Scene(rounds)))
    assert len(data["rounds"]) == rounds + 1
    assert ("Only round 0 exists" in read.text) == (rounds == 0)


def test_a_damaged_round_is_left_out_and_named(tmp_path):
    store = plant(tmp_path / "run", Scene(4))
    samples = store.path / "round_002" / "samples.json"
    samples.write_bytes(samples.read_bytes().replace(b"w", b"W", 1))
    shutil.rmtree(store.path / "round_003")
    read, data = made(store)
    assert data["rounds"] == [0, 1, 4] and data["exchange"][2]["entered"] is not None
    assert "Round 2 of run is damaged" in read.text and "Missing or damaged: round 3." in read.text
    for gone, sentence in ((0, "round 0, which holds the texts"), (1, "no whole round yet")):
        shutil.rmtree(store.path / f"round_00{gone}")
        if gone:
            shutil.rmtree(store.path / "round_002")
            shutil.rmtree(store.path / "round_004")
        with pytest.raises(BasinError, match=sentence):
            gather(store)


def test_gold_is_shown_apart_and_only_if_measured(tmp_path):
    store = plant(tmp_path / "run", Scene(2))
    read, data = made(store)
    assert data["gold"] is None and not [given for _, given in read.tags if given.get("id") == "gold"]
    row = {"method": "basin", "corpus": "planted", "concept": "</script>", **dict.fromkeys(SHOWN, 0.5)}
    row |= {"round": 1, **dict.fromkeys(SHOWN_LATER, 0.5)}
    (store.path / "measurements.json").write_bytes(sealed({"rounds": [0, 1, 2], "rows": [row]}))
    read, data = made(store)
    assert data["gold"]["rows"] == [row] and "Unknown to the loop" in read.text
    (store.path / "measurements.json").write_text("[1")
    assert made(store)[1]["gold"] is None


def test_a_large_corpus_is_cut_except_for_shown_passages(tmp_path, monkeypatch):
    monkeypatch.setattr("loops.report.run_page.passages.WHOLE_TEXTS", 1000)
    monkeypatch.setattr("loops.report.run_page.passages.FIRST_WORDS", 5)
    store = plant(tmp_path / "run", Scene(2))
    _, data = made(store)
    cut, texts = set(data["passages"]["cut"]), store.load_passages().texts
    assert cut and not cut & {*data["disagreements"]["refused"], *data["disagreements"]["taken"]}
    assert all(data["passages"]["texts"][at] == " ".join(texts[at].split()[:5]) for at in cut)


def _watcher(store: RunStore) -> ReportPage:
    found = gather(store)
    real = SimpleNamespace(
        activations=np.random.default_rng(0).normal(size=(len(found.passages.passages), 2, 16))
    )
    parts = {"passages": found.passages, "pointer": found.pointer, "real": real, "language_model": None}
    return ReportPage(store, SimpleNamespace(**parts))


def test_a_run_refreshes_its_page_without_gold_labels(tmp_path):
    store = plant(tmp_path / "run", Scene(2))
    (store.path / "measurements.json").write_bytes(sealed({"rounds": [0], "rows": [{"method": "basin"}]}))
    watcher, page = _watcher(store), store.path / "report.html"
    watcher.begin([store.load(0)])
    assert b'"rounds":[0]' in page.read_bytes()
    watcher.round_done([store.load(0), store.load(1)])
    assert b'"rounds":[0,1]' in page.read_bytes() and b'"gold":null' in page.read_bytes()
    assert made(store)[1]["map"]["titles"][0].startswith("evidence for the concept, round 1")


def test_a_page_that_fails_is_logged_and_the_run_continues(tmp_path, monkeypatch, messages):
    watcher = _watcher(plant(tmp_path / "run", Scene(1)))
    monkeypatch.setattr(make, "run_page", Mock(side_effect=ZeroDivisionError("no page today")))
    watcher.round_done([watcher.store.load(0)])
    assert watcher.finish() is None
    failures = [each for each in messages if "basin report" in each]
    assert ["no page today" in each for each in failures] == [True, True]


def test_the_page_can_be_switched_off(tmp_path):
    store = plant(tmp_path / "run", Scene(1))
    report = store.config.report.model_copy(update={"refresh": False})
    off = RunStore(store.path, store.config.model_copy(update={"report": report}))
    watcher = _watcher(off)
    watcher.begin([store.load(0)])
    assert watcher.finish() is None and not (store.path / "report.html").exists()


def test_the_command_prints_the_path_of_the_page_or_one_sentence(tmp_path):
    plant(tmp_path / "run", Scene(1))
    page = tmp_path / "sub" / "page.html"
    for arguments, status, sentence in (
        (f"run --out {page}", 0, f"Page: {page}"),
        ("runn", 1, "did you mean run"),
        (f"run --out {tmp_path / 'run'}", 1, "cannot be written"),
    ):
        result = typer.testing.CliRunner().invoke(app, ["report", *arguments.split()])
        assert result.exit_code == status and sentence in result.output and "Traceback" not in result.output
    assert page.exists() and not (tmp_path / "run" / "report.html").exists()
