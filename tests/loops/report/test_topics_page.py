"""The topic browser on a corpus with planted topics."""

import dataclasses
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer.testing
import yaml
from planted_run import CONFIG, save_rounds

from agent.errors import BasinError
from agent.pointer.topic_model import pick
from benchmarks.report import Seen, browser_path, open_browser, open_page
from loops.checkpoint.store import RunStore
from loops.cli.main import app
from loops.config import load_config, parse_config
from loops.report import page as plotly_bundle
from loops.report import topic_views, topics_page
from loops.report.page import render
from loops.report.topic_views import TopicOptions, TopicView, view_subject
from loops.report.topics_page import browser_data, distances

LETTERS = "abcdefghijklmn"
THEMES = {theme: [theme + letter for letter in LETTERS] for theme in ("murder", "harbour", "meadow")}
SHARES = {"murder": 6, "harbour": 12, "meadow": 18}
"""Documents of each theme: a sixth, a third, a half."""
COMMON = [f"plain{letter}" for letter in LETTERS]
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """Documents of one theme each, a fifth of their words common to all; one has a hostile sentence."""
    folder, generator = tmp_path_factory.mktemp("planted") / "books", np.random.default_rng(0)
    folder.mkdir()
    for theme, count in SHARES.items():
        for number in range(count):
            shared = generator.random(240) < 0.2
            drawn = generator.choice(COMMON, 240), generator.choice(THEMES[theme], 240)
            text = " ".join(np.where(shared, *drawn)) + (f". {HOSTILE}" if number == 0 else "")
            (folder / f"{theme}-{number}.txt").write_text(text)
    return folder


@pytest.fixture(scope="module")
def config_file(corpus) -> Path:
    topics = {"count": 3, "chunk_words": 120, "minimum_chunks": 2, "maximum_chunk_share": 0.9}
    tree = {
        "corpus": {"source": str(corpus)},
        "passages": {"words": 80, "minimum_words": 40},
        "topics": {**topics, "words": ["murdera", "murderb"]},
        "seed": 4,
    }
    file = corpus.parent / "mine.yaml"
    file.write_text(yaml.safe_dump(tree))
    return file


@pytest.fixture(scope="module")
def view(config_file) -> TopicView:
    return view_subject(str(config_file), TopicOptions())


@pytest.fixture(scope="module")
def data(view) -> dict[str, Any]:
    return browser_data(view)


@pytest.fixture(scope="module")
def number_of(view) -> dict[str, int]:
    """The topic of each theme."""
    return {theme: int(np.argmax(view.model.mass_on(words))) for theme, words in THEMES.items()}


def test_planted_shares_words_and_places_are_found(view, data, number_of):
    assert sorted(number_of.values()) == [0, 1, 2]
    for theme, topic in number_of.items():
        found = data["topics"][topic]
        assert found["share"] == pytest.approx(SHARES[theme] / 36, abs=0.05)
        assert set(found["words"]) <= set(THEMES[theme])
    assert data["plane_shows"] == pytest.approx(1)  # three topics fit in a plane
    plane = np.array([[topic["x"], topic["y"]] for topic in data["topics"]])
    apart = np.linalg.norm(plane[:, None] - plane[None], axis=-1)
    assert apart == pytest.approx(distances(view.model.topic_word), abs=1e-6)


def test_typical_passages_are_the_themes_own(view, data, number_of):
    for theme, topic in number_of.items():
        passages = data["topics"][topic]["passages"]
        titles = Counter(passage["title"] for passage in passages)
        assert len(passages) == 8 and all(theme in passage["text"] for passage in passages)
        weights = [passage["weight"] for passage in passages]
        assert weights == sorted(weights, reverse=True) and weights[0] == view.weights[:, topic].max()
        assert max(titles.values()) <= 2
    few = dataclasses.replace(view, weights=np.array([[0.004, 1], [0.6, 0.4], [0, 1], [0.7, 0.3]]))
    assert few.typical(0) == [3, 1], "passages without the topic do not fill its list up"


