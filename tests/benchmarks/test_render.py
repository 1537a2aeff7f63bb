"""Results files and the page rendered from them."""

import json
import platform

import numpy as np
import pytest

from benchmarks import render, results
from loops.checkpoint.provenance import PROJECT

SHARED = {"method": "basin", "corpus": "brown"}
ROWS = [
    {**SHARED, "round": 0, "ap_concept": 0.123456, "seconds": 1234.5, "pgr_single": None},
    {**SHARED, "round": 1, "ap_concept": 0.5, "seconds": 12.34, "pgr_single": 1.25},
]


def test_a_table_shows_rows_in_order_rounded_to_three_digits(tmp_path):
    results.write_results("fuzz", ROWS, ["python", "-m", "benchmarks.fuzz"], tmp_path)
    lines = render.render(tmp_path).splitlines()
    start = lines.index("| method | corpus | round | ap concept | seconds | pgr single |")
    assert lines[start + 1 : start + 4] == [
        "| --- | --- | ---: | ---: | ---: | ---: |",
        "| basin | brown | 0 | 0.123 | 1,234 | – |",
        "| basin | brown | 1 | 0.500 | 12.3 | 1.250 |",
    ]


def test_the_header_says_how_but_not_where(tmp_path):
    paths = "--folder=/home/somebody/books.jsonl", str(PROJECT / "configs/a.yaml")
    path = results.write_results("run", ROWS, ["python", "-m", "benchmarks.run", *paths], tmp_path)
    content = path.read_text()
    header = json.loads(content)["header"]
    assert header["command"] == "python -m benchmarks.run --folder=books.jsonl configs/a.yaml"
    assert header["versions"]["numpy"] == np.__version__ and "cores" in header["machine"]
    assert not any(private in content for private in (platform.node(), "somebody", str(PROJECT)))


def test_numbers_are_stored_with_seven_digits_and_not_finite_ones_as_none(tmp_path):
    row = {"method": "basin", "ap": float("nan"), "size": 1 / 3}
    path = results.write_results("run", [row], ["a"], tmp_path)
    assert json.loads(path.read_text())["rows"] == [row | {"ap": None, "size": 0.3333333}]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no rows"),
        ([{"method": "basin", "drifts": [1, 2]}], "drifts"),
        ([{"corpus": "brown", "ap": 0.5}], "method, generator, tool"),
    ],
)
def test_rows_that_no_table_can_show_are_refused(rows, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        results.write_results("run", rows, ["a"], tmp_path)
    assert not list(tmp_path.iterdir())
