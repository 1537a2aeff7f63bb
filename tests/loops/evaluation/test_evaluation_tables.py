"""Rows of an evaluation become the few numbers that are looked at first."""

from __future__ import annotations

import io

import pytest
import typer.testing
from planted_suite import planted_corpus
from rich.console import Console

from loops.cli.main import app
from loops.evaluation.membership import suite
from loops.evaluation.tables import GENERATED, concept_rows, method_rows, show_evaluation, show_generation


def row(method, seed, single, **more):
    about = {"corpus": "brown", "concept": "sea", "seed": seed, "method": method}
    return about | {"ap_single": single, "ap_pooled": single} | more


ROWS = [
    row("topic", 0, 0.2),
    row("topic", 1, 0.4),
    row("topic-nnpu", 0, 0.3),
    row("topic-nnpu", 1, 0.3),
    row("prototype", 0, 0.2),
    row("prototype", 1, 0.6),
    row("basin", 0, 0.6, pgr_single=0.8, pgr_pooled=None, size_ratio=1.4, no_concept_flag=False),
    row("basin", 1, 0.3, pgr_single=-0.2, pgr_pooled=None, size_ratio=0.6, no_concept_flag=True),
    row("basin-shuffled", 0, 0.1, size_ratio=None, no_concept_flag=True),
    row("gold-classifier", 0, 0.7),
    row("gold-classifier", 1, 0.9),
]


def test_a_concept_is_a_mean_over_seeds_beside_its_best_rival():
    (found,) = concept_rows(ROWS, "single")
    numbers = [found[key] for key in ("topic", "basin", "rival", "ceiling", "pgr")]
    assert numbers == pytest.approx([0.3, 0.45, 0.4, 0.8, 0.3])
    assert found["best_rival"] == "prototype"
    assert concept_rows(ROWS, "pooled")[0]["pgr"] is None


def test_a_method_is_summed_up_over_all_rows():
    found = {each["method"]: each for each in method_rows(ROWS)}
    ours = found["basin"]
    assert ours["median_pgr_single"] == pytest.approx(0.3) and ours["median_pgr_pooled"] is None
    assert ours["lost_single"] == 0.5 and found["gold-classifier"]["lost_single"] == 0
    assert (ours["sizes_found"], ours["flagged"]) == (0.5, 0.5)
    assert found["basin-shuffled"]["flagged"] == 1 and found["basin-shuffled"]["sizes_found"] is None


def test_a_concept_without_some_methods_has_gaps_and_no_error():
    (found,) = concept_rows([row("topic", 0, 0.2)], "single")
    assert found["basin"] is None and found["rival"] is None
    show_evaluation([row("topic", 0, 0.2)], Console(file=io.StringIO()))


def test_the_command_passes_its_options_on(tmp_path, monkeypatch):
    asked = []

    def evaluate(corpora, methods, seeds, folder, only):
        asked.append(([each.name for each in corpora], list(methods), list(seeds), folder, list(only)))
        return ROWS

    monkeypatch.setenv("BASIN_CHECKPOINTS", str(tmp_path))
    monkeypatch.setattr("loops.evaluation.membership.evaluate.evaluate_membership", evaluate)
    monkeypatch.setattr(suite, "load_suite", lambda path: [planted_corpus(tmp_path)])
    words = ["evaluate", "membership", "--corpus", "a", "--corpus", "b", "--method", "basin", "--seeds", "2"]
    result = typer.testing.CliRunner().invoke(app, words)
    assert result.exit_code == 0 and "brown: sea" in result.output
    assert asked == [(["stories"], ["basin"], [0, 1], tmp_path / "membership", ["a", "b"])]


def test_mistakes_of_the_command_end_in_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("BASIN_CHECKPOINTS", str(tmp_path))
    for words, said in (
        (["--corpus", "bron"], "did you mean brown"),
        (["--method", "topik"], "did you mean topic"),
        (["--suite", str(tmp_path / "none.yaml")], "There is no suite"),
    ):
        result = typer.testing.CliRunner().invoke(app, ["evaluate", "membership", *words])
        assert result.exit_code == 1 and isinstance(result.exception, SystemExit)
        assert said in result.stderr and "Traceback" not in result.output
    assert list(tmp_path.iterdir()) == []


def generated(generator, concept="detective", **changes):
    return (
        {"corpus": "brown", "concept": concept, "generator": generator}
        | {column: 0.5 for column in GENERATED}
        | {"samples": 48, "words_judged": 130, "auc_a": 0.91, "auc_b": 0.82, "auc_c": 0.73}
        | {"inside_of_real_members": 0.8, "inside_of_real_others": 0.05}
        | changes
    )


def printed(rows) -> str:
    console = Console(file=io.StringIO(), width=220)
    show_generation(rows, console)
    return console.file.getvalue()


def test_every_concept_has_a_table_of_generators_and_says_how_good_the_judges_are():
    ours = generated("basin-adapter", inside_and_readable=0.375, vendi_ratio=None)
    text = printed([generated("base"), ours, generated("base", concept="[sea]")])
    first, second = text.split("brown: [sea]")
    assert first.index("base") < first.index("basin-adapter") and second.count("base") == 1
    (line,) = [line for line in first.splitlines() if "basin-adapter" in line]
    assert line.split()[:2] == ["basin-adapter", "0.38"] and line.split()[-1] == "48"
    assert line.split().count("-") == 1  # what was not measured is a dash
    assert "130 words" in first and "AUC A 0.91, B 0.82, C 0.73" in first
    assert "Real members pass as inside 80%, others 5%" in first
    assert "Nothing was written" in printed([])
