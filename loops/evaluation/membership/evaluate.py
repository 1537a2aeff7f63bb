"""`basin evaluate membership`: the refiner and its rivals on documents held out.

Gold labels are read here, to score decisions that were made without them. Each finished concept
has a file of rows, so a stopped evaluation resumes.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from agent.clustering.config import ClusteringConfig
from agent.errors import writing
from agent.hub.embedders import embedder_fingerprint, load_embedder
from agent.judging.average_precision import Row, gap_recovered, measure_membership
from agent.judging.gold import SUITE_GOLD_FILE, GoldLabels, every_gold_labels
from agent.language_model.activation_cache import embed_cached, record_cached
from agent.language_model.load import LanguageModelConfig
from agent.language_model.model import LanguageModel
from agent.membership.log_odds import log_odds
from agent.pointer.word_similarity import Embed, WordSimilarity
from agent.progress import advance
from agent.types import PassageSet
from loops.checkpoint.atomic import begin_folder, write_file
from loops.checkpoint.provenance import commit
from loops.evaluation.membership import suite
from loops.evaluation.membership.methods import METHODS, Turn, claimed_size, read_unseen
from loops.evaluation.membership.suite import SuiteCorpus
from loops.evaluation.tables import CEILING, SHUFFLED, TOPIC
from loops.parallel import run_pieces

logger = logging.getLogger(__name__)

LANGUAGE_MODEL = LanguageModelConfig(name="smollm2-135m", layers=(6, 12, 18))
POINTER_WORDS = 8


@dataclass(frozen=True)
class Corpus:
    """One corpus of the suite, read."""

    config: SuiteCorpus
    passages: PassageSet
    views: Mapping[str, Float[np.ndarray, "passage layer width"]]
    """`activations` and `embeddings`."""
    embed: Embed
    gold: Mapping[str, GoldLabels]
    """By concept."""


@dataclass(frozen=True)
class Case:
    """One concept and seed of a corpus, with the methods that it lacks."""

    corpus: str
    concept: str
    seed: int
    methods: tuple[str, ...]
    known: tuple[Row, ...]
    """Rows of methods that were measured before."""

    @property
    def file(self) -> str:
        return f"{suite.task_name(self.corpus, self.concept)}_{self.seed}.json"

    def __str__(self) -> str:
        return f"{self.corpus}, {self.concept}, seed {self.seed}"


def evaluate_membership(
    corpora: Sequence[SuiteCorpus],
    methods: Sequence[str],
    seeds: Sequence[int],
    folder: Path,
    *,
    only: Sequence[str] = (),
    workers: int = 1,
    ray: str | None = None,
) -> list[Row]:
    """Rows of each corpus, concept, seed and method; rows in `folder` are not computed again.

    Args:
        corpora: the whole suite; when it or the code changes, `folder` is begun anew.
        methods: of `METHODS`, all where empty. The topic and the ceiling are always measured.
        only: names of the corpora to evaluate, all where empty.
        workers, ray: as in `run_pieces`.

    Raises:
        BasinError: an unknown corpus or method, a corpus that cannot be read, or a `folder` that
            cannot be written.
    """
    suite.require_known("method", methods, METHODS)
    suite.require_known("corpus", only, [each.name for each in corpora])
    wanted = [each for each in METHODS if not methods or each in methods or each in (TOPIC, CEILING)]
    chosen = [each for each in corpora if not only or each.name in only]
    begin_folder(folder, _digest(corpora), "another folder with --out")
    present = [each for each in chosen if suite.is_present(each)]
    for each in chosen:
        if each not in present:
            logger.info(f"{each.corpus.source} is not here: the corpus {each.name} is left out.")
    cases = {each.name: _cases(each, seeds, wanted, folder) for each in present}
    rows = [row for each in cases.values() for case in each for row in case.known]
    cases = {name: [case for case in each if case.methods] for name, each in cases.items()}
    count, finished = sum(map(len, cases.values())), 0
    for config in present:
        if not cases[config.name]:
            continue
        corpus = read_corpus(config)
        advance("evaluate", finished, count, "concepts")
        pieces = {str(case): case for case in cases[config.name] if _is_measurable(corpus, case)}
        finished += len(cases[config.name]) - len(pieces)
        advance("evaluate", finished, count, "concepts")
        for name, found in run_pieces(partial(_evaluate, corpus), pieces, workers=workers, ray=ray):
            file = folder / pieces[name].file
            with writing(file, "make room there"):
                write_file(file, json.dumps([*pieces[name].known, *found], indent=1).encode())
            rows += found
            finished += 1
            advance("evaluate", finished, count, "concepts")
    return [row for row in rows if row["method"] in wanted]


def read_corpus(config: SuiteCorpus) -> Corpus:
    """Passages, their features, and the gold labels."""
    passages = suite.load_passages(config)
    logger.info(f"{config.name}: {passages.description}")
    labels = every_gold_labels(config.corpus, passages.documents, SUITE_GOLD_FILE)
    views = {"activations": record_cached(LanguageModel.load(LANGUAGE_MODEL), passages.texts)}
    embedder = load_embedder()
    views["embeddings"] = embed_cached(embedder, embedder_fingerprint(), passages.texts)
    return Corpus(config, passages, views, embedder.encode, {each.concept: each for each in labels})


def _digest(corpora: Sequence[SuiteCorpus]) -> str:
    """16 hex digits that change with the suite, the refiner's defaults and the code."""
    parts = [each.model_dump(mode="json") for each in corpora]
    content = json.dumps([parts, ClusteringConfig().model_dump(mode="json"), commit()], sort_keys=True)
    return hashlib.sha256(content.encode("utf-8")).hexdigest()[:16]


