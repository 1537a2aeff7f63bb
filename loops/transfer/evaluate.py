"""After a stitching: what judges trained on gold labels make of what was written. The stitching itself never comes here."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from agent.errors import BasinError
from agent.hub.embedders import load_embedder
from agent.judging.decisions import Judgement, RealPassages
from agent.judging.gold import SUITE_GOLD_FILE, GoldLabels, every_gold_labels, gold_labels
from agent.judging.inside import cluster_scores
from agent.judging.writing import WritingConfig, embedding_judge, judge_passages, word_judge
from agent.transfer.effect import effect
from agent.types import seed_for
from loops.checkpoint.atomic import write_file
from loops.checkpoint.schema import sealed
from loops.checkpoint.store import RunStore
from loops.evaluation.measure import measure, stored_rows
from loops.evaluation.membership.suite import require_known
from loops.transfer.effects import BASE, NATIVE, Pushed
from loops.transfer.stitch import COMPARED, Stitched

logger = logging.getLogger(__name__)

MEASURED = "measured.json"


def labels_of(store: RunStore, label: str | None) -> GoldLabels | None:
    """The labels that a run's stitching is to be judged by: asked for before anything is written, used after.

    Args:
        label: their name in the suites; None for the corpus's main ones.

    Returns:
        None where the corpus has none, or, none being named, is not to be had any more; why is said.

    Raises:
        BasinError: there are no labels of that name.
    """
    documents = store.load_passages().documents
    if label is not None:
        named = every_gold_labels(store.config.corpus, documents, SUITE_GOLD_FILE)
        if not named:
            raise BasinError(
                f"{store.config.corpus.source} has no gold labels to judge by; leave --label out."
            )
        require_known("label", [label], [each.concept for each in named])
        return next(each for each in named if each.concept == label)
    try:
        return gold_labels(store.config.corpus, documents)
    except BasinError as error:
        logger.info(f"Not judged against gold labels: {error}")
        return None


def measure_stitch(
    found: Stitched, store: RunStore, labels: GoldLabels, folder: Path
) -> list[dict[str, Any]]:
    """A row for every vector: effect and ratio by judge A, judge B and their mean; kept in `folder`.

    Judge A reads sentence embeddings, judge B word n-grams; both are trained on real passages of the run's corpus and cut
    to one length. Effects are in cluster scores, see `agent.judging.writing.cluster_score`.

    Raises:
        BasinError: nothing is long enough to judge, or the disk refuses.
    """
    passages = store.load_passages()
    embedder = load_embedder()
    logger.info("judging: real passages, and what was written with every vector")
    real = RealPassages(passages.texts, labels.of_passages(passages.document_of), passages.document_of)
    real = real.only(labels.counted[passages.document_of])
    judgements = judge_passages(
        real,
        {_name(each): list(each.texts) for each in found.pushed},
        {
            "a": embedding_judge(lambda texts: embedder.encode(list(texts), show_progress_bar=False)),
            "b": word_judge(),
        },
        WritingConfig(skip_words=store.config.generation.prompt_words),
        seed_for(store.config.seed, 0, "judging"),
    )
    rows = [_row(found, each, judgements) for each in found.pushed]
    content = {"concept": labels.concept, "corpus": labels.corpus, "rows": rows}
    content["auc"] = {name: judgement.auc for name, judgement in judgements.items()}
    try:
        write_file(folder / MEASURED, sealed(content))
    except OSError as error:
        raise BasinError(f"{folder / MEASURED} cannot be written ({error}); make room there.") from None
    return rows


def _row(found: Stitched, pushed: Pushed, judgements: dict[str, Judgement]) -> dict[str, Any]:
    row: dict[str, Any] = {"model": pushed.model, "vector": pushed.name, "kind": pushed.kind}
    scores = {
        name: cluster_scores(list(judgements.values()), _name(each))
        for name, each in _compared_with(found, pushed).items()
    }
    for judge, at in (("a", slice(0, 1)), ("b", slice(1, 2)), ("mean", slice(0, 2))):
        read = {name: _mean(each[at]) for name, each in scores.items()}
        told = effect(read["own"], read[BASE], read.get(NATIVE), draws=max(1, len(pushed.vectors)))
        compared = pushed.kind in COMPARED
        row |= {
            f"score_{judge}": float(np.nanmean(read["own"])) if np.isfinite(read["own"]).any() else None,
            f"effect_{judge}": _plain(told.mean),
            f"effect_{judge}_error": _plain(told.error),
            f"ratio_{judge}": told.ratio if compared else None,
            f"ratio_{judge}_error": told.ratio_error if compared else None,
        }
    return row | {"auc_a": judgements["a"].auc, "auc_b": judgements["b"].auc}


def _compared_with(found: Stitched, pushed: Pushed) -> dict[str, Pushed]:
    both = {"own": pushed, BASE: found.of(pushed.model, BASE)}
    return both | ({NATIVE: found.of(found.second, NATIVE)} if pushed.model == found.second else {})


def _mean(scores: Float[np.ndarray, "judge text"]) -> Float[np.ndarray, "text"]:
    """Of the judges that can tell members from others; NaN for a text that one of them could not judge."""
    able = np.isfinite(scores).any(axis=1)
    return scores[able].mean(0) if able.any() else np.full(scores.shape[1], np.nan)


def _name(pushed: Pushed) -> str:
    return f"{pushed.model}/{pushed.name}"


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


CHAIN_MEASURED = "measured.json"


def measure_chain(folder: Path, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for every run of the chain, the first with it: average precision of what it received and of what it made of it.

    Precision is of held-out readings: no passage is scored by a classifier that was fitted on its document. Empty where the
    corpus has no gold labels. Raises `BasinError` as `loops.evaluation.measure.measure`.
    """
    paths = sorted(path.parent for path in folder.glob("[0-9][0-9]_*/run.json"))
    accepted = {row["to_run"]: row["accepted"] for row in rows}
    measured = []
    for path in paths:
        store = RunStore.open(path)
        if not store.rounds():
            continue
        found = stored_rows(store)
        found = measure(store) if found is None else found
        if not found:
            return []
        # The main reading of the labels has as many rows as the run has rounds, and comes first.
        began, ended = found[0], found[len(store.every()) - 1]
        measured.append(
            {"run": store.name, "model": store.config.language_model.name, "round": ended["round"]}
            | {
                "accepted": accepted.get(store.name, True),
                "concept": ended["concept"],
                "corpus": ended["corpus"],
            }
            | {"ap_topic": ended["ap_topic"], "ap_topic_pooled": ended["ap_topic_pooled"]}
            | {"ap_received": began["ap_concept"], "ap_received_pooled": began["ap_concept_pooled"]}
            | {"ap": ended["ap_concept"], "ap_pooled": ended["ap_concept_pooled"]}
            | {"ap_ceiling": ended["ap_ceiling"], "ap_ceiling_pooled": ended["ap_ceiling_pooled"]}
        )
    write_file(folder / CHAIN_MEASURED, sealed({"rows": measured}))
    return measured
