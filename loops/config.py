"""Configurations of runs, basin maps and chains, read from YAML.

`RunConfig` holds exactly what a run reads. The other configurations contain one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError, model_validator

from agent.basin.certificate import CertificateConfig
from agent.basin.starts import StartsConfig
from agent.basin.tracking import TrackingConfig
from agent.clustering.config import ClusteringConfig
from agent.config import StageConfig, absolute_paths, explain, find_config, path_setting
from agent.corpora.load import CorpusConfig
from agent.corpora.passages import PassagesConfig
from agent.corpora.words import ENGLISH
from agent.errors import BasinError, quoted, shortened
from agent.files.yaml_file import UnreadableYamlError, parse_yaml, read_yaml
from agent.language_model.coherence import CoherenceConfig
from agent.language_model.decoding.config import GenerationConfig
from agent.language_model.load import LanguageModelConfig
from agent.pointer.given import PointerConfig
from agent.pointer.topic_model import TopicsConfig
from agent.transfer.handover import By, HandoverConfig
from agent.transfer.learn import StitchingConfig
from agent.updating import UpdatingConfig

Config = TypeVar("Config", bound=StageConfig)


class LoggingConfig(StageConfig):
    """Loggers. They change no round, so a run may resume with others."""

    to: tuple[Literal["tensorboard", "trackio", "wandb"], ...] = ("tensorboard",)
    """TensorBoard files go to the run's folder. trackio and wandb are separate packages."""
    project: str = Field("basin", min_length=1)
    """Project name in trackio and wandb."""
    online: bool = False
    """Let wandb send to its server and trackio to `space`; otherwise everything stays local."""
    space: str | None = None
    """Space on the Hugging Face hub that trackio sends to."""

    @model_validator(mode="after")
    def _check_space(self) -> LoggingConfig:
        if self.space and not self.online:
            raise ValueError("space needs online: true, since it sends what is logged over the network")
        if self.space and "trackio" not in self.to:
            raise ValueError("space is trackio's, which is not in `to`")
        return self


class ReportConfig(StageConfig):
    """The run's HTML page. It changes no round."""

    refresh: bool = True
    """Rewrite report.html after every round."""


class RunConfig(StageConfig):
    """Everything a run depends on besides the code and the texts."""

    corpus: CorpusConfig
    passages: PassagesConfig = PassagesConfig()
    topics: TopicsConfig = TopicsConfig()
    pointer: PointerConfig = PointerConfig()
    """A pointer that replaces a topic fitted here."""
    language_model: LanguageModelConfig = LanguageModelConfig()
    generation: GenerationConfig = GenerationConfig()
    clustering: ClusteringConfig = ClusteringConfig()
    updating: UpdatingConfig = UpdatingConfig()
    coherence: CoherenceConfig = CoherenceConfig()
    tracking: TrackingConfig = TrackingConfig()
    certificate: CertificateConfig = CertificateConfig()
    report: ReportConfig = ReportConfig()
    logging: LoggingConfig = LoggingConfig()
    rounds: int = Field(8, ge=1)
    """Maximum number of rounds; the run stops earlier when the concept no longer moves."""
    seed: int = 0
    workers: int = Field(1, ge=1)
    """Processes that record and generate passages."""
    ray: str | None = None
    """Ray cluster that runs the workers: `local`, `auto` or `host:port`."""

    @property
    def seeded(self) -> bool:
        """Whether a few words make the pointer; its size is then the share of documents with them."""
        return bool(self.topics.seed_words or self.pointer.keywords)

    @property
    def pointing_words(self) -> tuple[str, ...]:
        """Given words whose similarity is added to the topic; the embedder reads English."""
        given = self.topics.words or self.topics.seed_words or self.pointer.keywords
        return given if self.clustering.words and self.topics.language == ENGLISH else ()

    @model_validator(mode="after")
    def _check_one_pointer(self) -> RunConfig:
        picked = [
            name for name in ("topic", "words", "seed_words") if getattr(self.topics, name) not in (None, ())
        ]
        if self.pointer.way == "topic_model" and "seed_words" in picked:
            raise ValueError(
                "topics.seed_words are for a model that is fitted, and pointer.topic_model is; use topics.words"
            )
        if self.pointer.way not in (None, "topic_model") and picked:
            raise ValueError(
                f"pointer.{self.pointer.way} and topics.{picked[0]} both point; keep one of them"
            )
        if self.pointer.way is not None and self.topics.fit_on == "all":
            raise ValueError(f"with pointer.{self.pointer.way} no topic is fitted; leave topics.fit_on out")
        return self


class MapConfig(StageConfig):
    """A basin map: many starting pointers of one run configuration, followed to their fixed points."""

    run: RunConfig
    starts: StartsConfig = StartsConfig()
    rounds: int = Field(15, ge=1)
    """Rounds for each start; from `run.clustering.falling` on, the pointer has no weight."""
    held: bool = True
    """Also follow each start with trust held at 1, for comparison."""


class LinkConfig(StageConfig):
    """One successor in a chain."""

    language_model: LanguageModelConfig | None = None
    """None: an improved copy of the predecessor's model."""
    improved: Literal["more_text"] | None = None
    """How that copy is made: by training on more general text."""
    by: By = "both"
    planted: Literal["shuffled_vector"] | None = None
    """Corrupt the hand-over on purpose, to test that it is refused."""
    rounds: int | None = Field(None, ge=1)
    """Maximum number of rounds; by default as many as the first run."""

    @model_validator(mode="after")
    def _check_model(self) -> LinkConfig:
        if (self.language_model is None) == (self.improved is None):
            raise ValueError("a link needs either a language_model or improved: more_text")
        return self


