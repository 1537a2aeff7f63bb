"""`basin evaluate membership`: the refiner and its rivals over the suite, on documents that nothing was fitted on.

A side branch like `loops/evaluation/measure.py`: gold labels are read here, to score what has been decided without them. Every
finished concept is appended to a file at once, so that an evaluation that was stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from agent.clustering.config import ClusteringConfig
from agent.hub.embedders import EMBEDDED_EMBEDDER, load_embedder
from agent.judging.average_precision import best_gap, exchanged_counts, gap_recovered, measure_membership
from agent.judging.gold import SUITE_GOLD_FILE, GoldLabels, every_gold_labels
from agent.language_model.activation_cache import embed_cached, record_cached
from agent.language_model.model import LanguageModel, LanguageModelConfig
from agent.pointer.topic_model import PointerReading
from agent.progress import advance
from agent.types import PassageSet
from loops.checkpoint.provenance import commit
from loops.evaluation.membership import suite
from loops.evaluation.membership.methods import METHODS, NULLS, OWN, Outcome, Turn, claimed_size, outcome
from loops.evaluation.membership.suite import SuiteCorpus
from loops.evaluation.membership.summary import CEILING, TOPIC
from loops.evaluation.rows import Row, RowFile

logger = logging.getLogger(__name__)

LANGUAGE_MODEL = LanguageModelConfig(name="smollm2-135m", layers=(6, 12, 18))
POINTER_WORDS = 8


@dataclass(frozen=True)
class Corpus:
    """One corpus of the suite, read."""

    config: SuiteCorpus
    passages: PassageSet
    views: Mapping[str, Float[np.ndarray, "passage layer width"]]
    """`activations`, and `embeddings` where a method wants them."""
    function_words: PointerReading
    gold: Mapping[str, GoldLabels]
    """By concept."""


def evaluate_membership(
    corpora: Sequence[SuiteCorpus],
    methods: Sequence[str],
    seeds: Sequence[int],
    done: Path,
    *,
    only: Sequence[str] = (),
) -> list[Row]:
    """Rows of every corpus, concept, seed and method; those in `done` already are not computed again.

    Args:
        corpora: the whole suite: when it changes, `done` is begun anew.
        methods: of `METHODS`, all of them where empty; the topic and the ceiling, which others are compared with, always.
        only: names of the corpora to evaluate; all of them where empty.

    Raises:
        BasinError: an unknown corpus or method, a corpus that cannot be read, or a `done` that cannot be written.
    """
    suite.require_known("method", methods, METHODS)
    suite.require_known("corpus", only, [each.name for each in corpora])
    wanted = [each for each in METHODS if not methods or each in methods or each in (TOPIC, CEILING)]
    chosen = [each for each in corpora if not only or each.name in only]
    file = RowFile.open(done, _digest(corpora))
    present = [each for each in chosen if suite.is_present(each)]
    for each in chosen:
        if each not in present:
            logger.info(f"{each.corpus.source} is not here: the corpus {each.name} is left out.")
    missing = {
        (each.name, concept, seed): left
        for each in present
        for concept in each.concepts
        for seed in seeds
        if (left := _missing(file.rows, (each.name, concept, seed), wanted))
    }
    finished = 0
    for config in present:
        if not any(name == config.name for name, _, _ in missing):
            continue
        corpus = read_corpus(config, wanted)
        advance("evaluate", finished, len(missing), "concepts")
        for seed in seeds:
            concepts = [each for each in config.concepts if (config.name, each, seed) in missing]
            measurable = [each for each in concepts if _is_measurable(corpus, each, seed)]
            if len(measurable) < len(concepts):
                finished += len(concepts) - len(measurable)
                advance("evaluate", finished, len(missing), "concepts")
            for concept, turns in _turns(corpus, seed, measurable):
                where = (config.name, concept, seed)
                file.append(_rows(corpus, where, turns, missing[where], file.rows))
                finished += 1
                advance("evaluate", finished, len(missing), "concepts")
    return [
        row
        for row in file.rows
        if row["corpus"] in {each.name for each in chosen}
        and row["seed"] in seeds
        and row["method"] in wanted
    ]


def read_corpus(config: SuiteCorpus, methods: Sequence[str]) -> Corpus:
    """Passages, their activations (and embeddings, where a method needs them) and the gold labels."""
    passages = suite.load_passages(config)
    logger.info(f"{config.name}: {passages.description}")
    labels = every_gold_labels(config.corpus, passages.documents, SUITE_GOLD_FILE)
    views = {"activations": record_cached(LanguageModel.load(LANGUAGE_MODEL), passages.texts)}
    if any(method in OWN and OWN[method][0] == "embeddings" for method in methods):
        embedder = load_embedder(EMBEDDED_EMBEDDER)
        views["embeddings"] = embed_cached(embedder, EMBEDDED_EMBEDDER, passages.texts)
    function_words = suite.function_words(passages.texts, config.topics.language)
    return Corpus(config, passages, views, function_words, {each.concept: each for each in labels})


def _digest(corpora: Sequence[SuiteCorpus]) -> str:
    """16 hex digits that change with the suite, the refiner's defaults and the code."""
    parts = [each.model_dump(mode="json") for each in corpora]
    content = json.dumps([parts, ClusteringConfig().model_dump(mode="json"), commit()], sort_keys=True)
    return hashlib.sha256(content.encode("utf-8")).hexdigest()[:16]


