"""A run's configuration: read, overridden, validated, compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.errors import BasinError
from loops.config import (
    ChainConfig,
    MapConfig,
    RunConfig,
    changed_keys,
    load_config,
    load_wrapped,
    parse_config,
    with_overrides,
)


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


@pytest.mark.parametrize(
    ("override", "value"),
    [
        *(("topics.words=[no, 007]", ("no", "007")), ("seed=010", 10), ("seed=1:30", "number|integer")),
        *(("rounds=true", "rounds: give a number"), ("rounds=yes", "integer")),
        *(("topics.words=[1984]", "in quotes"), ("topics.words=ship", "such as .one, two.")),
        ("language_model.trust_remote_code=no", False),
    ],
)
def test_a_value_is_read_by_yaml_1_2_or_refused(file: Path, override: str, value: object) -> None:
    if isinstance(value, str):
        with pytest.raises(BasinError, match=value):
            load_config(file, [override])
        return
    found = load_config(file, [override]).model_dump()
    for part in override.partition("=")[0].split("."):
        found = found[part]
    assert found == value


def test_a_resolved_configuration_reads_back_the_same(file: Path) -> None:
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
    wrapped = {"basin_brown": MapConfig, "basin_library": MapConfig, "succession_library": ChainConfig}
    for path in (Path(__file__).parents[2] / "configs" / "runs").glob("*.yaml"):
        kind = wrapped.get(path.stem)
        assert (load_wrapped(kind, path).run if kind else load_config(path)).corpus.source


def test_a_configuration_may_contain_a_run_by_name_by_file_or_in_place(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("corpus: {source: texts}\nrounds: 3\n")
    (tmp_path / "texts").mkdir()
    written = {"run: run.yaml\nrounds: 9\n": 9, "run: {corpus: {source: texts}, rounds: 3}\n": 15}
    for content, rounds in written.items():
        (tmp_path / "map.yaml").write_text(content)
        found = load_wrapped(MapConfig, tmp_path / "map.yaml", ["topics.count=7", "starts.draws=2"])
        assert (found.rounds, found.run.rounds, found.run.topics.count) == (rounds, 3, 7)
        assert found.starts.draws == 2 and found.run.corpus.source == str(tmp_path / "texts")
    assert load_config(tmp_path / "map.yaml", ["topics.count=7"]) == found.run
    alone = load_wrapped(MapConfig, tmp_path / "run.yaml")
    assert (alone.rounds, alone.run.corpus.source) == (15, str(tmp_path / "texts"))
    (tmp_path / "map.yaml").write_text("run: {corpus: {source: texts}}\nstart: {}\n")
    with pytest.raises(BasinError, match="no setting start; the nearest known one is starts"):
        load_wrapped(MapConfig, tmp_path / "map.yaml")


def test_a_wrong_value_names_every_kind_that_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("corpus: {source: brown}\n")
    wanted = r"clustering\.trust: input should be 'earned', or .*less than or equal to 1 \(got 2\)"
    with pytest.raises(BasinError, match=wanted):
        load_config(tmp_path / "run.yaml", ["clustering.trust=2"])


def test_paths_in_a_file_start_at_the_file_and_those_of_overrides_at_the_folder_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside, here = tmp_path / "conf", tmp_path / "here"
    for name in ("conf/model", "conf/texts", "here/texts", "here/brown", "here/smollm2-135m"):
        (tmp_path / name).mkdir(parents=True)
    (beside / "seeds.txt").write_text("a text")
    (beside / "run.yaml").write_text(
        "corpus: {source: texts}\nlanguage_model: {name: ./model}\ncoherence: {model: model}\n"
        "pointer: {examples_file: seeds.txt}\nupdating: {start_vector: missing.gguf}\n"
    )
    monkeypatch.chdir(here)
    config = load_config(beside / "run.yaml")
    found = (config.corpus.source, config.language_model.name, config.coherence.model)
    assert found == (str(beside / "texts"), str(beside / "model"), str(beside / "model"))
    assert config.pointer.examples_file == str(beside / "seeds.txt")
    assert config.updating.start_vector == str(beside / "missing.gguf")
    assert load_config(beside / "run.yaml", ["corpus.source=texts"]).corpus.source == str(here / "texts")
    for override in ("corpus.source=brown", "corpus.source=hf:some/data", "language_model.name=smollm2-135m"):
        key, _, name = override.partition("=")
        section, field = key.split(".")
        found = with_overrides(config, [override])
        assert getattr(getattr(found, section), field) == name  # a name, whatever folders there are


def test_a_chain_and_settings_from_python_have_absolute_paths_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "chain.yaml").write_text(
        "run: {corpus: {source: texts}}\nlinks: [{language_model: {name: model}}]\n"
    )
    chain = load_wrapped(ChainConfig, tmp_path / "chain.yaml")
    assert chain.links[0].language_model.name == str(tmp_path / "model")
    assert chain.run.corpus.source == str(tmp_path / "texts")
    monkeypatch.chdir(tmp_path)
    given = with_overrides(parse_config({"corpus": {"source": "texts"}}, "settings"), [])
    assert given.corpus.source == str(tmp_path / "texts")
