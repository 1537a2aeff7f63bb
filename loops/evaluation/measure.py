"""Measures of a finished run against gold labels; never imported by the loop.

`measurements.json` is written beside the rounds.
"""

from __future__ import annotations

import logging
import os

import numpy as np
from jaxtyping import Float

from agent.errors import BasinError, shortened, writing
from agent.files.checked import DamagedError
from agent.hub.embedders import load_embedder
from agent.judging.average_precision import MeasuredRound, MeasuredRun, Row, measure_run
from agent.judging.gold import every_gold_labels
from agent.judging.judges import RealPassages, trained_judges
from agent.judging.writing import WritingConfig, cluster_scores, judge_passages
from agent.language_model.activation_cache import record_cached
from agent.language_model.model import LanguageModel
from agent.types import PassageSet, seed_for
from loops.checkpoint import atomic
from loops.checkpoint.run_models import refuse_other_model
from loops.checkpoint.schema import sealed
from loops.checkpoint.store import RunStore
from loops.evaluation.stored_measures import MEASUREMENTS, read_rows
from loops.records import RoundRecord

logger = logging.getLogger(__name__)


def measure(
    store: RunStore, activations: Float[np.ndarray, "passage layer width"] | None = None
) -> list[Row]:
    """Rows of each round, the labels' main reading first; none without labels.

    Args:
        activations: of the real passages; None: record them.

    Raises:
        BasinError: a round is damaged, or the corpus is not the one the run was made from.
    """
    _require_corpus(store)
    passages = store.load_passages()
    records = [store.load(number) for number in store.rounds()]
    run = _measured_run(store, passages, records, activations)
    readings = every_gold_labels(store.config.corpus, passages.documents)
    seed = seed_for(store.config.seed, 0, "judging")
    rows = [row for labels in readings for row in measure_run(run, labels, store.config.clustering, seed)]
    content = {"rounds": [record.round for record in records], "rows": rows}
    with writing(store.path / MEASUREMENTS, "make room there"):
        atomic.write_file(store.path / MEASUREMENTS, sealed(content))
    return rows


def _require_corpus(store: RunStore) -> None:
    """Raise `BasinError` if the corpus, whose records hold the labels, was moved; a run needs it no more."""
    corpus = store.config.corpus
    if not corpus.is_named and not os.path.exists(corpus.path):
        raise BasinError(
            f"Gold labels of {store.name} would be read from {shortened(corpus.source, 150)}, which is no longer "
            "there: put it back to measure; the run itself does not need it."
        )


def stored_rows(store: RunStore) -> list[Row] | None:
    """Rows that `measure` stored; None where rounds were added since or the file is damaged."""
    if not os.path.lexists(store.path / MEASUREMENTS):
        return None
    try:
        rounds, rows = read_rows(store.path)
    except DamagedError as damage:
        logger.info(
            f"Measurements of {store.name} are not shown ({damage}); `basin measure {store.name}` makes them anew."
        )
        return None
    return rows if rounds == store.rounds() else None


def judge(store: RunStore) -> list[Row]:
    """How much of the last round's text belongs to the concept; no rows without labels or samples.

    Raises:
        BasinError: as `measure`, or the sentence embedder cannot be loaded.
    """
    _require_corpus(store)
    passages, newest = store.load_passages(), store.load(max(store.rounds(), default=0))
    labels = next(iter(every_gold_labels(store.config.corpus, passages.documents)), None)
    if labels is None or not newest.generated:
        return []
    names = {"steered": "basin", "base": "base"}
    written = {
        name: [sample.text for sample in newest.generated if sample.kind == kind]
        for kind, name in names.items()
    }
    embedder = load_embedder()
    logger.info("judging: embedding real and generated passages")
    judgements = judge_passages(
        RealPassages(passages.texts, labels.of_passages(passages.document_of), passages.document_of),
        {name: texts for name, texts in written.items() if texts},
        trained_judges(lambda texts: embedder.encode(list(texts), show_progress_bar=False)),
        WritingConfig(skip_words=store.config.generation.prompt_words),
        seed_for(store.config.seed, 0, "judging"),
    )
    rows: list[Row] = []
    for judge, found in judgements.items():
        for generator in found.generated:
            scores = cluster_scores([found], generator)[0]
            mean = float(np.nanmean(scores)) if np.isfinite(scores).any() else None
            row: Row = {"corpus": labels.corpus, "concept": labels.concept, "round": newest.round}
            row |= {"generator": generator, "judge": judge.upper(), "auc": found.auc}
            rows.append(row | {"samples": len(scores), "cluster_score": mean})
    return rows


def _measured_run(
    store: RunStore,
    passages: PassageSet,
    records: list[RoundRecord],
    activations: Float[np.ndarray, "passage layer width"] | None,
) -> MeasuredRun:
    if activations is None:
        language_model = LanguageModel.load(store.config.language_model)
        refuse_other_model(store, records, language_model)
        activations = record_cached(language_model, passages.texts)
    return MeasuredRun(
        rounds=[MeasuredRound(record.concept, record.metrics, record.cost) for record in records],
        pointer_weights=store.load_pointer().weights(passages.texts),
        activations=activations,
        document_of=passages.document_of,
    )
