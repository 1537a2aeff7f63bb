"""A run's configuration: read, overridden, validated, compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.errors import BasinError
from loops.config import RunConfig, changed_keys, load_config, parse_config


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "planted.yaml"
    path.write_text("corpus: {source: texts}\ntopics:\n  count: 12\n  words: [ship, sail]\n")
    return path


def test_a_file_with_overrides_is_read(file: Path) -> None:
    config = load_config(
        file, ["rounds=3", "topics.topic=4", "topics.seed_words=[a, b]", "passages.words=90"]
    )
    assert (config.rounds, config.topics.count, config.topics.topic, config.passages.words) == (3, 12, 4, 90)
    assert config.topics.words == ("ship", "sail") and config.topics.seed_words == ("a", "b")
    assert load_config(file).rounds == RunConfig.model_fields["rounds"].default


def test_a_relative_corpus_is_beside_the_config_file(file: Path, tmp_path: Path) -> None:
    assert load_config(file).corpus.source == "texts"
    (tmp_path / "texts").mkdir()
    assert load_config(file).corpus.source == str((tmp_path / "texts").resolve())


def test_what_was_resolved_reads_back_the_same(file: Path) -> None:
    config = load_config(file, ["seed=7"])
    assert parse_config(config.model_dump(mode="json"), "stored") == config


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("sede=1", "seed"),
        ("topics.cuont=3", "topics.count"),
        ("language_model.layer=[3]", "language_model.layers"),
        ("rounds=none", "rounds"),
        ("rounds=0", "rounds"),
        ("topics.count=[1]", "topics.count"),
        ("rounds", "rounds"),
        ("rounds.of=3", "rounds"),
        ("corpus=3", "corpus"),
        ("topics.words={", "topics.words"),
    ],
)
def test_a_wrong_setting_is_named(file: Path, override: str, named: str) -> None:
    with pytest.raises(BasinError) as raised:
        load_config(file, [override])
    assert named in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "content", [b"", b"- a\n- b\n", b"a: [", b"\xff\xfe\x00", b"rounds: 3\n", b"just text"]
)
def test_a_file_that_is_no_configuration_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "odd.yaml"
    path.write_bytes(content)
    with pytest.raises(BasinError, match="odd.yaml"):
        load_config(path)
    with pytest.raises(BasinError, match="none.yaml"):
        load_config(tmp_path / "none.yaml")


def test_changed_keys_are_named_in_full(file: Path) -> None:
    config = load_config(file)
    assert changed_keys(config, config) == []
    other = load_config(file, ["topics.count=13", "seed=9"])
    assert sorted(changed_keys(config, other)) == ["seed", "topics.count"]
    with pytest.raises(ValueError):
        config.seed = 3  # frozen


def test_named_experiments_are_valid() -> None:
    others = {"gold.yaml", "generation.yaml", "suite.yaml", "suite_second.yaml", "suite_gold.yaml"}
    # Labels, and what is evaluated: no run reads them.
    for path in (Path(__file__).parents[2] / "configs" / "runs").glob("*.yaml"):
        if path.name not in others:
            assert load_config(path).corpus.source