def test_every_line_is_a_configuration_that_starts_from_its_topic(view, data, config_file):
    whole = yaml.safe_load(config_file.read_text())
    for topic in data["topics"]:
        tree = yaml.safe_load(topic["line"])
        config = parse_config({**whole, **tree}, "test")
        assert pick(view.model, config.topics).topic == topic["number"]
        assert config.topics.model_copy(update={"topic": None, "words": view.words}) == view.config.topics
    before, after = data["line_before"]
    tree = yaml.safe_load(f'{before}"harbourc", "it\'s: [odd"{after}')
    assert tree["topics"]["words"] == ["harbourc", "it's: [odd"]
    assert data["picked"] == int(np.argmax(view.model.mass_on(THEMES["murder"]))) and not data["by_number"]


def test_a_bare_corpus_gives_whole_configurations(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(
        topic_views, "proposed_length", lambda cut, *_: cut
    )  # invented words are long in tokens
    view = view_subject(str(corpus), TopicOptions(count=3, seed=2))
    (tmp_path / "mine.yaml").write_text(browser_data(view)["topics"][1]["line"])
    config = load_config(tmp_path / "mine.yaml")
    assert (config.corpus.source, config.topics.topic, config.seed) == (str(corpus), 1, 2)
    assert config.passages == view.config.passages
    assert {"topic": 1, "words": ["sea"]}.items() <= yaml.safe_load(view.lines(1, ["sea"]))["topics"].items()
    # Of long documents, a configuration reads a part.
    monkeypatch.setattr(topic_views, "enough_per_document", lambda *_: 5)
    assert yaml.safe_load(view.lines(1))["passages"] == {"per_document": 5}


def test_a_runs_topics_are_taken_as_stored(tmp_path):
    store = RunStore.create(tmp_path / "run", CONFIG)
    save_rounds(store, 1)
    view, pointer = view_subject(str(store.path), TopicOptions()), store.load_pointer()
    assert np.array_equal(view.model.topic_word_counts, pointer.model.topic_word_counts)
    words = [topic["words"] for topic in browser_data(view)["topics"]]
    assert view.picked == pointer.topic and words == [pointer.model.top_words(topic) for topic in (0, 1)]
    assert len(render(topics_page.topics_page(view))) > 1000
    with pytest.raises(BasinError, match="not fitted again"):
        view_subject(str(store.path), TopicOptions(count=5))


def test_a_corpus_keeps_its_name(tmp_path, monkeypatch, messages):
    """A run is often called as its corpus; the corpus is what the name has always meant."""
    monkeypatch.setenv("BASIN_CHECKPOINTS", str(tmp_path))
    for name in ("brown", "mine"):
        save_rounds(RunStore.create(tmp_path / name, CONFIG), 1)
    assert topic_views._find_run("brown") is None and str(tmp_path / "brown") in messages[0]
    assert topic_views._find_run("mine").name == "mine"
    assert topic_views._find_run(str(tmp_path / "brown")).name == "brown"


def test_large_models_leave_their_rarest_words_out(view, monkeypatch):
    for name, size in (("LARGEST_MATRIX", 3 * 20), ("SURE_WORDS", 5)):
        monkeypatch.setattr(topics_page, name, size)
    found = browser_data(view)
    kept = len(found["vocabulary"])
    assert 20 <= kept < len(view.model.vocabulary) and found["left_out"] == len(view.model.vocabulary) - kept
    assert min(min(topic["sure"]) for topic in found["topics"]) >= 0


def test_the_command_writes_the_page_to_its_argument(config_file, tmp_path, monkeypatch):
    monkeypatch.setattr(plotly_bundle, "obtain", lambda: True)
    monkeypatch.setattr(plotly_bundle, "script", lambda: "window.Plotly = {};")
    monkeypatch.chdir(tmp_path)
    runner = typer.testing.CliRunner()
    for arguments, file in ((["--html"], "topics-mine.html"), (["--html", "other.html"], "other.html")):
        result = runner.invoke(app, ["topics", str(config_file), *arguments])
        assert result.exit_code == 0 and file in result.output
        page = (tmp_path / file).read_text()
        assert "alert(1)" in page and "<script>alert(1)" not in page and "<img src=x" not in page
        assert "http://" not in page and "https://" not in page
    result = runner.invoke(app, ["topics", str(config_file), "other.html"])
    assert result.exit_code == 1 and "--html" in result.stderr


def test_the_terminal_gives_the_section_of_a_config_file(config_file):
    result = typer.testing.CliRunner().invoke(app, ["topics", str(config_file), "--topic", "2"])
    assert result.exit_code == 0 and "replace `topics` in" in result.output
    section = yaml.safe_load(result.output[result.output.rindex("topics:") :])
    assert section["topics"]["topic"] == 2 and section["topics"]["chunk_words"] == 120


def test_topics_without_a_common_word_are_one_apart_and_equal_ones_nothing():
    apart = distances(np.array([[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5], [0.5, 0.5, 0, 0]]))
    assert apart == pytest.approx(np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]]), abs=1e-7)
    # half of the words shared: the divergence is half a bit
    assert distances(np.array([[0.5, 0.5, 0], [0, 0.5, 0.5]]))[0, 1] == pytest.approx(np.sqrt(0.5))


