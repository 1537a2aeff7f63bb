"""The membership benchmark keeps what was evaluated."""

import json
from unittest.mock import Mock

import pytest

from agent.errors import BasinError
from benchmarks import membership, results

ROWS = [{"method": "basin", "corpus": "brown", "concept": "sea", "seed": 0, "ap_single": 0.5}]


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """What the evaluation was asked for; results go to a folder of the test's own."""
    found = []

    def evaluate(corpora, methods, seeds, folder, only):
        found.append((methods, list(seeds), folder.name, only))
        return [] if "empty" in only else ROWS

    monkeypatch.setattr(membership, "evaluate_membership", evaluate)
    monkeypatch.setattr(
        membership, "write_results", lambda *given: results.write_results(*given, folder=tmp_path)
    )
    return found


def test_rows_are_written_with_the_command(asked, tmp_path):
    membership.main(["--corpus", "brown", "--method", "basin", "--seeds", "2"])
    assert asked == [(["basin"], [0, 1], "membership", ["brown"])]
    content = json.loads((tmp_path / "membership.json").read_text())
    assert content["rows"] == ROWS
    assert content["header"]["command"].startswith("python -m benchmarks.membership --corpus brown")


def test_mistakes_and_empty_evaluations_keep_nothing(asked, tmp_path, monkeypatch):
    for arguments, sentence in (
        (["--corpus", "empty"], "nothing to keep"),
        (["--suite", str(tmp_path / "none.yaml")], "There is no suite"),
        (["--seeds", "0"], None),
    ):
        with pytest.raises(SystemExit, match=sentence):
            membership.main(arguments)
    refuse = Mock(side_effect=BasinError("There is no corpus 'x'."))
    monkeypatch.setattr(membership, "evaluate_membership", refuse)
    with pytest.raises(SystemExit, match="no corpus 'x'"):
        membership.main([])
    assert not (tmp_path / "membership.json").exists()
