"""Newsgroups posts come in an order that says nothing of their group, and the group stays beside the text."""

import pytest

from agent.corpora import newsgroups
from agent.corpora.load import CorpusConfig, iter_records, load_corpus
from agent.corpora.newsgroups import newsgroup_posts
from agent.types import document_id

POSTS = [("rec.autos", f"car  number {number}\tfast") for number in range(6)]
POSTS += [("sci.space", f"moon {number}\n rocket") for number in range(6)]


@pytest.fixture(autouse=True)
def table(tmp_path, monkeypatch):
    """A small table in place of the package's file."""
    path = tmp_path / "table.tab"
    quoted = [f'{group}\t"{text}"' for group, text in POSTS]
    path.write_text("\n".join(["category\ttext", "d\tstring", "class\tmeta", *quoted]), encoding="utf-8")
    asked = []
    monkeypatch.setattr(newsgroups, "fetch", lambda file: asked.append(file) or path)
    return asked


def test_posts_are_read_with_their_group_and_single_spaces(table):
    posts = list(newsgroup_posts())
    assert sorted(posts) == sorted((group, " ".join(text.split())) for group, text in POSTS)
    assert table == [newsgroups.TABLE]


def test_the_order_is_that_of_the_texts_and_not_of_the_groups():
    posts = list(newsgroup_posts())
    digests = [document_id(text) for _, text in posts]
    assert digests == sorted(digests)
    assert len({group for group, _ in posts[:6]}) == 2


def test_a_post_of_any_length_is_read(tmp_path, monkeypatch):
    path = tmp_path / "long.tab"
    path.write_text("a\tb\nc\td\ne\tf\nsci.space\t" + "moon " * 60_000, encoding="utf-8")
    monkeypatch.setattr(newsgroups, "fetch", lambda file: path)
    ((group, text),) = newsgroup_posts()
    assert group == "sci.space" and len(text.split()) == 60_000


def test_the_corpus_has_titles_and_no_groups():
    config = CorpusConfig(source="newsgroups", limit=5)
    documents, records = load_corpus(config), list(iter_records(config))
    assert len(documents) == 5 and documents[0].title and documents[0].title in documents[0].text
    assert "rec.autos" not in repr(documents) and "sci.space" not in repr(documents)
    assert {record["group"] for record, _ in records} <= {"rec.autos", "sci.space"}


@pytest.mark.weights
def test_the_packaged_table_has_11293_posts_of_20_groups(monkeypatch):
    monkeypatch.undo()
    posts = list(newsgroup_posts())
    assert (len(posts), len({group for group, _ in posts})) == (11293, 20)
