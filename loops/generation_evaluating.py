"""`basin evaluate generation`: what generators write from one concept, judged by those who had no part in it.

A side branch like `loops/evaluating.py`. Passages are written first, generator by generator, and kept; then all are judged
together, at one length. Stopped, it goes on with the generator that it was at.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from agent.coherence import Coherence, CoherenceConfig
from agent.errors import BasinError
from agent.evidence import sigmoid
from agent.generation import GenerationConfig
from agent.judging.distance import divergence_on, selection_bound
from agent.judging.diversity import copied_share, distinct_n, equal_samples, self_bleu, vendi_score
from agent.judging.inside import agreement, cluster_scores, measure_inside
from agent.judging.judgement import RealPassages
from agent.judging.nearness import energy_distance
from agent.judging.readable import ReadableConfig, judge_readable
from agent.judging.rubric import BELONGS, READABLE, a_named, grades
from agent.judging.story import FRAMINGS, story_judge
from agent.judging.writing import WritingConfig, embedding_judge, judge_passages, word_judge
from agent.language_model import LanguageModel, LanguageModelConfig
from agent.sources.embedders import load_embedder
from agent.types import seed_for
from agent.updating.settings import LoraConfig
from loops import suite
from loops.folders import write_file
from loops.generation_suite import WrittenCorpus
from loops.generation_task import LANGUAGE_MODEL, Say, Task, make_task, read_corpus
from loops.generators import GENERATORS, Desk, Output, Sample
from loops.provenance import commit
from loops.row_file import Row

NEW_TOKENS = 200
STORY_WORDS, STORY_REAL = 80, 160
"""Words of every passage, and real passages, that the story judge reads: each text twice, which is most of the time."""
JUDGE = "gemma3-270m"
"""Reads for coherence and for the story judge; it neither writes nor is steered."""
REFERENCE = "basin-filter"
"""Exact samples of p m / Z, which the others are compared with."""


def evaluate_generation(
    corpora: Sequence[WrittenCorpus],
    folder: Path,
    say: Say,
    *,
    only: Sequence[str] = (),
    concepts: Sequence[str] = (),
    generators: Sequence[str] = (),
    samples: int = 48,
    seed: int = 0,
    passages: int = 240,
    rubric: str | None = None,
) -> list[Row]:
    """A row for every corpus, concept and generator.

    Args:
        folder: where samples, adapters and rows are kept; what is there is not made again.
        only, concepts, generators: names to keep to; all where empty.
        samples: passages of each generator; those that reject keep fewer.
        passages: in an adapter's lesson.
        rubric: a larger, instruction-tuned language model that grades by rubric besides; None: nobody does.

    Raises:
        BasinError: an unknown name, a corpus that cannot be read or has no labels, or as the models' loading.
    """
    chosen = _chosen(corpora, only, concepts, generators)
    rows: list[Row] = []
    for corpus, concept in chosen:
        if not suite.is_present(corpus.pointed_at):
            say(f"{corpus.corpus.source} is not here: {corpus.name}, {concept} is left out.")
            continue
        settings = (
            corpus.model_dump_json(),
            concept,
            samples,
            seed,
            passages,
            LANGUAGE_MODEL.model_dump_json(),
        )
        place = _place(folder / f"{corpus.name}_{concept}".replace(" ", "_"), settings, say)
        task = make_task(corpus, concept, read_corpus(corpus, say), samples, seed, place, say)
        names = [each for each in GENERATORS if not generators or each in generators]
        rows += _evaluate(task, names, passages, rubric, say)
    return rows


def _evaluate(
    task: Task, generators: Sequence[str], passages: int, rubric: str | None, say: Say
) -> list[Row]:
    if task.warning:
        say(f"{task.corpus}, {task.concept}: {task.warning}")
    reader = LanguageModel.load(LanguageModelConfig(name=JUDGE), say)
    coherence = Coherence.fit(task.texts, CoherenceConfig(model=JUDGE, words=100), reader, say)
    config = GenerationConfig(samples=len(task.prompts), new_tokens=NEW_TOKENS, batch_size=32)
    desk = Desk(task, config, coherence, LoraConfig(passages=passages), say)
    outputs: dict[str, Output] = {}
    seconds: dict[str, float] = {}
    speed: dict[str, float | None] = {}
    for name in generators:
        begin = time.perf_counter()
        outputs[name] = GENERATORS[name](desk)
        seconds[name] = _seconds(task, name, time.perf_counter() - begin)
        # Of tokens that are kept: choosing one passage of four writes four.
        written = desk.speeds.get(desk.last)
        speed[name] = written and written * outputs[name].accepted
    rows = _judged(task, outputs, desk, reader, say)
    if rubric is not None:
        _grade(task, outputs, rows, LanguageModel.load(LanguageModelConfig(name=rubric), say), say)
    for row in rows:
        row["seconds"] = seconds[str(row["generator"])]
        row["tokens_per_second"] = speed[str(row["generator"])]
        row["commit"] = commit()
    write_file(task.folder / "rows.json", json.dumps(rows, indent=1).encode())
    return rows


def _judged(
    task: Task, outputs: Mapping[str, Output], desk: Desk, reader: LanguageModel, say: Say
) -> list[Row]:
    """Everything that is said of every generator, at equal lengths."""
    seed = seed_for(task.seed, 0, "judging")
    texts = {
        name: [sample.text for sample in output.samples] for name, output in outputs.items() if output.samples
    }
    embedder = load_embedder(progress=say)

    def embed(chosen: Sequence[str]) -> np.ndarray:
        return embedder.encode(list(chosen), show_progress_bar=False)

    say(f"{task.corpus}, {task.concept}: judging {sum(map(len, texts.values()))} passages")
    found = judge_passages(
        task.unseen, texts, {"a": embedding_judge(embed), "b": word_judge()}, WritingConfig(), seed
    )
    story = {"c": story_judge(reader, task.called, task.contrast, FRAMINGS[:1])}
    found |= judge_passages(
        _some(task.unseen, STORY_REAL, seed), texts, story, WritingConfig(words=STORY_WORDS), seed
    )
    readable = judge_readable(task.unseen, texts, reader, ReadableConfig(passages=120), seed)
    coherent = {name: desk.coherent(outputs[name].samples) for name in texts}
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
        say(f"{task.corpus}, {task.concept}: measuring {name}")
        row: Row = {"corpus": task.corpus, "concept": task.concept, "generator": name, "samples": len(each)}
        row |= {f"cluster_score_{which}": _mean(score) for which, score in scores.items()}
        row |= {f"spread_{which}": _spread(score) for which, score in scores.items()}
        row |= {"inside": report.share, "coherent_share": float(coherent[name].mean())}
        row |= {"inside_and_readable": report.readable_share}
        row |= {"membership": _membership(task, output.samples)}
        row |= {"p_readable": _mean(readable.judgement.generated[name])}
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
        row |= {"auc_readable": readable.judgement.auc, "readable_concept_auc": readable.concept_auc}
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


def _grade(
    task: Task, outputs: Mapping[str, Output], rows: Sequence[Row], grader: LanguageModel, say: Say
) -> None:
    """Adds the mean grades of belonging and of readability, in [1, 5], to every generator's row."""
    for row in rows:
        texts = [sample.text for sample in outputs[str(row["generator"])].samples]
        say(f"{task.corpus}, {task.concept}: grading {row['generator']}")
        row["grade_belongs"] = float(grades(grader, BELONGS, texts, a_name=a_named(task.called)).mean())
        row["grade_readable"] = float(grades(grader, READABLE, texts).mean())


