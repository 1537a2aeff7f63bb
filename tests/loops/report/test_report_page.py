"""The shell of pages: one file, no network, and inert texts."""

import base64
import hashlib
import json

import numpy as np
import pytest
from markupsafe import Markup
from planted_scene import Reader

from agent.errors import BasinError
from loops.report import page
from loops.report.page import Page, View, plain, render, write

HOSTILE = "</script><script>alert(1)</script><!-- <img src=x onerror=alert(2)> \u2028\u2029 \"'` &lt; \x1b[31m \u202egnp \ud800"


def planted_page(charts: bool = False, text: str = HOSTILE) -> Page:
    views = [View("first", text, Markup("<p>one</p>")), View("second", "Two", Markup(), apart=True)]
    return Page(text, views, {"text": text, text: [np.float64(0.5), float("nan")]}, charts=charts, foot=text)


def test_hostile_text_stays_text():
    read = Reader(render(planted_page()))
    assert not {"img"} & {tag for tag, _ in read.tags}
    assert not [name for _, given in read.tags for name in given if name.startswith("on")]
    assert len(read.scripts) == 4, "the data, and the shell's three"
    assert "alert(1)" in read.text, "it is shown"
    content = render(planted_page()).decode()
    assert not {"\x1b", "\u202e", "\u2028"} & set(content)


def test_the_data_come_back_from_the_page():
    read = Reader(render(planted_page()))
    (data,) = [text for given, text in read.scripts if given.get("id") == "basin-data"]
    assert json.loads(data) == {"text": plain(HOSTILE), plain(HOSTILE): [0.5, None]}


def test_the_policy_names_every_script_that_runs_and_forbids_the_network():
    read = Reader(render(planted_page(charts=True, text="calm")))
    (policy,) = [given["content"] for tag, given in read.tags if given.get("http-equiv")]
    assert "default-src 'none'" in policy and "connect-src 'none'" in policy and "unsafe-eval" not in policy
    running = [text for given, text in read.scripts if "type" not in given] + [page.script()]
    for text in running:
        assert base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() in policy
    assert policy.count("sha256-") == len(running)


def test_nothing_is_loaded_from_elsewhere_and_the_same_page_gives_the_same_bytes():
    content = render(planted_page(charts=True))
    assert content == render(planted_page(charts=True))
    given = [each for _, attributes in Reader(content).tags for each in attributes.items()]
    assert all(value.startswith(("#", "data:,")) for name, value in given if name in ("src", "href"))


def test_the_page_has_landmarks_a_skip_link_and_a_link_to_every_view():
    read = Reader(render(planted_page()))
    assert {"header", "nav", "main", "footer"} <= {tag for tag, _ in read.tags}
    links = [given["href"] for tag, given in read.tags if tag == "a"]
    assert links == ["#main", "#first", "#second"] and ("html", {"lang": "en"}) in read.tags


def test_plain_text_keeps_letters_and_lines_and_shows_the_rest():
    assert plain("né\n\tשלום 🔎") == "né\n\tשלום 🔎"
    assert plain("a\x1b[0m\x00b\u202ec") == "a␛[0m␀b\ufffdc"


def test_a_page_that_cannot_be_written_gives_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BasinError, match="--out"):
        write(planted_page(), tmp_path / "file" / "page.html")
