"""Rows of an evaluation become the few numbers that are looked at first."""

from __future__ import annotations

import io

import pytest
import typer.testing
from planted_suite import planted_corpus
from rich.console import Console

from loops.cli.main import app
from loops.evaluation.membership import suite
from loops.evaluation.membership.summary import aims, concept_rows, method_rows
from loops.evaluation.tables import show_evaluation


def row(method, seed, single, **more):
    return {
        "corpus": "brown",
        "concept": "sea",
        "seed": seed,
        "method": method,
        "ap_single": single,
        "ap_pooled": single,
    } | more


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


def test_the_aims_are_measured_by_hand():
    rows = [dict(each) for each in ROWS]
    for each in rows:
        if each["method"] == "basin":
            each |= {"best_gap": 0.005 if each["seed"] else 0.2, "moved": 0.001}
            each |= {"threw_out": 4, "threw_out_right": 3, "took_in": 0, "took_in_right": 0}
        each.setdefault("pgr_single", 0.1 if each["method"] == "prototype" else None)
    found = {each["of all pointers"]: each["measured"] for each in aims(rows)}
    assert found["median PGR, passage alone"] == pytest.approx(0.3)
    assert found["the best rival's, passage alone"] == pytest.approx(0.1)
    assert found["pointers that lose more than 0.02 AP, passage alone"] == 0.5
    assert found["median of AP with document less the ceiling's"] == pytest.approx(-0.35)
    assert found["last round's AP within 0.01 of the best round's"] == 0.5
    assert found["twenty more rounds move the membership by less than 0.02"] == 1
    assert (
        found["true pointers called no concept"] == 0.5 and found["shuffled pointers called no concept"] == 1
    )
    assert "function-word pointers called no concept" not in found


def test_a_method_is_summed_up_over_all_rows():
    found = {each["method"]: each for each in method_rows(ROWS)}
    ours = found["basin"]
    assert ours["median_pgr_single"] == pytest.approx(0.3) and ours["median_pgr_pooled"] is None
    assert ours["worst_gain_single"] == pytest.approx(-0.1)
    assert (ours["sizes_found"], ours["flagged"]) == (0.5, 0.5)
    assert found["basin-shuffled"]["flagged"] == 1 and found["basin-shuffled"]["sizes_found"] is None


def test_a_concept_without_some_methods_has_gaps_and_no_error():
    (found,) = concept_rows([row("topic", 0, 0.2)], "single")
    assert found["basin"] is None and found["rival"] is None
    show_evaluation([row("topic", 0, 0.2)], Console(file=io.StringIO()))


def test_the_table_names_what_it_shows():
    console = Console(file=io.StringIO(), width=160)
    show_evaluation(ROWS, console)
    printed = console.file.getvalue()
    line = next(line for line in printed.splitlines() if line.startswith("brown: sea"))
    assert line.split() == ["brown:", "sea", "0.300", "0.450", "0.400", "0.800", "0.300", "prototype"]
    assert "true one: 50%" in printed and "shuffled pointers: 100%" in printed
    show_evaluation([], console)
    assert "Nothing was measured" in console.file.getvalue()


def test_the_command_hands_on_what_was_asked_for(tmp_path, monkeypatch):
    asked = []

    def evaluate(corpora, methods, seeds, done, only):
        asked.append(([each.name for each in corpora], list(methods), list(seeds), done, list(only)))
        return ROWS

    monkeypatch.setenv("BASIN_CHECKPOINTS", str(tmp_path))
    monkeypatch.setattr("loops.evaluation.membership.evaluate.evaluate_membership", evaluate)
    monkeypatch.setattr(suite, "load_suite", lambda path: [planted_corpus(tmp_path)])
    words = ["evaluate", "membership", "--corpus", "a", "--corpus", "b", "--method", "basin", "--seeds", "2"]
    result = typer.testing.CliRunner().invoke(app, words)
    assert result.exit_code == 0 and "brown: sea" in result.output
    assert asked == [(["stories"], ["basin"], [0, 1], tmp_path / "membership.jsonl", ["a", "b"])]


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
