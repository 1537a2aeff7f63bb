"""`basin evaluate generation`: all generators of a concept write, then are judged together.

A stopped evaluation resumes with the generator that it was at.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path

from agent.adapting.config import AdaptingConfig, LessonConfig
from agent.corpora.words import ENGLISH
from agent.judging.average_precision import Row
from agent.language_model.coherence import Coherence, CoherenceConfig
from agent.language_model.decoding.config import GenerationConfig
from agent.language_model.load import LanguageModelConfig
from agent.language_model.model import LanguageModel
from loops.checkpoint.atomic import begin_folder, write_file
from loops.checkpoint.provenance import commit
from loops.evaluation.generation.generators import GENERATORS
from loops.evaluation.generation.judge import NEW_TOKENS, judge_outputs
from loops.evaluation.generation.task import LANGUAGE_MODEL, Task, make_task, read_corpus
from loops.evaluation.generation.workspace import Workspace
from loops.evaluation.membership import suite
from loops.evaluation.membership.suite import SuiteCorpus, task_name

logger = logging.getLogger(__name__)

JUDGE = "gemma3-270m"
"""The model for coherence and for the story judge; it is never steered."""


def evaluate_generation(
    corpora: Sequence[SuiteCorpus],
    folder: Path,
    *,
    only: Sequence[str] = (),
    concepts: Sequence[str] = (),
    generators: Sequence[str] = (),
    samples: int = 48,
    seed: int = 0,
    tokens: int = 60_000,
    quick: bool = False,
) -> list[Row]:
    """A row for each corpus, concept and generator.

    Args:
        folder: keeps samples, adapters and rows; nothing there is made again.
        only, concepts, generators: names to restrict to; empty for all. Generators that wrote
            before are judged again with the others.
        samples: prompts per generator.
        tokens: of the lesson of an adapter.
        quick: leave out the story judge, which is slow.

    Raises:
        BasinError: an unknown name, a corpus that cannot be read or has no labels, or a model that
            cannot be loaded.
    """
    rows: list[Row] = []
    for corpus, concept in _chosen(corpora, only, concepts, generators):
        if not suite.is_present(corpus):
            logger.info(f"{corpus.corpus.source} is not here: {corpus.name}, {concept} is left out.")
            continue
        if corpus.topics.language != ENGLISH:
            logger.info(f"{corpus.name} is not in English, but instructions and judges are.")
        settings = (
            corpus.model_dump_json(),
            concept,
            samples,
            seed,
            tokens,
            LANGUAGE_MODEL.model_dump_json(),
        )
        place = folder / task_name(corpus.name, concept)
        digest = hashlib.sha256(repr(settings).encode()).hexdigest()[:16]
        begin_folder(place, digest, "another folder with --out")
        task = make_task(read_corpus(corpus), concept, samples=samples, seed=seed, folder=place)
        names = [
            each
            for each in GENERATORS
            if not generators or each in generators or (place / "judged" / f"{each}.json").exists()
        ]
        rows += _evaluate(task, names, tokens, quick)
    return rows


def _evaluate(task: Task, generators: Sequence[str], tokens: int, quick: bool) -> list[Row]:
    if task.warning:
        logger.info(f"{task.corpus}, {task.concept}: {task.warning}")
    reader = LanguageModel.load(LanguageModelConfig(name=JUDGE))
    coherence = Coherence.fit(task.texts, CoherenceConfig(model=JUDGE, words=100), reader)
    config = GenerationConfig(samples=len(task.prompts), new_tokens=NEW_TOKENS, batch_size=32)
    adapting = AdaptingConfig(lesson=LessonConfig(tokens=tokens))
    workspace = Workspace(task, config, coherence, adapting)
    outputs = {name: GENERATORS[name](workspace) for name in generators}
    rows = judge_outputs(task, outputs, workspace, reader, quick)
    for row in rows:
        row["commit"] = commit()
    write_file(task.folder / "rows.json", json.dumps(rows, indent=1).encode())
    return rows


def _chosen(
    corpora: Sequence[SuiteCorpus], only: Sequence[str], concepts: Sequence[str], generators: Sequence[str]
) -> list[tuple[SuiteCorpus, str]]:
    suite.require_known("corpus", only, [each.name for each in corpora])
    suite.require_known("concept", concepts, [name for each in corpora for name in each.called])
    suite.require_known("generator", generators, list(GENERATORS))
    return [
        (each, name)
        for each in corpora
        if not only or each.name in only
        for name in each.called
        if not concepts or name in concepts
    ]
