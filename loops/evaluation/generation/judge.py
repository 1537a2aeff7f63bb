"""What is said of everything that was written from a concept, all together and at equal lengths. Measuring only."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from agent.clustering.texts import Texts
from agent.hub.embedders import load_embedder
from agent.judging.decisions import RealPassages
from agent.judging.diversity import (
    copied_share,
    distinct_n,
    divergence_on,
    equal_samples,
    selection_bound,
    self_bleu,
    vendi_score,
)
from agent.judging.inside import agreement, cluster_scores, measure_inside
from agent.judging.llm_judges import FRAMINGS, story_judge
from agent.judging.nearness import energy_distance
from agent.judging.readability import ReadableConfig, judge_readable
from agent.judging.rubric import BELONGS, READABLE, a_named, grades
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
"""Words of every passage, and real passages, that the story judge reads: each text twice, which is most of the time."""
REFERENCE = "basin-filter"
"""Exact samples of p m / Z, which the others are compared with."""


def judge_outputs(
    task: Task,
    outputs: Mapping[str, Output],
    workspace: Workspace,
    reader: LanguageModel,
    quick: bool = False,
) -> list[Row]:
    """Everything that is said of every generator, at equal lengths; `quick` leaves out the judges that read all of it again."""
    seed = seed_for(task.seed, 0, "judging")
    texts = {
        name: [sample.text for sample in output.samples] for name, output in outputs.items() if output.samples
    }
    embedder = load_embedder()

    def embed(chosen: Sequence[str]) -> np.ndarray:
        return embedder.encode(list(chosen), show_progress_bar=False)

    logger.info(f"{task.corpus}, {task.concept}: judging {sum(map(len, texts.values()))} passages")
    found = judge_passages(
        task.unseen, texts, {"a": embedding_judge(embed), "b": word_judge()}, WritingConfig(), seed
    )
    readable = None
    if not quick:
        story = {"c": story_judge(reader, task.called, task.contrast, FRAMINGS[:1])}
        found |= judge_passages(
            _some(task.unseen, STORY_REAL, seed), texts, story, WritingConfig(words=STORY_WORDS), seed
        )
        readable = judge_readable(task.unseen, texts, reader, ReadableConfig(passages=120), seed)
    coherent = {name: workspace.coherent(outputs[name].samples) for name in texts}
    copied = iter(
        copied_share(
            [text for each in texts.values() for text in each], (each.text for each in task.documents)
        ).per_text
    )
    of_copied = {name: _mean(np.array([next(copied) for _ in each])) for name, each in texts.items()}
    words = int(np.quantile([len(text.split()) for each in texts.values() for text in each], 0.1))
    fewest = max(2, len(task.prompts) // 2)
    enough = {
        name: each
        for name, each in texts.items()
        if sum(len(text.split()) >= words for text in each) >= fewest
    }
    equal = equal_samples(enough, words, seed)
    embedded = {
        name: embed([" ".join(text.split()[:words]) for text in each]) for name, each in texts.items()
    }
    vendi = {name: vendi_score(embed(each)) for name, each in equal.items()}
    rows = []
    for name, each in texts.items():
        output = outputs[name]
        report = measure_inside([found["a"], found["b"]], name, task.unseen, coherent[name])
        scores = {which: cluster_scores([found[which]], name)[0] for which in found}
        agreed = agreement((found["a"], found["b"]), [name])
        logger.info(f"{task.corpus}, {task.concept}: measuring {name}")
        row: Row = {"corpus": task.corpus, "concept": task.concept, "generator": name, "samples": len(each)}
        row |= {f"cluster_score_{which}": _mean(score) for which, score in scores.items()}
        row |= {f"spread_{which}": _spread(score) for which, score in scores.items()}
        row |= {"inside": report.share, "coherent_share": float(coherent[name].mean())}
        row |= {"inside_and_readable": report.readable_share}
        row |= {"membership": _membership(task, workspace.read(output.samples))}
        row |= {"p_readable": readable and _mean(readable.judgement.generated[name])}
        row |= {"energy_to_filter": _energy(embedded, texts, name), "kl_per_token": _distance(task, output)}
        row |= {f"distinct{n}": distinct_n(equal[name], n) if name in equal else None for n in (1, 2, 3)}
        row |= {"self_bleu": self_bleu(equal[name]) if name in equal else None}
        row |= {
            "vendi": vendi.get(name),
            "vendi_ratio": _ratio(vendi, name),
            "copied_8gram_share": of_copied[name],
        }
        row |= {"agreement_ab": agreed.spearman, "too_short": report.too_short, "kept_share": output.accepted}
        row |= {f"auc_{which}": judgement.auc for which, judgement in found.items()}
        row |= {"auc_readable": readable and readable.judgement.auc}
        row |= {"readable_concept_auc": readable and readable.concept_auc}
        row |= {
            "inside_of_real_members": report.real_members,
            "inside_of_real_others": report.real_non_members,
        }
        row |= {"words_judged": words}
        rows.append(row)
        _keep_passages(
            task.folder / "judged" / f"{name}.json", output.samples, scores, coherent[name], report.inside
        )
    return rows


def grade_outputs(
    task: Task, outputs: Mapping[str, Output], rows: Sequence[Row], grader: LanguageModel
) -> None:
    """Adds the mean grades of belonging and of readability, in [1, 5], to every generator's row."""
    for row in rows:
        texts = [sample.text for sample in outputs[str(row["generator"])].samples]
        logger.info(f"{task.corpus}, {task.concept}: grading {row['generator']}")
        row["grade_belongs"] = float(grades(grader, BELONGS, texts, a_name=a_named(task.called)).mean())
        row["grade_readable"] = float(grades(grader, READABLE, texts).mean())


