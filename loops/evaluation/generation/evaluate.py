"""`basin evaluate generation`: all generators of a concept write, then are judged together.

A stopped evaluation resumes with the generator that it was at.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path

from agent.adapting.config import LoraConfig
from agent.corpora.words import ENGLISH
from agent.language_model.coherence import Coherence, CoherenceConfig
from agent.language_model.decoding.config import GenerationConfig
from agent.language_model.load import LanguageModelConfig
from agent.language_model.model import LanguageModel
from loops.checkpoint.atomic import begin_folder, write_file
from loops.checkpoint.provenance import commit
from loops.evaluation.generation.generators import GENERATORS
from loops.evaluation.generation.judge import NEW_TOKENS, judge_outputs
from loops.evaluation.generation.suite import WrittenCorpus, task_name
from loops.evaluation.generation.task import LANGUAGE_MODEL, Task, make_task, read_corpus
from loops.evaluation.generation.workspace import Output, Workspace
from loops.evaluation.membership import suite
from loops.evaluation.rows import Row

logger = logging.getLogger(__name__)

JUDGE = "gemma3-270m"
"""The model for coherence and for the story judge; it is never steered."""


def evaluate_generation(
    corpora: Sequence[WrittenCorpus],
    folder: Path,
    *,
    only: Sequence[str] = (),
    concepts: Sequence[str] = (),
    generators: Sequence[str] = (),
    samples: int = 48,
    seed: int = 0,
    passages: int = 240,
    quick: bool = False,
) -> list[Row]:
    """A row for each corpus, concept and generator.

    Args:
        folder: keeps samples, adapters and rows; nothing there is made again.
        only, concepts, generators: names to restrict to; empty for all. Generators that wrote
            before are judged again with the others.
        samples: prompts per generator.
        passages: training passages of an adapter.
        quick: leave out the story judge, which is slow.

    Raises:
        BasinError: an unknown name, a corpus that cannot be read or has no labels, or a model that
            cannot be loaded.
    """
    rows: list[Row] = []
    for corpus, concept in _chosen(corpora, only, concepts, generators):
        if not suite.is_present(corpus.pointed_at):
            logger.info(f"{corpus.corpus.source} is not here: {corpus.name}, {concept} is left out.")
            continue
        if corpus.pointed_at.topics.language != ENGLISH:
            logger.info(f"{corpus.name} is not in English, but instructions and judges are.")
        settings = (
            corpus.model_dump_json(),
            concept,
            samples,
            seed,
            passages,
            LANGUAGE_MODEL.model_dump_json(),
        )
        place = folder / task_name(corpus.name, concept)
        digest = hashlib.sha256(repr(settings).encode()).hexdigest()[:16]
        begin_folder(place, digest, "another folder with --out")
        task = make_task(read_corpus(corpus), concept, samples=samples, seed=seed, folder=place)
        earlier = _stored_seconds(place)
        names = [each for each in GENERATORS if not generators or each in generators or each in earlier]
        rows += _evaluate(task, names, passages, quick)
    return rows


def _evaluate(task: Task, generators: Sequence[str], passages: int, quick: bool) -> list[Row]:
    if task.warning:
        logger.info(f"{task.corpus}, {task.concept}: {task.warning}")
    reader = LanguageModel.load(LanguageModelConfig(name=JUDGE))
    coherence = Coherence.fit(task.texts, CoherenceConfig(model=JUDGE, words=100), reader)
    config = GenerationConfig(samples=len(task.prompts), new_tokens=NEW_TOKENS, batch_size=32)
    workspace = Workspace(task, config, coherence, LoraConfig(passages=passages))
    outputs: dict[str, Output] = {}
    seconds: dict[str, float] = {}
    speed: dict[str, float | None] = {}
    for name in generators:
        begin = time.perf_counter()
        outputs[name] = GENERATORS[name](workspace)
        seconds[name] = _first_seconds(task, name, time.perf_counter() - begin)
        written = workspace.speeds.get(workspace.last)
        speed[name] = written and written * outputs[name].accepted  # of the tokens that are kept
    rows = judge_outputs(task, outputs, workspace, reader, quick)
    for row in rows:
        row["seconds"] = seconds[str(row["generator"])]
        row["tokens_per_second"] = speed[str(row["generator"])]
        row["commit"] = commit()
    write_file(task.folder / "rows.json", json.dumps(rows, indent=1).encode())
    return rows


def _stored_seconds(folder: Path) -> dict[str, float]:
    """Seconds by generator that has written before."""
    file = folder / "seconds.json"
    stored: dict[str, float] = json.loads(file.read_bytes()) if file.exists() else {}
    return stored


def _first_seconds(task: Task, name: str, seconds: float) -> float:
    """The seconds of a generator's first call; later calls find its passages on disk."""
    known = _stored_seconds(task.folder)
    if name not in known:
        known[name] = seconds
        task.folder.mkdir(parents=True, exist_ok=True)
        write_file(task.folder / "seconds.json", json.dumps(known, indent=1).encode())
    return known[name]


def _chosen(
    corpora: Sequence[WrittenCorpus], only: Sequence[str], concepts: Sequence[str], generators: Sequence[str]
) -> list[tuple[WrittenCorpus, str]]:
    suite.require_known("corpus", only, [each.name for each in corpora])
    suite.require_known("concept", concepts, [name for each in corpora for name in each.concepts])
    suite.require_known("generator", generators, list(GENERATORS))
    return [
        (each, name)
        for each in corpora
        if not only or each.name in only
        for name in each.concepts
        if not concepts or name in concepts
    ]