class ChainConfig(StageConfig):
    """A chain of models, each of which receives the concept and refines it."""

    run: RunConfig
    links: tuple[LinkConfig, ...] = ()
    handover: HandoverConfig = HandoverConfig()
    certificate: bool = True
    """Refuse a successor whose last concept is not certified."""
    study: int = Field(480, ge=8)
    """Passages of general text that `more_text` trains on."""
    stitching: StitchingConfig = StitchingConfig()


def load_config(path: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a run's YAML file and apply `key.sub=value` overrides, whose values are YAML too.

    Relative paths in the file start at its folder, then at the working directory; those in `overrides` start at the
    working directory. Of a file that contains a run, such as a map's, the run is taken.

    Raises:
        BasinError: no such file, not YAML, an unknown key (with the nearest known one), or a wrong value.
    """
    wrapped, folder = _wrapped_tree(path)
    tree = wrapped["run"]
    for override in overrides:
        _apply(tree, override)
    return absolute_paths(parse_config(tree, str(path)), folder)


def load_wrapped(kind: type[Config], path: Path, overrides: Sequence[str] = ()) -> Config:
    """Read a configuration that contains a run's, such as a `MapConfig`.

    `run` is a mapping, or the file or name of a run's configuration. A file without `run` is itself a run's configuration.
    An override that names none of the wrapper's own settings applies to the run.

    Raises:
        BasinError: as `load_config`.
    """
    tree, folder = _wrapped_tree(path)
    for override in overrides:
        own = override.partition("=")[0].strip().partition(".")[0] in kind.model_fields
        _apply(tree, override if own else f"run.{override}")
    config = _validated(kind, tree, str(path))
    config = config.model_copy(update={"run": absolute_paths(config.run, folder)})  # type: ignore[attr-defined]
    return absolute_paths(config, path.parent)


def _wrapped_tree(path: Path) -> tuple[dict[str, Any], Path]:
    """Settings with those of a run under `run`, and the folder that the run's relative paths start at."""
    tree, folder = _read_tree(path), path.parent
    if "run" not in tree:
        return {"run": tree}, folder
    if isinstance(tree["run"], str):
        file = find_config(folder / tree["run"] if (folder / tree["run"]).is_file() else tree["run"])
        return {**tree, "run": _read_tree(file)}, file.parent
    if not isinstance(tree["run"], dict):
        raise BasinError(f"{path}: run is neither a run's settings nor the name of its config file.")
    return tree, folder


def stitching_config(overrides: Sequence[str] = ()) -> StitchingConfig:
    """Settings of the maps to another model; raises `BasinError` as `load_config`."""
    tree: dict[str, Any] = {}
    for override in overrides:
        _apply(tree, override)
    return _validated(StitchingConfig, tree, "--set")


def with_overrides(config: RunConfig, overrides: Sequence[str]) -> RunConfig:
    """A configuration with some settings changed; raises `BasinError` as `load_config`."""
    tree = config.model_dump(mode="json")
    for override in overrides:
        _apply(tree, override)
    return absolute_paths(parse_config(tree, "--set"), Path())


def parse_config(tree: dict[str, Any], origin: str) -> RunConfig:
    """Validate a tree of a run's settings; the error message names `origin`."""
    return _validated(RunConfig, tree, origin)


def changes_no_round(key: str) -> bool:
    """Whether a run may resume with another value of this setting."""
    return key in ("rounds", "workers", "ray") or key.startswith(("report.", "logging."))


def changed_keys(first: RunConfig, second: RunConfig) -> list[str]:
    """Dotted names of the settings in which two configurations differ."""
    return _differences(first.model_dump(mode="json"), second.model_dump(mode="json"), "")


def _read_tree(path: Path) -> dict[str, Any]:
    try:
        tree = read_yaml(path, "see configs/ for examples")
    except FileNotFoundError:
        raise BasinError(
            f"There is no config file {path}; `basin run brown` takes one that comes with Basin."
        ) from None
    if not isinstance(tree, dict):
        raise BasinError(f"{path} holds no settings; see configs/ for examples.")
    return tree


def _validated(kind: type[Config], tree: dict[str, Any], origin: str) -> Config:
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        raise BasinError(f"{origin}: {explain(error, kind)}") from None


def with_absolute_path(override: str) -> str:
    """A `key=value` override; a path in it that exists is made absolute."""
    key, equals, value = override.partition("=")
    setting = path_setting(RunConfig, key)
    if setting is None or not os.path.exists(os.path.expanduser(value)):
        return override
    return f"{key}={json.dumps(setting.resolve(value, Path()))}"


def _apply(tree: dict[str, Any], override: str) -> None:
    key, equals, value = with_absolute_path(override).partition("=")
    shown = shortened(override, 100)
    if not equals:
        raise BasinError(f"--set takes key=value, and {shown!r} has no '='; write for example rounds=6.")
    *parents, leaf = key.strip().split(".")
    for parent in parents:
        child = tree.setdefault(parent, {})
        if not isinstance(child, dict):
            raise BasinError(f"--set {shown}: {parent} is a value and has no key {leaf}.")
        tree = child
    try:
        tree[leaf] = parse_yaml(value)
    except UnreadableYamlError as error:
        raise BasinError(
            f"--set {shown}: {quoted(value)} is not a YAML value ({error}); correct or quote it."
        ) from None


def _differences(first: Any, second: Any, prefix: str) -> list[str]:
    if isinstance(first, dict) and isinstance(second, dict):
        keys = sorted(first.keys() | second.keys())
        return [
            name
            for key in keys
            for name in _differences(first.get(key), second.get(key), f"{prefix}.{key}".lstrip("."))
        ]
    return [] if first == second else [prefix]
