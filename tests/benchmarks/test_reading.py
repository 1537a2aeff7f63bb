"""A sheet hides who wrote its passages, and is scored exactly."""

import json
import re

import pytest
from typer.testing import CliRunner

from agent.errors import BasinError
from agent.types import document_id
from benchmarks import passages, reading
from benchmarks.lesson import split_corpus

REAL = [
    " ".join(f"“Real{number}” sentence {at} of it goes on—and on." for at in range(40))
    for number in range(12)
]
HELD = REAL[4:]
MADE = "of a thing that began. This one of {} goes on for ever. And it ends at last, in the rain. So it was then."


def run(*arguments):
    done = CliRunner().invoke(reading.app, [*map(str, arguments)])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture
def made(tmp_path):
    """A corpus, the passages of two generators, and the command that makes a sheet of them."""
    rows = [{"text": text, "label": at % 2 == 0} for at, text in enumerate(REAL)]
    (tmp_path / "shelf.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (tmp_path / "held.txt").write_text("\n".join(map(document_id, HELD)))
    for name in ("basin-zeta", "other-omega"):
        prompt = " ".join(HELD[0].split()[:4])
        samples = [{"prompt": prompt, "text": f"{MADE.format(at)}  “So—it…”", "seed": 1} for at in range(5)]
        (tmp_path / f"{name}.json").write_text(json.dumps(samples), encoding="utf-8")
    arguments = [
        "make",
        "--corpus",
        tmp_path / "shelf.jsonl",
        "--concept",
        "label",
        "--out",
        tmp_path / "one",
    ]
    for name in ("basin-zeta", "other-omega"):
        arguments += ["--passages", f"{name}={tmp_path / name}.json"]
    return tmp_path, [
        *arguments,
        "--held-out",
        tmp_path / "held.txt",
        "--number",
        4,
        "--real",
        4,
        "--words",
        12,
    ]


def fill(sheet, key, answers):
    """Write the answers of each generator, `member thread readable` a passage, into the sheet."""
    text, given = sheet.read_text(), {name: iter(each) for name, each in answers.items()}
    for number, row in key["passages"].items():
        for field, answer in zip(reading.ANSWERS, next(given[row["generator"]]).split(), strict=True):
            text = re.sub(rf"(## {number}\n(?:.*\n)*?{field}:) \n", rf"\1 {answer}\n", text, count=1)
    sheet.write_text(text)


def test_a_sheet_is_blind_and_scored_exactly(made):
    folder, arguments = made
    run(*arguments)
    sheet, key_file = folder / "one" / "sheet.md", folder / "one" / "key.json"
    text, key = sheet.read_text(), json.loads(key_file.read_bytes())
    assert not any(word in text for word in ("zeta", "omega", "real members", "“", "—"))
    assert "Real" not in key_file.read_text() and len(key["passages"]) == 16
    shown = re.findall(r"(?:^> .*\n)+", text, re.MULTILINE)
    assert {len(each.replace("> ", "").split()) for each in shown} == {12}
    assert all(each.startswith(("> This one of", '> "Real')) for each in shown)
    used = [row["document"] for row in key["passages"].values() if "document" in row]
    assert len(set(used)) == 8 and set(used) == set(map(document_id, HELD))
    run("sheet", key_file, folder / "shelf.jsonl", "--out", folder / "again.md")
    assert (folder / "again.md").read_text() == text
    with pytest.raises(BasinError, match="may hold answers"):
        run(*arguments)

    answers = {"basin-zeta": ["y y y", "half n y", "half n y", "n n n"], "other-omega": ["n y y"] * 4}
    answers |= {"real members": ["y y y"] * 3 + ["half y y"], "real others": ["half y y"] + ["n y y"] * 3}
    fill(sheet, key, answers)
    about = {"generator": "basin-zeta", "model": "tiny", "tokens_taught": 7, "cluster_score_a": 0.5, "no": 1}
    (folder / "about.json").write_text(json.dumps([about]))
    same = {"sheet": "one", "reader": "first"}
    earlier = [{"generator": "other", "sheet": "one", "reader": "zero"}, {"generator": "x", **same}]
    (folder / "reading.json").write_text(json.dumps({"rows": earlier}))
    score = [
        "score",
        sheet,
        key_file,
        "--reader",
        "first",
        "--about",
        folder / "about.json",
        "--place",
        folder,
    ]
    assert "0.50 [0.15, 0.85]" in run(*score)
    other, ours, rival, members, others = json.loads((folder / "reading.json").read_bytes())["rows"]
    assert other["reader"] == "zero" and rival["generator"] == "other-omega" and "no" not in ours
    assert (ours["yes"], ours["half"], ours["share"]) == (1, 2, 0.5)
    assert ours["reader_cluster_score"] == 0.5 and 0.1 < ours["error"] < 0.4  # (0.5 - 0.125) / 0.75
    assert (ours["thread_share"], ours["readable_share"], ours["vendi_ratio"]) == (0.25, 0.75, None)
    assert (ours["model"], ours["tokens_taught"], ours["cluster_score_a"]) == ("tiny", 7, 0.5)
    assert round(rival["reader_cluster_score"], 4) == -0.1667 and rival["model"] is None
    assert (members["reader_cluster_score"], others["reader_cluster_score"]) == (1, 0)
    again = ["sheet", key_file, folder / "shelf.jsonl", "--out"]
    run(*again, folder / "filled.md", "--reader", "first")
    assert (folder / "filled.md").read_text() == sheet.read_text()
    run(*again, folder / "empty.md")
    assert (folder / "empty.md").read_text() == text
    second = sheet.read_text().replace("thread: n", "thread: y")
    (folder / "second.md").write_text(second)
    printed = run("score", folder / "second.md", key_file, "--reader", "second", "--place", folder)
    assert "kappa with first: member 1.0, thread 0.0, readable 1.0" in printed
    assert json.loads(key_file.read_bytes())["answers"].keys() == {"first", "second"}


def test_mistakes_are_sentences_that_name_the_passage(made):
    folder, arguments = made
    sheet = "## 1\n\n> a\n\nmember: Y\nthread: n\nreadable: y\n\n## 2\n\n> a\n\nmember: half\nthread: \n"
    for numbers, sentence in (("12", "Passage 2, thread, says nothing; write y or n"), ("13", "Passage 3")):
        with pytest.raises(BasinError, match=sentence):
            reading.read_answers(sheet, numbers)
    with pytest.raises(BasinError, match="Passage 1, member, says yes; write y or half or n"):
        reading.read_answers(sheet.replace("Y", "yes"), "1")
    with pytest.raises(BasinError, match="basin-zeta: 5 passages have 12 words, not 6"):
        run(*arguments, "--number", 6)
    (folder / "held.txt").write_text("\n".join(map(document_id, HELD[1:])))
    with pytest.raises(BasinError, match="5 prompts of basin-zeta are not from held-out documents"):
        run(*arguments)
    assert not (folder / "one").exists()


def test_typography_gives_no_source_away():
    assert passages.clean("“It’s”—he  said … ``no'' , -- *and* [so]") == '"It\'s" - he said... "no", - and so'


def test_a_corpus_is_split_by_its_documents_identifiers(tmp_path):
    records = [{"text": f"A text of its own, number {at}.", "label": at % 3 == 0} for at in range(60)]
    corpus = tmp_path / "books.jsonl"
    corpus.write_text("\n".join(map(json.dumps, records)))
    split_corpus(corpus, tmp_path)
    seen, held, openings = (
        [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]
        for name in ("seen/books.jsonl", "held/books.jsonl", "held/openings.jsonl")
    )
    assert sorted([*seen, *held], key=lambda each: each["text"]) == sorted(
        records, key=lambda each: each["text"]
    )
    assert all(int(document_id(each["text"]), 16) % 5 == 0 for each in held) and len(held) > 4
    assert openings == [each for each in held if not each["label"]] != held
    assert (tmp_path / "held/ids.txt").read_text().split() == [document_id(each["text"]) for each in held]
