"""What was evaluated becomes results, a page to read and a picture, and what was set aside does not."""

from __future__ import annotations

import json

import matplotlib.image
import pytest

from agent.errors import BasinError
from benchmarks import generation, generation_samples, render, results
from benchmarks.generation_rounds import rounds_rows
from loops.checkpoint.store import RunStore
from loops.records import Generated

GENERATORS = ("base", "topic-lora", "basin-lora", "gold-lora")


def task_rows(concept="sea", share=0.25):
    return [
        {"corpus": "the stories", "concept": concept, "generator": name, "samples": 24}
        | {f"cluster_score_{which}": 0.1 * at for which in "abc"}
        | {"inside_and_readable": share + 0.125 * at, "kl_per_token": 0.1 * at, "vendi_ratio": None}
        | {"auc_a": 0.9, "auc_b": 0.8, "auc_c": 0.7, "words_judged": 120}
        | {"inside_of_real_members": 0.75, "inside_of_real_others": 0.125, "seconds": 30.0}
        for at, name in enumerate(GENERATORS)
    ]


def write_task(folder, rows=None):
    rows = rows or task_rows()
    (folder / "judged").mkdir(parents=True)
    (folder / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    for row in rows:
        samples = [
            {"prompt": f"Opening {at}", "text": f" {row['generator']} wrote {at}.", "seed": at}
            | {"cluster_score_a": 0.5, "cluster_score_b": None, "coherent": at % 2 == 0, "inside": True}
            for at in range(24)
        ]
        (folder / "judged" / f"{row['generator']}.json").write_text(json.dumps(samples), encoding="utf-8")
    return folder


@pytest.fixture
def place(monkeypatch, tmp_path):
    """Everything goes to a folder of the test's own."""
    folder = tmp_path / "benchmarks"
    monkeypatch.setattr(generation, "PLACE", folder)
    monkeypatch.setattr(
        generation, "write_results", lambda *given: results.write_results(*given, folder=folder / "results")
    )
    monkeypatch.setenv("BASIN_CHECKPOINTS", str(tmp_path / "checkpoints"))
    return folder


def test_rows_pages_and_pictures_of_all_tasks(place, tmp_path):
    home = tmp_path / "checkpoints" / "generation"
    write_task(home / "the_stories_sea")
    write_task(home / "the_stories_garden", task_rows("garden"))
    generation.main([])
    content = json.loads((place / "results" / "generation.json").read_bytes())
    assert content["rows"] == task_rows("garden") + task_rows()
    assert content["header"]["command"] == "python -m benchmarks.generation"
    for concept in ("sea", "garden"):
        assert (place / "samples" / f"the_stories_{concept}.md").exists()
        picture = matplotlib.image.imread(place / f"frontier_the_stories_{concept}.png")
        assert picture[..., :3].std() > 0.02


def test_a_tasks_own_folder_may_be_named_and_what_was_set_aside_is_left_out(place, tmp_path, capsys):
    one = write_task(tmp_path / "one" / "the_stories_sea")
    write_task(tmp_path / "two" / "the_stories_garden", task_rows("garden"))
    write_task(tmp_path / "two" / "the_stories_garden-1", task_rows("garden", share=0.0))
    generation.main([str(one), str(tmp_path / "two")])
    content = json.loads((place / "results" / "generation.json").read_bytes())
    assert content["rows"] == task_rows() + task_rows("garden")
    assert content["header"]["command"].endswith("benchmarks.generation the_stories_sea two")
    assert "the_stories_garden-1 was set aside" in capsys.readouterr().err


def test_mistakes_are_told_in_a_sentence_and_keep_nothing(place, tmp_path):
    with pytest.raises(SystemExit, match="no finished task in .*basin evaluate generation"):
        generation.main([])
    write_task(tmp_path / "one" / "the_stories_sea")
    other = write_task(tmp_path / "two" / "the_stories_sea")
    with pytest.raises(SystemExit, match="the stories: sea is both in"):
        generation.main([str(tmp_path / "one"), str(tmp_path / "two")])
    (other / "judged" / "basin-lora.json").unlink()
    with pytest.raises(SystemExit, match="basin-lora.json is missing or damaged"):
        generation.main([str(tmp_path / "two")])
    (other / "rows.json").write_text("[{")
    with pytest.raises(SystemExit, match="rows.json is missing or damaged"):
        generation.main([str(tmp_path / "two")])
    with pytest.raises(SystemExit, match="no run 'nowhere'"):
        generation.main(["--rounds", "nowhere"])
    assert not (place / "results").exists()


def test_a_generator_can_have_a_page_of_all_its_passages(place, tmp_path):
    write_task(tmp_path / "the_stories_sea")
    generation.main(["--page-of", "basin-lora", str(tmp_path)])
    page = (place / "samples" / "the_stories_sea_basin-lora.md").read_text()
    assert "All passages" in page and "## basin-lora" in page and "## base" not in page
    assert [path.name for path in (place / "results").iterdir()] == ["generation_pages.json"]
    with pytest.raises(SystemExit, match="nobody.json is missing"):
        generation.main(["--page-of", "nobody", str(tmp_path)])


def test_the_first_twenty_are_shown_as_they_are_and_in_their_order():
    nasty = "# not a heading\n\n```\n| *x* | <b>\n````" + " long" * 60
    samples = [
        {"prompt": "Once" if at else "Write a short story.\n\n", "text": nasty if at == 1 else f" text {at}"}
        | {"cluster_score_a": 0.512 if at else None, "cluster_score_b": 1.25, "coherent": at != 2}
        for at in range(24)
    ]
    page = generation_samples.samples_page("stories: sea", {"base": samples, "basin-filter": samples[:3]})
    lines = page.splitlines()
    assert lines[0] == "# stories: sea"
    assert [line for line in lines if line.startswith("## ")] == ["## base", "## basin-filter"]
    first, second = page.split("## basin-filter")
    assert "20 of 24 passages." in first and "3 of 3 passages." in second
    assert [at for at in range(24) if f"\ntext {at}\n" in first] == [0, *range(2, 20)]
    assert first.index("\ntext 2\n") < first.index("\ntext 11\n")
    assert "**1.** A –, B 1.25, coherent: yes" in lines and "**3.** A 0.51, B 1.25, coherent: no" in lines
    # Nothing in a text ends its block, and a long line is broken, not cut.
    start = lines.index("`````text")
    block = lines[start + 1 : lines.index("`````", start)]
    assert block[:4] == ["# not a heading", "", "```", "| *x* | <b>"]
    assert " ".join(block).split() == nasty.split() and max(map(len, block)) <= generation_samples.WIDTH


class Round:
    """A record as `rounds_rows` reads it."""

    def __init__(self, number, metrics, adapter=None):
        texts = ["a b a b a b c", "a b a b a b d"] if number < 2 else ["a b c d e f g", "h i j k l m n o p"]
        kind = "steered" if number else "base"
        self.round, self.metrics, self.seconds = number, metrics, 10.0 * number
        self.concept = type("Concept", (), {"adapter": adapter})()
        self.generated = [
            *(Generated(kind, "Once", text, 0, 0.5, True, None) for text in texts),
            *(
                Generated("base", "Once", "not counted at all", 0, 0.5, True, None)
                for _ in range(bool(number))
            ),
        ]


class Runs:
    """A run of three rounds, of which the second trains an adapter."""

    name, config = "mine", type("Config", (), {"seed": 0})()
    trained = {"lesson_loss": 3.5, "pairs": 8, "preference": 0.75, "rms_nats": 0.25, "exponent": 1.0}
    records = [
        Round(0, {"base_coherence": 0.75}),
        Round(1, {"agreement": 0.5, "base_agreement": 0.25, "coherence": 0.5} | trained, adapter="one"),
        Round(2, {"agreement": 0.75, "base_agreement": 0.25, "coherence": 0.625, "pairs": 4}),
    ]

    def rounds(self):
        return [record.round for record in self.records]

    def load(self, number):
        return self.records[number]


def test_a_round_is_what_the_concept_before_it_wrote():
    base, steered, adapted = rounds_rows(Runs())
    assert [row["generator"] for row in (base, steered, adapted)] == ["base", "basin", "basin"]
    assert [row["by_adapter"] for row in (base, steered, adapted)] == [False, False, True]
    assert (base["agreement"], base["coherence"]) == (None, 0.75)
    assert (steered["agreement"], steered["base_agreement"], steered["coherence"]) == (0.5, 0.25, 0.5)
    assert {name: steered[name] for name in Runs.trained} == Runs.trained
    assert adapted["pairs"] == 4 and adapted["lesson_loss"] is None and adapted["seconds"] == 20.0
    # Seven words of each are compared, so the longer passage of the last round has no more bigrams than the others.
    assert {row["words_compared"] for row in (base, steered, adapted)} == {7}
    assert base["distinct2"] == steered["distinct2"] == pytest.approx(4 / 12)
    assert adapted["distinct2"] == 1.0


def test_rounds_go_into_results_of_their_own(place, monkeypatch):
    monkeypatch.setattr(generation, "find_run", lambda name: name)
    monkeypatch.setattr(RunStore, "open", lambda path: Runs())
    generation.main(["--rounds", "mine"])
    assert [file.name for file in (place / "results").iterdir()] == ["generation_rounds.json"]
    lines = render.render(place / "results").splitlines()
    at = lines.index("### mine")
    assert lines[at + 2].startswith("| round | by adapter | agreement |")
    assert lines[at + 5].startswith("| 1 | no | 0.500 | 0.250 | 0.500 | 0.333 | 3.500 | 8 |")


def test_the_summary_begins_with_what_counts_and_says_what_the_judges_are_worth(tmp_path):
    rows = task_rows() + task_rows("garden", share=0.5)
    results.write_results("generation", rows, ["a"], tmp_path)
    text = render.render(tmp_path)
    sea, garden = text.split("### the stories: garden")
    for part in (sea, garden):
        head, table = part.split("| generator | inside and readable | cluster score a |")
        assert "AUC is A 0.900, B 0.800, C 0.700" in head
        assert "real members pass as inside 0.750, others 0.125" in head
        shown = [line.split(" | ")[0].strip("| ") for line in table.splitlines() if line.startswith("| ")]
        assert shown[-4:] == list(GENERATORS)
    assert "| base | 0.250 | 0.000 |" in sea and "| base | 0.500 | 0.000 |" in garden
    assert "](frontier_the_stories_sea.png)" in sea and "](samples/the_stories_garden.md)" in garden


def test_damaged_rows_are_no_task(tmp_path):
    (tmp_path / "the_stories_sea").mkdir()
    (tmp_path / "the_stories_sea" / "rows.json").write_text("[]")
    with pytest.raises(BasinError, match="missing or damaged"):
        generation.find_tasks([tmp_path], lambda text: None)
