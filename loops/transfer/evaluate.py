"""Stitchings and chains compared with gold labels, after they are finished."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from agent.errors import BasinError, writing
from agent.hub.embedders import load_embedder
from agent.judging.gold import gold_labels
from agent.judging.judges import RealPassages, trained_judges
from agent.judging.writing import Judgement, WritingConfig, cluster_scores, judge_passages
from agent.types import seed_for
from loops.checkpoint.atomic import write_file
from loops.checkpoint.schema import sealed
from loops.checkpoint.store import RunStore
from loops.evaluation.measure import measure, stored_rows
from loops.transfer.stitch import Stitching
from loops.transfer.trials import COMPARED, Trial

logger = logging.getLogger(__name__)

MEASURED = "measured.json"

Row = dict[str, Any]


def measure_stitch(found: Stitching, store: RunStore, folder: Path) -> list[Row]:
    """A row for every translated or control vector, stored in `folder`: its ratio to the native
    effect by judges A, B and their mean.

    Judge A reads sentence embeddings, judge B word n-grams. Both are trained on real passages of
    the run's corpus, cut to one length. Effects are in cluster scores, see
    `agent.judging.writing.cluster_scores`. Empty where the corpus has no gold labels.

    Raises:
        BasinError: no text is long enough to judge, or the disk refuses.
    """
    passages = store.load_passages()
    try:
        labels = gold_labels(store.config.corpus, passages.documents)
    except BasinError as error:
        logger.info(f"Not judged against gold labels: {error}")
        return []
    if labels is None:
        return []
    logger.info("judging: real passages, and the texts of every vector")
    embedder = load_embedder()
    real = RealPassages(passages.texts, labels.of_passages(passages.document_of), passages.document_of)
    judgements = judge_passages(
        real.only(labels.counted[passages.document_of]),
        {_name(each): list(each.texts) for each in found.trials},
        trained_judges(lambda texts: embedder.encode(list(texts), show_progress_bar=False)),
        WritingConfig(skip_words=store.config.generation.prompt_words),
        seed_for(store.config.seed, 0, "judging"),
    )
    compared = [each for each in found.trials if each.kind in COMPARED]
    rows = [{"concept": labels.concept, **_row(found, each, judgements)} for each in compared]
    auc = {name: judgement.auc for name, judgement in judgements.items()}
    content = {"concept": labels.concept, "corpus": labels.corpus, "rows": rows, "auc": auc}
    with writing(folder / MEASURED, "make room there"):
        write_file(folder / MEASURED, sealed(content))
    return rows


def _row(found: Stitching, trial: Trial, judgements: Mapping[str, Judgement]) -> Row:
    row: Row = {"model": trial.model, "vector": trial.name, "kind": trial.kind}
    for judge, at in (("a", slice(0, 1)), ("b", slice(1, 2)), ("mean", slice(0, 2))):

        def readings(each: Trial, at: slice = at) -> Float[np.ndarray, "text"]:
            return _mean(cluster_scores(list(judgements.values()), _name(each))[at])

        effect = found.effect(trial, readings)
        row |= {f"ratio_{judge}": effect.ratio, f"ratio_{judge}_error": effect.ratio_error}
    return row


def _mean(scores: Float[np.ndarray, "judge text"]) -> Float[np.ndarray, "text"]:
    """Of the judges that can tell members from others; NaN where one of them is missing."""
    able = np.isfinite(scores).any(axis=1)
    mean: np.ndarray = scores[able].mean(0) if able.any() else np.full(scores.shape[1], np.nan)
    return mean


def _name(trial: Trial) -> str:
    return f"{trial.model}/{trial.name}"


def measure_chain(folder: Path, rows: Sequence[Row]) -> list[Row]:
    """A row for every run of the chain: AP of the received and of the last concept, held out.

    Empty where the corpus has no gold labels. Raises `BasinError` as
    `loops.evaluation.measure.measure`.
    """
    accepted = {row["to_run"]: row["accepted"] for row in rows}
    measured: list[Row] = []
    for path in sorted(path.parent for path in folder.glob("[0-9][0-9]_*/run.json")):
        store = RunStore.open(path)
        if not store.rounds():
            continue
        found = stored_rows(store)
        found = measure(store) if found is None else found
        if not found:
            return []
        # The main reading of the labels comes first, with as many rows as the run has rounds.
        began, ended = found[0], found[len(store.rounds()) - 1]
        row = {
            "run": store.name,
            "model": store.config.language_model.name,
            "accepted": accepted.get(store.name, True),
            **{key: ended[key] for key in ("round", "concept", "corpus")},
        }
        for pooled in ("", "_pooled"):
            received, last = (each[f"ap_concept{pooled}"] for each in (began, ended))
            row |= {f"ap_received{pooled}": received, f"ap{pooled}": last}
            row |= {name + pooled: ended[name + pooled] for name in ("ap_topic", "ap_ceiling")}
        measured.append(row)
    write_file(folder / MEASURED, sealed({"rows": measured}))
    return measured