@pytest.fixture(scope="module")
def opened(view, tmp_path_factory) -> Iterator[Any]:
    """The page in a browser, in which nothing may go wrong."""
    pytest.importorskip("playwright")
    if browser_path() is None:
        pytest.skip("no Chromium is installed")
    file, seen = tmp_path_factory.mktemp("page") / "topics.html", Seen()
    file.write_bytes(render(topics_page.topics_page(view)))
    with open_browser() as browser, open_page(browser, file, seen) as page:
        page.on("dialog", lambda dialog: (seen.faults.append(dialog.message), dialog.dismiss()))
        page.wait_for_selector("#topics-map .js-plotly-plot, #topics-map .main-svg", timeout=60_000)
        yield page
    assert (seen.console_errors, seen.network_requests, seen.faults) == ([], [], [])


def test_a_search_ranks_topics_as_a_run_would_pick_them(opened, view, number_of):
    for theme, words in THEMES.items():
        opened.fill("#topics-search", f"{words[0]}, {words[1]} nowhere")
        numbers = "all => all.map((each) => Number(each.dataset.topic))"
        ranked = opened.eval_on_selector_all("#topics-list button", numbers)
        mass = view.model.mass_on(words[:2])
        assert ranked == np.argsort(-mass, kind="stable").tolist() and ranked[0] == number_of[theme]
        status = opened.text_content("#topics-status")
        assert f"{100 * mass.max():.2f} %" in status and "nowhere" in status
        assert opened.text_content("#topic-title") == f"Topic {number_of[theme]}"
    opened.check("#topic-ways input >> nth=1")
    tree = yaml.safe_load(opened.text_content("#topic-line"))
    assert tree["topics"]["words"] == THEMES["meadow"][:2]


def test_a_topic_is_chosen_by_keyboard_and_its_line_copied(opened, number_of):
    opened.fill("#topics-search", "")
    topic = number_of["harbour"]
    opened.focus(f"#topics-list button[data-topic='{topic}']")
    opened.keyboard.press("Enter")
    assert opened.text_content("#topic-title") == f"Topic {topic}"
    assert opened.evaluate("document.activeElement.dataset.topic") == str(topic)
    assert yaml.safe_load(opened.text_content("#topic-line"))["topics"]["topic"] == topic
    opened.click("#topic-copies button >> nth=0")
    opened.wait_for_selector("#topic-copies button:text-is('Copied')")


def test_the_slider_and_the_table_alternative_show_the_models_words(opened, view, number_of):
    topic = number_of["murder"]
    opened.click(f"#topics-list button[data-topic='{topic}']")
    opened.click("#topic-bars summary")
    counts = view.model.topic_word_counts
    shares = counts.sum(axis=0) / counts.sum()
    for step in (0, 10):
        slide = "(each, value) => { each.value = value; each.dispatchEvent(new Event('input')); }"
        opened.eval_on_selector("#topic-lambda", slide, step / 10)
        opened.wait_for_timeout(300)
        texts = "all => all.map((each) => each.textContent)"
        shown = opened.eval_on_selector_all("#topic-bars tbody th", texts)
        relevance = np.log(view.model.topic_word[topic]) - (1 - step / 10) * np.log(shares)
        found = [relevance[view.model.vocabulary.index(word)] for word in shown]
        assert found == pytest.approx(np.sort(relevance)[::-1][:30], abs=1e-5)
    assert opened.locator("#topic-passages mark.strong").count() > 10