def _cases(config: SuiteCorpus, seeds: Sequence[int], wanted: Sequence[str], folder: Path) -> list[Case]:
    """Every concept and seed of a corpus, with what was measured before and what was not."""
    cases = []
    for seed in seeds:
        for concept in config.concepts:
            case = Case(config.name, concept, seed, tuple(wanted), ())
            file = folder / case.file
            known: list[Row] = json.loads(file.read_bytes()) if file.exists() else []
            methods = tuple(each for each in wanted if each not in {row["method"] for row in known})
            cases.append(replace(case, methods=methods, known=tuple(known)))
    return cases


def _hidden(corpus: Corpus, seed: int) -> list[Bool[np.ndarray, "document"]]:
    """The unseen documents of each turn."""
    parts = suite.parts(corpus.passages, seed)
    return [parts == part for part in (range(suite.PARTS) if corpus.config.rotate else [0])]


def _is_measurable(corpus: Corpus, case: Case) -> bool:
    """Whether both kinds of documents are among the unseen, and among each turn's seen ones."""
    labels = corpus.gold.get(case.concept)
    if labels is None:
        logger.info(f"{case.corpus}, {case.concept}: there are no gold labels, so it is left out.")
        return False
    turns = _hidden(corpus, case.seed)
    unseen = np.concatenate([labels.labels[hidden & labels.counted] for hidden in turns])
    seen = [labels.labels[~hidden & labels.counted] for hidden in turns]
    if all(len(np.unique(part)) == 2 for part in [unseen, *seen]):
        return True
    logger.info(
        f"{case}: {int(unseen.sum())} of {len(unseen)} unseen documents belong, which leaves nothing to tell "
        "apart, so it is left out."
    )
    return False


def _evaluate(corpus: Corpus, case: Case) -> list[Row]:
    """Rows of the methods that a case lacks."""
    turns = [_turn(corpus, case, hidden) for hidden in _hidden(corpus, case.seed)]
    gold = corpus.gold[case.concept].of_passages(corpus.passages.document_of)
    pointer = turns[0].pointed.pointer
    words = " ".join(pointer.model.top_words(pointer.topic, POINTER_WORDS))
    true_size = float(np.mean([gold[turn.labelled].mean() for turn in turns]))
    rows: list[Row] = []
    for method in case.methods:
        readings = [read_unseen(method, turn, gold, case.seed) for turn in turns]
        row: Row = {"corpus": case.corpus, "concept": case.concept, "seed": case.seed, "method": method}
        row |= measure_membership(readings, [gold[turn.unseen] for turn in turns], true_size)
        row["pointer_words"] = words
        if method == SHUFFLED:
            row["size_ratio"] = None
        rows.append(row)
    found: dict[str, Any] = {str(row["method"]): row for row in (*case.known, *rows)}
    for row in rows:
        for kind in ("single", "pooled"):
            own, topic, ceiling = (found[name][f"ap_{kind}"] for name in (str(row["method"]), TOPIC, CEILING))
            row[f"pgr_{kind}"] = gap_recovered(own, topic, ceiling)
    return rows


def _turn(corpus: Corpus, case: Case, hidden: Bool[np.ndarray, "document"]) -> Turn:
    config, document_of = corpus.config, corpus.passages.document_of
    pointed = suite.point(config, corpus.passages, hidden, case.seed, case.concept)
    seen, counted = ~hidden[document_of], corpus.gold[case.concept].counted[document_of]
    topic, embeddings = log_odds(pointed.reading.weights), corpus.views["embeddings"][:, 0]
    words = config.concepts[case.concept]
    similarity = WordSimilarity.fit(words, corpus.embed, topic[seen], embeddings[seen])
    return Turn(
        pointed=pointed,
        pointer=similarity.joined(topic, embeddings),
        views=corpus.views,
        document_of=document_of,
        seen=seen,
        unseen=~seen & counted,
        labelled=seen & counted,
        claimed=claimed_size(pointed, seen, document_of, config.pointer == "seed_words"),
    )
