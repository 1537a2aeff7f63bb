"""Measures of everything that was generated from a concept, at equal lengths. Gold labels train the
judges.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from agent.clustering.texts import Texts
from agent.hub.embedders import load_embedder
from agent.judging.decisions import Judgement, RealPassages
from agent.judging.diversity import (
    copied_share,
    distinct_n,
    divergence_on,
    equal_samples,
    selection_bound,
    vendi_score,
)
from agent.judging.inside import InsideReport, agreement, cluster_scores, measure_inside
from agent.judging.llm_judges import story_judge
from agent.judging.writing import WritingConfig, embedding_judge, judge_passages, word_judge
from agent.language_model.model import LanguageModel
from agent.membership.log_odds import sigmoid
from agent.types import seed_for
from loops.checkpoint.atomic import write_file
from loops.evaluation.generation.task import Task
from loops.evaluation.generation.workspace import Output, Sample, Workspace
from loops.evaluation.rows import Row

logger = logging.getLogger(__name__)

NEW_TOKENS = 200
STORY_WORDS, STORY_REAL = 80, 160
"""Words of each passage, and real passages, that the story judge reads; it takes most of the time.
"""
Generated = Mapping[str, Sequence[str]]
"""Texts by generator."""


@dataclass(frozen=True)
class _Diversity:
    """Measures that need equal amounts of text; generators with too little text are missing."""

    words: int
    equal: Mapping[str, Sequence[str]]
    vendi: Mapping[str, float]
    copied: Mapping[str, float | None]

    def row(self, name: str) -> Row:
        ratio = self.vendi[name] / self.vendi["base"] if {name, "base"} <= self.vendi.keys() else None
        distinct: Row = {
            f"distinct{n}": distinct_n(self.equal[name], n) if name in self.equal else None for n in (1, 2, 3)
        }
        return distinct | {
            "vendi": self.vendi.get(name),
            "vendi_ratio": ratio,
            "copied_8gram_share": self.copied[name],
            "words_judged": self.words,
        }


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

    judges = {"a": embedding_judge(embed), "b": word_judge()}
    found = judge_passages(task.unseen, texts, judges, WritingConfig(), seed)
    if not quick:
        story = {"c": story_judge(reader, task.called, task.contrast)}
        real = _sample(task.unseen, STORY_REAL, seed)
        found |= judge_passages(real, texts, story, WritingConfig(words=STORY_WORDS), seed)
    words = int(np.quantile([len(text.split()) for each in texts.values() for text in each], 0.1))
    fewest = max(2, len(task.prompts) // 2)
    long = {
        name: each for name, each in texts.items() if sum(len(t.split()) >= words for t in each) >= fewest
    }
    equal = equal_samples(long, words, seed)
    vendi = {name: vendi_score(embed(each)) for name, each in equal.items()}
    diversity = _Diversity(words, equal, vendi, _copied(task, texts))
    rows = []
    for name in texts:
        logger.info(f"{task.corpus}, {task.concept}: measuring {name}")
        output, coherent = outputs[name], workspace.coherent(outputs[name].samples)
        report = measure_inside([found["a"], found["b"]], name, task.unseen, coherent)
        scores = {which: cluster_scores([judgement], name)[0] for which, judgement in found.items()}
        rows.append(
            {"corpus": task.corpus, "concept": task.concept, "generator": name}
            | {"samples": len(output.samples), "kept_share": output.accepted}
            | _judged(name, found, scores, report)
            | {"coherent_share": float(coherent.mean())}
            | {"membership": _membership(task, workspace.read(output.samples))}
            | {"kl_per_token": _distance(task, output)}
            | diversity.row(name)
        )
        file = task.folder / "judged" / f"{name}.json"
        _save_passages(file, output.samples, scores, coherent, report.inside)
    return rows


def _judged(
    name: str,
    found: Mapping[str, Judgement],
    scores: Mapping[str, Float[np.ndarray, "text"]],
    report: InsideReport,
) -> Row:
    return {
        **{f"cluster_score_{which}": _mean(score) for which, score in scores.items()},
        **{f"spread_{which}": _spread(score) for which, score in scores.items()},
        **{f"auc_{which}": judgement.auc for which, judgement in found.items()},
        "agreement_ab": agreement((found["a"], found["b"]), name),
        "inside": report.share,
        "inside_and_readable": report.readable_share,
        "too_short": report.too_short,
        "inside_of_real_members": report.real_members,
        "inside_of_real_others": report.real_non_members,
    }


def _membership(task: Task, read: Texts) -> float:
    """Mean membership by the refined concept itself, which is no independent judge."""
    return float(sigmoid(task.targets["basin"].log_odds(read)).mean())


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
            mode=intervention.mode,
            preamble=intervention.preamble,
        )
    if not output.accepted or np.isnan(changed):
        return None
    return changed + selection_bound(output.accepted, NEW_TOKENS)


def _mean(scores: Float[np.ndarray, "text"]) -> float | None:
    return float(np.nanmean(scores)) if np.isfinite(scores).any() else None


def _spread(scores: Float[np.ndarray, "text"]) -> float | None:
    return float(np.nanstd(scores)) if np.isfinite(scores).any() else None


def _save_passages(
    file: Path,
    samples: Sequence[Sample],
    scores: Mapping[str, Float[np.ndarray, "text"]],
    coherent: Bool[np.ndarray, "text"],
    inside: Bool[np.ndarray, "text"],
) -> None:
    """Save each passage with its own scores."""

    def number(value: float) -> float | None:
        return None if np.isnan(value) else round(float(value), 3)

    rows = [
        asdict(sample)
        | {f"cluster_score_{which}": number(score[at]) for which, score in scores.items()}
        | {"coherent": bool(coherent[at]), "inside": bool(inside[at])}
        for at, sample in enumerate(samples)
    ]
    file.parent.mkdir(parents=True, exist_ok=True)
    write_file(file, json.dumps(rows, indent=1).encode())
