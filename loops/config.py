"""A run's whole configuration: one frozen model per stage, read from YAML, unknown keys refused."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from agent.basin.certificate import CertificateConfig
from agent.basin.starts import StartsConfig
from agent.basin.tracking import TrackingConfig
from agent.clustering.config import ClusteringConfig
from agent.config import explain
from agent.corpora.load import CorpusConfig
from agent.corpora.passages import PassagesConfig
from agent.errors import BasinError, quoted, shortened
from agent.files.yaml_file import Unreadable, parse_yaml, read_yaml
from agent.language_model.coherence import CoherenceConfig
from agent.language_model.decoding.loop import GenerationConfig
from agent.language_model.model import LanguageModelConfig
from agent.pointer.given import PointerConfig
from agent.pointer.lda import TopicsConfig
from agent.transfer.handover import By, HandoverConfig
from agent.transfer.learn import StitchingConfig
from agent.types import StageConfig
from agent.updating import UpdatingConfig


class LoggingConfig(StageConfig):
    """Loggers. None of them changes a round, so a run may go on with others than it began with."""

    to: tuple[Literal["tensorboard", "trackio", "wandb"], ...] = ("tensorboard",)
    """TensorBoard's files lie in the run's own folder. The others are packages of their own (`pip install trackio`)."""
    project: str = Field("basin", min_length=1)
    """The project's name in trackio and wandb."""
    online: bool = False
    """Let wandb send to its server, and trackio to `space`; else everything stays on this machine."""
    space: str | None = None
    """A Space on the Hugging Face hub that trackio sends to."""

    @model_validator(mode="after")
    def _asked_for(self) -> LoggingConfig:
        if self.space and not self.online:
            raise ValueError("space needs online: true, since it sends what is logged over the network")
        if self.space and "trackio" not in self.to:
            raise ValueError("space is trackio's, which is not in `to`")
        return self


class ReportConfig(StageConfig):
    """The page that a run keeps beside its rounds. It changes nothing in the run."""

    refresh: bool = True
    """Write report.html anew after every round."""
    tokens: bool = True
    """Read some passages word by word when the run ends."""


class LinkConfig(StageConfig):
    """One successor."""

    language_model: LanguageModelConfig | None = None
    """None: the predecessor's own, improved. Layers are those that it refines the notion in; maps find their own."""
    improved: Literal["own_adapter", "more_text"] | None = None
    """How the predecessor's model becomes its own successor: with the adapter of its last round, or by reading more of the
    general text."""
    by: By = "both"
    planted: Literal["shuffled_vector", "shuffled_notion"] | None = None
    """Spoil the hand-over on purpose, to see that it is refused."""
    rounds: int | None = Field(None, ge=1)
    """At most; by default as many as the first run."""


class SuccessionConfig(StageConfig):
    """A chain of successors. No run reads it."""

    links: tuple[LinkConfig, ...] = ()
    handover: HandoverConfig = HandoverConfig()
    certificate: bool = True
    """A successor whose last notion is not certified is refused."""
    study: int = Field(480, ge=8)
    """Passages of general text that a model is improved on by `more_text`."""


class MapConfig(StageConfig):
    """A basin map: which starts, for how long, and how the notions that they reach are tried. No run reads it."""

    starts: StartsConfig = StartsConfig()
    rounds: int = Field(15, ge=1)
    """Of every start; those after `clustering.fading.rounds` know nothing of the pointer."""
    held: bool = True
    """Let every start flow under trust that never fades, too, to compare."""


