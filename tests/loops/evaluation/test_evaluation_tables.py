"""The printed table has a row a generator in their order, and says how good the judges are."""

from __future__ import annotations

import io

from rich.console import Console

from loops.evaluation.tables import GENERATED, show_generation


def row(generator, concept="detective", **changes):
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


def test_generators_are_shown_in_their_order_with_the_column_that_counts_first():
    text = printed(
        [row("topic-lora", inside_and_readable=0.25), row("basin-lora", inside_and_readable=0.375)]
    )
    assert text.index("topic-lora") < text.index("basin-lora")
    head = next(line for line in text.splitlines() if "brown: detective" in line)
    assert head.index("inside and readable") < head.index("score A")
    (ours,) = [line for line in text.splitlines() if "basin-lora" in line]
    assert ours.split()[:2] == ["basin-lora", "0.38"] and ours.split()[-1] == "48"
    assert "130 words" in text and "AUC A 0.91, B 0.82, C 0.73" in text
    assert "Real members pass as inside 80%, others 5%" in text


def test_every_concept_has_a_table_of_its_own():
    text = printed([row("base"), row("base", concept="romance"), row("basin-lora", concept="romance")])
    first, second = text.split("brown: romance")
    assert "brown: detective" in first and first.count("Judges on") == 1
    assert second.count("base") == 1 and "basin-lora" in second


def test_what_was_not_measured_is_a_dash():
    text = printed([row("base", vendi_ratio=None, inside_of_real_members=None)])
    (line,) = [each for each in text.splitlines() if each.strip().startswith("base")]
    assert line.split().count("-") == 1 and "pass as inside -, others 5%" in text


def test_names_are_shown_as_they_are_and_nothing_is_said_to_be_nothing():
    assert "[sea]" in printed([row("base", concept="[sea]")])
    assert "Nothing was written" in printed([])
