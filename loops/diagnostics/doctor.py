"""Report installed and cached packages, the speed of this machine, and the cost of a run."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agent.config import CONFIGS, find_config
from agent.corpora.brown import TARBALL
from agent.corpora.load import load_corpus
from agent.corpora.passages import split
from agent.errors import BasinError
from agent.hub.embedders import EMBEDDED_EMBEDDER, embedder_status
from agent.hub.models import EMBEDDED, model_status
from agent.hub.pinned_packages import cache_root, verify
from agent.language_model.architecture import choose_device, choose_dtype
from agent.language_model.memory import total_memory
from agent.language_model.model import LanguageModel
from agent.language_model.token_counts import in_words
from agent.progress import timed
from loops.checkpoint.find import checkpoints_folder, list_runs
from loops.checkpoint.provenance import commit, cores, versions
from loops.config import RunConfig, load_config
from loops.monitor.tables import plain_table
from loops.round.forecast import Speeds, estimate, measured_speeds, peaks

logger = logging.getLogger(__name__)

DEFAULT = CONFIGS / "runs" / "brown.yaml"
SAMPLE = "The house was quiet when she came in, and nobody had put out the light in the hall. " * 10


def examine(config_file: Path | None, console: Console) -> None:
    """Print everything. Raises `BasinError` only for a named config that is missing or wrong."""
    config, name = _config(config_file)
    _show_versions(console)
    _show_cache(console)
    _show_machine(config, console)
    passages, tried = _passages(config), _tried(config)
    if tried is None:
        return
    speeds, memory = tried
    table = plain_table("speed", "")
    table.add_row("record", f"{speeds.record:.0f} tokens/s")
    table.add_row("generate", f"{speeds.generate:.0f} tokens/s")
    _print(table, console)
    table = plain_table("memory at the peak of", "")
    for stage, gigabytes in memory.items():
        table.add_row(stage, f"{gigabytes:.1f} GB")
    _print(table, console)
    if passages is not None:
        _show_cost(config, name, passages, speeds, console)


def _config(file: Path | None) -> tuple[RunConfig, str]:
    path = find_config(file) if file else DEFAULT
    return load_config(path), str(file or "configs/runs/brown.yaml")


def _show_versions(console: Console) -> None:
    table = plain_table("installed", "")
    for name, version in versions().items():
        table.add_row(name, version)
    table.add_row("code", (commit() or "not a git checkout")[:12])
    _print(table, console)


def _show_cache(console: Console) -> None:
    table = plain_table("cached", "", "")
    for name, model in EMBEDDED.items():
        status = model_status(name)
        table.add_row(name, status, f"{model.megabytes} MB" if status != "cached" else "hashes hold")
    for name, status in ((EMBEDDED_EMBEDDER, embedder_status()), ("brown", verify(TARBALL))):
        table.add_row(name, status, "hashes hold" if status == "cached" else "")
    _print(table, console)
    where = escape(str(cache_root()))
    console.print(f"in {where}: missing or damaged files are fetched when needed", soft_wrap=True)


def _show_machine(config: RunConfig, console: Console) -> None:
    table = plain_table("machine", "")
    table.add_row("cores", f"{cores()} ({torch.get_num_threads()} threads)")
    table.add_row("memory", f"{total_memory() / 2**30:.0f} GB")
    device = choose_device(config.language_model.device)
    table.add_row("device", torch.cuda.get_device_name(device) if device.type == "cuda" else str(device))
    table.add_row(
        "number format", str(choose_dtype(config.language_model.dtype, device)).removeprefix("torch.")
    )
    folder = checkpoints_folder().absolute()
    while not folder.exists():
        folder = folder.parent
    table.add_row("room for runs", f"{shutil.disk_usage(folder).free / 2**30:.0f} GB")
    table.add_row("runs", str(len(list_runs())))
    _print(table, console)


def _print(table: Table, console: Console) -> None:
    console.print()
    console.print(table)


def _passages(config: RunConfig) -> int | None:
    """Count the corpus's passages; None if reading it needs the network."""
    if config.corpus.source.startswith("brown") and verify(TARBALL) != "cached":
        return None
    if config.corpus.is_on_web:
        logger.info(f"{config.corpus.source} is not read, since it comes from the network.")
        return None
    try:
        with timed("reading the corpus"):
            documents = load_corpus(config.corpus)
            cut = in_words(config.passages, config.language_model, documents)
            return len(split(documents, cut).passages)
    except BasinError as error:
        logger.info(str(error))
        return None


def _tried(config: RunConfig) -> tuple[Speeds, dict[str, float]] | None:
    """Measure the configured model's speeds and memory; None for a model that is not cached."""
    name = config.language_model.name
    if name in EMBEDDED and model_status(name) != "cached":
        logger.info(f"No cost is estimated, since {name} is not cached: `basin run` fetches it.")
        return None
    try:
        with timed(f"trying {name}"):
            language_model = LanguageModel.load(config.language_model)
            return measured_speeds(language_model, config, SAMPLE), peaks(language_model, config)
    except BasinError as error:
        logger.info(str(error))
        return None


def _show_cost(config: RunConfig, name: str, passages: int, speeds: Speeds, console: Console) -> None:
    seconds = estimate(config, passages, speeds)
    table = plain_table(f"cost of {name}", "minutes")
    for stage, spent in seconds.items():
        table.add_row(stage, f"{spent / 60:.1f}")
    table.add_row(f"{config.rounds} rounds at most", f"{sum(seconds.values()) / 60:.0f}")
    _print(table, console)
    console.print(f"for {passages} passages; a run that converges earlier costs less")