class RunConfig(StageConfig):
    """Everything a run depends on, next to the code and the texts themselves."""

    corpus: CorpusConfig
    passages: PassagesConfig = PassagesConfig()
    topics: TopicsConfig = TopicsConfig()
    pointer: PointerConfig = PointerConfig()
    """What points instead of a topic fitted here."""
    language_model: LanguageModelConfig = LanguageModelConfig()
    generation: GenerationConfig = GenerationConfig()
    clustering: ClusteringConfig = ClusteringConfig()
    updating: UpdatingConfig = UpdatingConfig()
    coherence: CoherenceConfig = CoherenceConfig()
    tracking: TrackingConfig = TrackingConfig()
    certificate: CertificateConfig = CertificateConfig()
    map: MapConfig = MapConfig()
    stitching: StitchingConfig = StitchingConfig()
    """How maps to another model are learnt. No run reads it."""
    succession: SuccessionConfig = SuccessionConfig()
    report: ReportConfig = ReportConfig()
    logging: LoggingConfig = LoggingConfig()
    rounds: int = Field(8, ge=1)
    """At most this many; the run stops earlier when the notion is still."""
    seed: int = 0

    @property
    def seeded(self) -> bool:
        """Whether the pointer is made of a few words, which any text has few of: documents that it speaks in tell its size."""
        return bool(self.topics.seed_words or self.pointer.keywords)

    @model_validator(mode="after")
    def _one_pointer(self) -> RunConfig:
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


def load_config(path: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a YAML file and apply `key.sub=value` overrides (values are YAML too).

    Relative paths are taken from the config file's folder, then from the working directory.

    Raises:
        BasinError: no such file, not YAML, an unknown key (with the nearest known one), or a wrong value.
    """
    try:
        tree = read_yaml(path, "see configs/ for examples")
    except FileNotFoundError:
        raise BasinError(
            f"There is no config file {path}; `basin run brown` takes one that comes with Basin."
        ) from None
    if not isinstance(tree, dict):
        raise BasinError(f"{path} holds no settings; see configs/ for examples.")
    for override in overrides:
        _apply(tree, override)
    config = parse_config(tree, str(path))
    # Absolute, so that a run can be measured and resumed from any folder.
    pointed = {name: _absolute(file, path.parent) for name, file in config.pointer.files.items()}
    changes: dict[str, Any] = {
        "corpus": config.corpus.model_copy(update={"source": _absolute(config.corpus.source, path.parent)}),
        "pointer": config.pointer.model_copy(update=pointed),
    }
    if start := config.updating.start_vector:
        changes["updating"] = config.updating.model_copy(
            update={"start_vector": _absolute(start, path.parent)}
        )
    return config.model_copy(update=changes)


def _absolute(name: str, folder: Path) -> str:
    """The path of what has that name in the folder or the working directory; the name itself where nothing has."""
    # Unlike Path.exists, os.path's takes a name that cannot be one.
    found = [each / name for each in (folder, Path()) if os.path.exists(each / name)]
    return str(found[0].resolve()) if found and not Path(name).is_absolute() else name


def with_overrides(config: RunConfig, overrides: Sequence[str]) -> RunConfig:
    """A configuration with some settings changed; raises `BasinError` as `load_config`."""
    tree = config.model_dump(mode="json")
    for override in overrides:
        _apply(tree, override)
    return parse_config(tree, "--set")


def parse_config(tree: dict[str, Any], origin: str) -> RunConfig:
    """Validate a tree of settings; `origin` is named in the message."""
    try:
        return RunConfig.model_validate(tree)
    except ValidationError as error:
        raise BasinError(f"{origin}: {explain(error, RunConfig)}") from None


def is_aside(key: str) -> bool:
    """Whether a setting changes nothing in the rounds themselves, so that a run may go on with another one."""
    return key == "rounds" or key.startswith(("report.", "logging."))


def changed_keys(first: RunConfig, second: RunConfig) -> list[str]:
    """Dotted names of the settings in which two configurations differ."""
    return _differences(first.model_dump(mode="json"), second.model_dump(mode="json"), "")


def _apply(tree: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    said = shortened(override, 100)
    if not equals:
        raise BasinError(f"--set takes key=value, and {said!r} has no '='; write for example rounds=6.")
    *parents, leaf = key.strip().split(".")
    for parent in parents:
        child = tree.setdefault(parent, {})
        if not isinstance(child, dict):
            raise BasinError(f"--set {said}: {parent} is a value and has no key {leaf}.")
        tree = child
    try:
        tree[leaf] = parse_yaml(value)
    except Unreadable as error:
        raise BasinError(
            f"--set {said}: {quoted(value)} is not a YAML value ({error}); correct or quote it."
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
