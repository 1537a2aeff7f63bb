"""Measures of everything that was generated from a concept, at equal lengths. Gold labels train the
judges.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from agent.hub.embedders import load_embedder
from agent.judging.average_precision import Row
from agent.judging.diversity import copied_share, divergence_on, equal_samples, selection_bound, vendi_score
from agent.judging.judges import RealPassages, story_judge, trained_judges
from agent.judging.writing import WritingConfig, cluster_scores, inside, judge_passages, measure_inside
from agent.language_model.model import LanguageModel
from agent.types import seed_for
from loops.checkpoint.atomic import write_file
from loops.evaluation.generation.task import Task
from loops.evaluation.generation.workspace import Output, Sample, Workspace

logger = logging.getLogger(__name__)

NEW_TOKENS = 200
STORY_WORDS, STORY_REAL = 80, 160
"""Words of each passage, and real passages, that the story judge reads; it takes most of the time.
"""
Generated = Mapping[str, Sequence[str]]
"""Texts by generator."""


def judge_outputs(
    task: Task,
    outputs: Mapping[str, Output],
    workspace: Workspace,
    reader: LanguageModel,
    quick: bool = False,
) -> list[Row]:
    """A row of measures for each generator that wrote something.

    Args:
        reader: the story judge's model; another than the one that writes.
        quick: leave the story judge out.
    """
    texts = {name: [each.text for each in output.samples] for name, output in outputs.items()}
    texts = {name: each for name, each in texts.items() if each}
    logger.info(f"{task.corpus}, {task.concept}: judging {sum(map(len, texts.values()))} passages")
    seed, embedder = seed_for(task.seed, 0, "judging"), load_embedder()

    def embed(chosen: Sequence[str]) -> Float[np.ndarray, "text column"]:
        return np.asarray(embedder.encode(list(chosen), show_progress_bar=False))

    found = judge_passages(task.unseen, texts, trained_judges(embed), WritingConfig(), seed)
    if not quick:
        story = {"c": story_judge(reader, task.called, task.contrast)}
        real = _sample(task.unseen, STORY_REAL, seed)
        found |= judge_passages(real, texts, story, WritingConfig(words=STORY_WORDS), seed)
    words = int(np.quantile([len(text.split()) for each in texts.values() for text in each], 0.1))
    equal = equal_samples(texts, words, max(2, len(task.prompts) // 2), seed)
    vendi = {name: vendi_score(embed(each)) for name, each in equal.items()}
    copied, rows = _copied(task, texts), []
    for name in texts:
        logger.info(f"{task.corpus}, {task.concept}: measuring {name}")
        output, coherent = outputs[name], workspace.coherent(outputs[name].samples)
        scores = {which: cluster_scores([judgement], name)[0] for which, judgement in found.items()}
        counted = [found["a"], found["b"]]
        compared = {name, "base"} <= vendi.keys()
        rows.append(
            {"corpus": task.corpus, "concept": task.concept, "generator": name}
            | {"samples": len(output.samples), "kept_share": output.accepted}
            | {f"cluster_score_{which}": _mean(score) for which, score in scores.items()}
            | {f"auc_{which}": judgement.auc for which, judgement in found.items()}
            | measure_inside(counted, name, task.unseen, coherent)
            | {"coherent_share": float(coherent.mean()), "kl_per_token": _distance(task, output)}
            | {"vendi": vendi.get(name), "vendi_ratio": vendi[name] / vendi["base"] if compared else None}
            | {"copied_8gram_share": copied[name], "words_judged": words}
        )
        file = task.folder / "judged" / f"{name}.json"
        _save_passages(file, output.samples, scores, coherent, inside(cluster_scores(counted, name)))
    return rows


def _sample(real: RealPassages, count: int, seed: int) -> RealPassages:
    chosen = np.zeros(len(real.texts), dtype=bool)
    chosen[np.random.default_rng(seed).permutation(len(chosen))[:count]] = True
    return real.only(chosen)


def _copied(task: Task, texts: Generated) -> dict[str, float | None]:
    every = [text for each in texts.values() for text in each]
    shares = iter(copied_share(every, (each.text for each in task.documents)))
    return {name: _mean(np.array([next(shares) for _ in each])) for name, each in texts.items()}


def _distance(task: Task, output: Output) -> float | None:
    """Nats per token from the base model, for a selection an upper bound."""
    intervention, some = output.intervention, output.samples[:12]
    changed = 0.0
    if intervention.changes:
        changed = divergence_on(
            task.language_model.adapted(intervention.adapter),
            task.language_model,
            [sample.prompt for sample in some],
            [sample.text for sample in some],
            vector=intervention.vector,
            preamble=intervention.preamble,
        )
    if not output.accepted or np.isnan(changed):
        return None
    return changed + selection_bound(output.accepted, NEW_TOKENS)


def _mean(scores: Float[np.ndarray, "text"]) -> float | None:
    return float(np.nanmean(scores)) if np.isfinite(scores).any() else None


def _save_passages(
    file: Path,
    samples: Sequence[Sample],
    scores: Mapping[str, Float[np.ndarray, "text"]],
    coherent: Bool[np.ndarray, "text"],
    passed: Bool[np.ndarray, "text"],
) -> None:
    """Save each passage with its own scores."""

    def number(value: float) -> float | None:
        return None if np.isnan(value) else round(float(value), 3)

    rows = [
        asdict(sample)
        | {f"cluster_score_{which}": number(score[at]) for which, score in scores.items()}
        | {"coherent": bool(coherent[at]), "inside": bool(passed[at])}
        for at, sample in enumerate(samples)
    ]
    file.parent.mkdir(parents=True, exist_ok=True)
    write_file(file, json.dumps(rows, indent=1).encode())