def _membership(task: Task, read: Texts) -> float:
    """What the refined concept itself says of what was written, in an unsteered pass: no judge, but what might be fooled."""
    return float(sigmoid(task.notions["basin"].place(read)).mean())


def _some(real: RealPassages, count: int, seed: int) -> RealPassages:
    """At most `count` of the passages, drawn by the seed."""
    kept = np.zeros(len(real.texts), dtype=bool)
    kept[np.random.default_rng(seed).permutation(len(kept))[:count]] = True
    return real.only(kept)


def _distance(task: Task, output: Output) -> float | None:
    """Nats per token from the base model: exact for a changed model, a bound for a selection."""
    intervention, some = output.intervention, output.samples[:12]
    changed = 0.0
    if intervention.changes:
        changed = divergence_on(
            task.language_model.adapted(intervention.adapter),
            task.language_model,
            [sample.prompt for sample in some],
            [sample.text for sample in some],
            intervention.vector,
            intervention.mode,
            intervention.preamble,
            fusion=intervention.fusion,
        )
    if not output.accepted or np.isnan(changed):
        return None
    return changed + selection_bound(output.accepted, NEW_TOKENS)


def _energy(
    embedded: Mapping[str, np.ndarray], texts: Mapping[str, Sequence[str]], name: str
) -> float | None:
    """From what the refined concept accepts; a passage that both chose from one pool is not compared with itself."""
    if REFERENCE not in embedded or min(len(embedded[each]) for each in (name, REFERENCE)) < 2:
        return None
    if name == REFERENCE:
        return 0.0
    same = np.array([[text == other for other in texts[REFERENCE]] for text in texts[name]])
    return energy_distance(embedded[name], embedded[REFERENCE], same)


def _ratio(vendi: Mapping[str, float], name: str) -> float | None:
    return vendi[name] / vendi["base"] if name in vendi and "base" in vendi else None


def _mean(scores: np.ndarray) -> float | None:
    return float(np.nanmean(scores)) if np.isfinite(scores).any() else None


def _spread(scores: np.ndarray) -> float | None:
    return float(np.nanstd(scores)) if np.isfinite(scores).any() else None


def _keep_passages(
    file: Path,
    samples: Sequence[Sample],
    scores: Mapping[str, np.ndarray],
    coherent: np.ndarray,
    inside: np.ndarray,
) -> None:
    """Every passage with what the judges said of it: distributions, not only means."""
    rows = [
        asdict(sample)
        | {f"cluster_score_{which}": _number(score[at]) for which, score in scores.items()}
        | {"coherent": bool(coherent[at]), "inside": bool(inside[at])}
        for at, sample in enumerate(samples)
    ]
    file.parent.mkdir(parents=True, exist_ok=True)
    write_file(file, json.dumps(rows, indent=1).encode())


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 3)