def _membership(task: Task, samples: Sequence[Sample]) -> float:
    """What the refined concept itself says of what was written, in an unsteered pass: no judge, but what might be fooled."""
    read = task.read([sample.prompt + sample.text for sample in samples])
    return float(sigmoid(task.notions["basin"].place(read)).mean())


def _some(real: RealPassages, count: int, seed: int) -> RealPassages:
    """At most `count` of the passages, drawn by the seed."""
    kept = np.zeros(len(real.texts), dtype=bool)
    kept[np.random.default_rng(seed).permutation(len(kept))[:count]] = True
    return real.only(kept)


def _distance(task: Task, output: Output) -> float | None:
    """Nats per token from the base model: exact for a changed model, a bound for a selection."""
    pen, some = output.pen, output.samples[:12]
    changed = 0.0
    if pen.changes:
        changed = divergence_on(
            task.language_model.adapted(pen.adapter),
            task.language_model,
            [sample.prompt for sample in some],
            [sample.text for sample in some],
            pen.vector,
            pen.manner,
            pen.preamble,
            fusion=pen.fusion,
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


def _seconds(task: Task, name: str, seconds: float) -> float:
    """What a generator took, from when it was first made; a later call finds its passages on disk and takes nothing."""
    file = task.folder / "seconds.json"
    known = json.loads(file.read_bytes()) if file.exists() else {}
    if name not in known:
        known[name] = seconds
        task.folder.mkdir(parents=True, exist_ok=True)
        write_file(file, json.dumps(known, indent=1).encode())
    return known[name]


def _place(folder: Path, settings: tuple, say: Say) -> Path:
    """The task's folder; one that was begun with other settings is set aside."""
    digest = hashlib.sha256(repr(settings).encode()).hexdigest()[:16]
    file = folder / "settings.json"
    try:
        if file.exists() and json.loads(file.read_bytes()).get("digest") != digest:
            number = 1
            while (aside := folder.with_name(f"{folder.name}-{number}")).exists():
                number += 1
            folder.rename(aside)
            say(f"{folder.name} was begun with other settings: it is kept as {aside.name}.")
        folder.mkdir(parents=True, exist_ok=True)
        write_file(file, json.dumps({"digest": digest}).encode())
    except (OSError, ValueError) as error:
        raise BasinError(
            f"{folder} cannot be used ({error}); move it away, or name another folder with --out."
        ) from None
    return folder


def _chosen(
    corpora: Sequence[WrittenCorpus], only: Sequence[str], concepts: Sequence[str], generators: Sequence[str]
) -> list[tuple[WrittenCorpus, str]]:
    _require_known("corpus", only, [each.name for each in corpora])
    _require_known("concept", concepts, [name for each in corpora for name in each.concepts])
    _require_known("generator", generators, list(GENERATORS))
    return [
        (each, name)
        for each in corpora
        if not only or each.name in only
        for name in each.concepts
        if not concepts or name in concepts
    ]


def _require_known(what: str, names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]}?" if near else f"choose among {', '.join(dict.fromkeys(known))}."
            raise BasinError(f"There is no {what} {name!r} to evaluate; {hint}")
