"""`basin evaluate generation`: what generators write from one concept, judged by those who had no part in it.

A side branch like the membership evaluation. Passages are written first, generator by generator, and kept; then all are judged
together, at one length. Stopped, it goes on with the generator that it was at.
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
from agent.language_model.decoding.loop import GenerationConfig
from agent.language_model.model import LanguageModel, LanguageModelConfig
from loops.checkpoint.atomic import begin_folder, write_file
from loops.checkpoint.provenance import commit
from loops.evaluation.generation.generators import GENERATORS
from loops.evaluation.generation.judge import NEW_TOKENS, grade_outputs, judge_outputs
from loops.evaluation.generation.suite import WrittenCorpus, task_name
from loops.evaluation.generation.task import LANGUAGE_MODEL, Task, make_task, read_corpus
from loops.evaluation.generation.workspace import Output, Workspace
from loops.evaluation.membership import suite
from loops.evaluation.rows import Row

logger = logging.getLogger(__name__)

JUDGE = "gemma3-270m"
"""Reads for coherence and for the story judge; it neither writes nor is steered."""


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
    rubric: str | None = None,
    quick: bool = False,
) -> list[Row]:
    """A row for every corpus, concept and generator.

    Args:
        folder: where samples, adapters and rows are kept; what is there is not made again.
        only, concepts, generators: names to keep to; all where empty. Generators that have written already are judged again
            with the others, since all are judged together.
        samples: passages of each generator; those that reject keep fewer.
        passages: in an adapter's lesson.
        rubric: a larger, instruction-tuned language model that grades by rubric besides; None: nobody does.
        quick: leave out the story judge and the judge of readability, which read everything once more.

    Raises:
        BasinError: an unknown name, a corpus that cannot be read or has no labels, or as the models' loading.
    """
    chosen = _chosen(corpora, only, concepts, generators)
    rows: list[Row] = []
    for corpus, concept in chosen:
        if not suite.is_present(corpus.pointed_at):
            logger.info(f"{corpus.corpus.source} is not here: {corpus.name}, {concept} is left out.")
            continue
        if corpus.pointed_at.topics.language != ENGLISH:
            logger.info(
                f"{corpus.name} is not in English, but what writers and judges are told is, and so are the judges."
            )
        settings = (
            corpus.model_dump_json(),
            concept,
            samples,
            seed,
            passages,
            LANGUAGE_MODEL.model_dump_json(),
        )
        place = _place(folder / task_name(corpus.name, concept), settings)
        task = make_task(corpus, concept, read_corpus(corpus), samples, seed, place)
        made = _made(place)
        names = [each for each in GENERATORS if not generators or each in generators or each in made]
        rows += _evaluate(task, names, passages, rubric, quick)
    return rows


def _evaluate(
    task: Task, generators: Sequence[str], passages: int, rubric: str | None, quick: bool
) -> list[Row]:
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
        seconds[name] = _seconds(task, name, time.perf_counter() - begin)
        # Of tokens that are kept: choosing one passage of four writes four.
        written = workspace.speeds.get(workspace.last)
        speed[name] = written and written * outputs[name].accepted
    rows = judge_outputs(task, outputs, workspace, reader, quick)
    if rubric is not None:
        grade_outputs(task, outputs, rows, LanguageModel.load(LanguageModelConfig(name=rubric)))
    for row in rows:
        row["seconds"] = seconds[str(row["generator"])]
        row["tokens_per_second"] = speed[str(row["generator"])]
        row["commit"] = commit()
    write_file(task.folder / "rows.json", json.dumps(rows, indent=1).encode())
    return rows


def _made(folder: Path) -> dict[str, float]:
    """Generators that have written, and the seconds that they took."""
    file = folder / "seconds.json"
    return json.loads(file.read_bytes()) if file.exists() else {}


def _seconds(task: Task, name: str, seconds: float) -> float:
    """What a generator took, from when it was first made; a later call finds its passages on disk and takes nothing."""
    file, known = task.folder / "seconds.json", _made(task.folder)
    if name not in known:
        known[name] = seconds
        task.folder.mkdir(parents=True, exist_ok=True)
        write_file(file, json.dumps(known, indent=1).encode())
    return known[name]


def _place(folder: Path, settings: tuple) -> Path:
    """The task's folder; one that was begun with other settings is set aside."""
    digest = hashlib.sha256(repr(settings).encode()).hexdigest()[:16]
    begin_folder(folder, digest, "another folder with --out")
    return folder


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
