"""Every architecture is tried, and docs/models.md and the results file hold what works."""

import json
from collections import Counter

import pytest

from benchmarks import models
from benchmarks.models import COLUMNS, FAMILIES, PAGE, with_matrix
from benchmarks.results import RESULTS

KEPT = {row["architecture"]: row for row in json.loads((RESULTS / "models.json").read_text())["rows"]}


@pytest.mark.parametrize("name", FAMILIES)
def test_an_architecture_equals_its_stored_row(name):
    assert models.family(name) == KEPT[name]


def test_the_documented_matrix_is_that_of_the_results():
    page = PAGE.read_text(encoding="utf-8")
    assert list(KEPT) == list(FAMILIES)
    assert with_matrix(page, list(KEPT.values())) == page


def test_most_do_everything_and_no_row_that_fails_keeps_silent():
    counts = Counter(row["recorded"] and row["steered"] and row["generated"] for row in KEPT.values())
    assert counts[True] > 40
    assert all(row["note"] for row in KEPT.values() if not all(row[column] for column in COLUMNS[:4]))