def _of(rows: Sequence[Row], where: tuple[str, str, int]) -> dict[str, Row]:
    """The rows of one corpus, concept and seed by method."""
    return {str(row["method"]): row for row in rows if (row["corpus"], row["concept"], row["seed"]) == where}


def _missing(rows: Sequence[Row], where: tuple[str, str, int], wanted: Sequence[str]) -> list[str]:
    known = _of(rows, where)
    return [method for method in wanted if method not in known]


def _hidden(corpus: Corpus, seed: int) -> list[Int[np.ndarray, "document"]]:
    """Which documents are unseen, turn by turn."""
    parts = suite.parts(corpus.passages, seed)
    return [parts == part for part in (range(suite.PARTS) if corpus.config.rotate else [0])]


def _is_measurable(corpus: Corpus, concept: str, seed: int) -> bool:
    """Whether both kinds of document are among the unseen ones together, and among the seen ones of every turn."""
    labels = corpus.gold.get(concept)
    if labels is None:
        logger.info(f"{corpus.config.name}, {concept}: there are no gold labels, so it is left out.")
        return False
    turns = _hidden(corpus, seed)
    unseen = np.concatenate([labels.labels[hidden & labels.counted] for hidden in turns])
    seen = [labels.labels[~hidden & labels.counted] for hidden in turns]
    if all(len(np.unique(part)) == 2 for part in [unseen, *seen]):
        return True
    logger.info(
        f"{corpus.config.name}, {concept}, seed {seed}: {int(unseen.sum())} of {len(unseen)} unseen documents belong, "
        "which leaves nothing to tell apart, so it is left out."
    )
    return False


def _turns(corpus: Corpus, seed: int, concepts: Sequence[str]) -> Iterator[tuple[str, list[Turn]]]:
    """The turns of every concept, as soon as its topics are fitted.

    Concepts that share a topic model come together, others one by one, so that little is lost to a kill.
    """
    config, document_of = corpus.config, corpus.passages.document_of
    groups = [[each] for each in concepts] if config.pointer == "seed_words" else [list(concepts)]
    for group in groups:
        turns: dict[str, list[Turn]] = {concept: [] for concept in group}
        for hidden in _hidden(corpus, seed) if group else []:
            for pointed in suite.pointers(config, corpus.passages, hidden, seed, group):
                seen, counted = ~hidden[document_of], corpus.gold[pointed.concept].counted[document_of]
                seeded = config.pointer == "seed_words"
                claimed = claimed_size(pointed, seen, document_of, seeded)
                turns[pointed.concept].append(
                    Turn(
                        pointed,
                        corpus.function_words,
                        corpus.views,
                        document_of,
                        seen,
                        ~seen & counted,
                        seen & counted,
                        claimed,
                        seeded,
                    )
                )
        yield from turns.items()


def _rows(
    corpus: Corpus,
    where: tuple[str, str, int],
    turns: Sequence[Turn],
    methods: Sequence[str],
    known: Sequence[Row],
) -> list[Row]:
    """Rows of the methods for one concept and seed; `known` has the rows that were there before."""
    name, concept, seed = where
    gold = corpus.gold[concept].of_passages(corpus.passages.document_of)
    rows = []
    for method in methods:
        outcomes = [outcome(method, turn, gold, seed) for turn in turns]
        rows.append(
            {"corpus": name, "concept": concept, "seed": seed, "method": method}
            | _measured(outcomes, turns, gold)
            | {"pointer_words": " ".join(_top_words(turns[0]))}
        )
        if method in NULLS:
            rows[-1]["size_ratio"] = None
    found = _of([*known, *rows], where)
    for row in rows:
        for kind in ("single", "pooled"):
            topic, ceiling = found[TOPIC][f"ap_{kind}"], found[CEILING][f"ap_{kind}"]
            row[f"pgr_{kind}"] = gap_recovered(row[f"ap_{kind}"], topic, ceiling)
    return rows


def _measured(outcomes: Sequence[Outcome], turns: Sequence[Turn], gold: np.ndarray) -> Row:
    """What gold says of a method; counts are sums over the turns, `moved` their mean."""
    golds = [gold[turn.unseen] for turn in turns]
    true_size = float(np.mean([gold[turn.labelled].mean() for turn in turns]))
    row: Row = measure_membership([each.reading for each in outcomes], golds, true_size)
    row |= {"pgr_single": None, "pgr_pooled": None, "moved": None, "best_gap": None}
    if all(each.moved is not None for each in outcomes):
        row["moved"] = float(np.mean([each.moved for each in outcomes]))
    if all(each.rounds for each in outcomes):
        row["best_gap"] = best_gap([each.rounds for each in outcomes], golds)
        counted = [turn.labelled[turn.seen] for turn in turns]
        row |= exchanged_counts(
            np.concatenate([each.before[kept] for each, kept in zip(outcomes, counted, strict=True)]),
            np.concatenate([each.after[kept] for each, kept in zip(outcomes, counted, strict=True)]),
            np.concatenate([gold[turn.labelled] for turn in turns]),
        )
    return row


def _top_words(turn: Turn) -> list[str]:
    pointer = turn.pointed.pointer
    return pointer.model.top_words(pointer.topic, POINTER_WORDS)
