"""The loop: generate, record, recluster, update, track, and again until the notion stops moving.

`run_round` is a function from a concept to the next one; it touches no disk. `run` and `resume` fold it over the
rounds and save each. Nothing here, nor anything this file imports, can read a gold label.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from agent.basin.natural_latent import natural_latent
from agent.basin.tracking import Exchange, collapse, exchanged, is_still, kept, movement
from agent.clustering.finish import Reclustering
from agent.clustering.redraw import redraw
from agent.clustering.texts import Texts
from agent.concept import Concept
from agent.corpora.load import load_corpus
from agent.corpora.passages import split
from agent.errors import BasinError
from agent.language_model.coherence import CoherenceReport
from agent.language_model.model import LanguageModel
from agent.membership.documents import document_mean
from agent.membership.log_odds import log_odds, sigmoid, threshold
from agent.pointer.cache import FitCache
from agent.progress import begin_stage
from agent.steering.gate import PLAIN
from agent.steering.vector import SteeringVector
from agent.types import seed_for
from agent.updating import Method, Update, update
from loops.checkpoint.store import RunStore
from loops.config import RunConfig
from loops.monitor.loggers import open_logs, require_loggers
from loops.records import Generated, Metrics, RoundRecord, refuse_other_model
from loops.report.make import refresh
from loops.round.adapter import train_adapter
from loops.round.certify import certify_run, told
from loops.round.context import Costs, RunContext, prepare
from loops.round.partial import read_in_parts, write_in_parts
from loops.round.pointer import calibrated_start, find_pointer, spoken, starting_vector
from loops.round.writing import openings

logger = logging.getLogger(__name__)


def run(config: RunConfig, store: RunStore) -> RunContext:
    """Point at the concept, then refine it until it is still, has collapsed, or `config.rounds` are over."""
    require_loggers(config.logging)
    costs = Costs(0)
    with costs.stage("topics"):
        start = starting_vector(config.updating)
        loaded = load_corpus(config.corpus)
        passages = split(loaded, config.passages)
        logger.info(f"Corpus: {passages.description}")
        if said := spoken(config.topics, config.language_model.name, config.coherence.model):
            logger.info(said)
        pointer = find_pointer(config, loaded, passages, FitCache(store.scratch / "topics"))
    context = prepare(config, passages, pointer, costs, store.scratch)
    first = first_record(context, costs, given=start)
    store.save(first, passages, pointer)
    _refine([first], context, store, config.rounds)
    return context


def resume(store: RunStore, rounds: int | None) -> RunContext:
    """Go on from the last whole round; the texts and the pointer come from round 0, not from the corpus.

    Rounds that are asked for by number are run even where the notion is still: that is how a fixed point is tried.
    """
    require_loggers(store.config.logging)
    records = _whole_rounds(store)
    if not records:
        return run(store.config, store)
    costs = Costs(records[-1].round + 1)
    context = prepare(store.config, store.load_passages(), store.load_pointer(), costs, store.scratch)
    refuse_other_model(store.name, records, context.language_model)
    _refine(records, context, store, rounds or store.config.rounds, when_still=rounds is not None)
    return context


def flow(
    context: RunContext,
    store: RunStore,
    rounds: int,
    received: Concept | None = None,
    *,
    when_still: bool = True,
) -> list[RoundRecord]:
    """Rounds of a run whose ground is at hand already, from its last whole one on.

    Args:
        received: what a run without rounds begins with instead of what the pointer claims.
        when_still: run all rounds, also where the notion is still.
    """
    records = _whole_rounds(store)
    if not records:
        records = [first_record(context, Costs(0), received)]
        store.save(records[0], context.passages, context.pointer)
    refuse_other_model(store.name, records, context.language_model)
    _refine(records, context, store, rounds, when_still)
    return records


def _whole_rounds(store: RunStore) -> list[RoundRecord]:
    """All rounds up to the newest whole one, the first and the last in full; a damaged one is set aside."""
    newest = store.load_newest()
    if newest is None or newest.round == 0:
        records = [] if newest is None else [newest]
    else:
        between = [store.load_kept(number).remembered() for number in range(1, newest.round)]
        records = [store.load(0), *between, newest]
    for record in records:
        _refuse_without(store, record)
    return records


def _refuse_without(store: RunStore, record: RoundRecord) -> None:
    """A round that lacks a number that the next ones are decided by cannot be gone on from."""
    needed = ("drift", "collapsed") if record.round else ("no_concept", "collapsed", "base_coherence")
    missing = [name for name in needed if name not in record.metrics]
    if record.round and record.metrics.get("drift", 0.0) is None:
        missing.append("drift")
    if missing:
        raise BasinError(
            f"Round {record.round} of {store.name} does not say its {missing[0]}; move it and later rounds away, then "
            f"`basin resume {store.name}` writes them anew."
        )


def _refine(
    records: list[RoundRecord], context: RunContext, store: RunStore, rounds: int, when_still: bool = False
) -> None:
    with open_logs(store) as logs:
        logs.keep(records)
        while (ended := ending(records, rounds, context.config, when_still)) is None:
            # So that there is something to look at while the round runs.
            refresh(store, records, context)
            record = run_round(records, context)
            _require_numbers(record)
            store.save(record)
            if len(records) > 1:
                records[-1] = records[-1].remembered()
            records.append(record)
            logs.keep(records)
            logger.info(_summary(record))
    store.forget_unfinished()
    begin_stage(records[-1].round, "certify")
    if (found := certify_run(context, records)) is not None:
        certificate = told(found, context, records)
        store.save_certificate(certificate)
        logger.info(str(certificate["sentence"]))
    logger.info(ended)
    refresh(store, records, context)


def _require_numbers(record: RoundRecord) -> None:
    """A round that came out with something that is no number is not kept: the next ones would be made from it.

    Raises `BasinError`, which names the first of them.
    """
    for name, value in record.metrics.items():
        if isinstance(value, float) and not np.isfinite(value):
            raise BasinError(
                f"Round {record.round} came out with a number that is none ({name}), and is not kept; earlier rounds are: "
                "use dtype float32, steer less (updating.budget_nats), or lower updating.adapting.lora.learning_rate."
            )


def ending(
    records: Sequence[RoundRecord], rounds: int, config: RunConfig, when_still: bool = False
) -> str | None:
    """The sentence that says why no further round is run, or None when one is; `when_still` goes on after that."""
    last = records[-1]
    if records[0].metrics["no_concept"]:
        return str(records[0].metrics["no_concept"])
    drifts = [record.number("drift") for record in records[1:]]
    if last.metrics["collapsed"]:
        return f"Stopped: the run collapsed in round {last.round}, {last.metrics['collapsed']}."
    if is_still(drifts, config.tracking) and not (when_still and last.round < rounds):
        return f"Converged: drift stayed under {config.tracking.drift_bound} for {config.tracking.patience} rounds."
    if last.round >= rounds:
        return f"Stopped after {rounds} rounds, before the notion was still; `basin resume` goes on."
    return None


def first_record(
    context: RunContext, costs: Costs, received: Concept | None = None, given: SteeringVector | None = None
) -> RoundRecord:
    """Round 0: the pointer, or what was received, taken for the concept; a first vector, and what the base model writes.

    Args:
        given: a generator from elsewhere, taken instead of the first vector.
    """
    concept = received or _pointed_at(context)
    with costs.stage("update"):
        step = _update(context, concept, context.config.updating.budget_nats, method="mean_difference")
    with costs.stage("generate"):
        base = _write(context, concept, "base")
    if received is None or received.vector is None:  # a vector that was handed over is tried as it came
        concept = replace(concept, vector=step.vector, nats_per_token=step.nats_per_token, mode=step.mode)
        if given is not None:
            vector, nats = calibrated_start(
                context.language_model, given, context.config.updating, context.passages.texts
            )
            concept = replace(concept, vector=vector, nats_per_token=nats, mode=PLAIN)
    with costs.stage("coherence"):
        report = _checked(context, base)
        base = list(_judged(base, report))
    degenerate = _degenerate(context, concept, costs)
    with costs.stage("record"):
        written = _read(context, [*base, *degenerate])
    at = threshold(context.real.pointer_log_odds, context.size)
    generated = _placed([*base, *degenerate], sigmoid(written.pointer_log_odds - at))
    trust, words = context.prior.trust, context.config.topics.words
    metrics: Metrics = {
        "round": 0,
        "topic": context.pointer.topic,
        "words": " ".join(context.pointer.model.top_words(context.pointer.topic)),
        "words_held": len(context.pointer.holds(words)) if words else None,
        "size": float(concept.membership.mean()),
        "members": len(concept.members()),
        "base_coherence": report.share,
        "nats_per_token": concept.nats_per_token,
        "drift": None,
        "z_score": trust.z_score,
        "pointer_loading": trust.pointer_loading,
        "evidence_loading": trust.evidence_loading,
        "no_concept": context.no_concept,
        "collapsed": None,
    }
    return RoundRecord(0, concept, metrics, tuple(generated), written.activations, costs.total())


def _pointed_at(context: RunContext) -> Concept:
    single = context.real.pointer_log_odds
    pooled = document_mean(single, context.passages.document_of)
    return Concept(
        0, context.prior.membership, single.copy(), pooled, context.size, size_curve=context.prior.size_curve
    )


def run_round(records: Sequence[RoundRecord], context: RunContext) -> RoundRecord:
    """One round: from the last concept and the real texts to the next concept.

    Touches no disk, but for what writing and training keep in `fixed.scratch` while they run.
    """
    config, last = context.config, records[-1].concept
    number = last.round + 1
    costs = Costs(number)
    with costs.stage("generate"):
        steered = _write(context, last, "steered")
    with costs.stage("coherence"):
        report = _checked(context, steered)
    with costs.stage("record"):
        first, steered = records[0], list(_judged(steered, report))
        texts = _read(context, steered).joined(_read(context, first.generated, first.activations))
    with costs.stage("recluster"):
        drawn = _redraw(context, last, texts)
        concept = Concept(
            number,
            drawn.membership,
            drawn.single,
            drawn.pooled,
            context.size,
            context.prior.size_curve,
            readout=drawn.readout,
            evidence=drawn.evidence,
        )
    placed = tuple(_placed([*steered, *first.generated], drawn.generated))
    generated = tuple(each for each in placed if each.kind != "degenerate")  # round 0 keeps those
    training: dict[str, float | int] = {}
    scheduled = config.updating.schedule(number)
    if scheduled.steer_nats is not None:
        with costs.stage("update"):
            begin = last.vector if last.round or config.updating.start_vector else None
            step = _update(context, concept, scheduled.steer_nats, begin)
            concept = replace(concept, vector=step.vector, nats_per_token=step.nats_per_token, mode=step.mode)
    if scheduled.adapt:
        with costs.stage("adapt"):
            adapted = train_adapter(context, concept, last, generated)
            concept, training = replace(concept, adapter=adapted.adapter), adapted.metrics
    of_base = records[0].number("base_coherence")
    relative = report.share / of_base if of_base else report.share
    metrics = _numbers_of_concept(records, concept, context)
    metrics |= _numbers_of_writing(report, placed)
    metrics |= training
    metrics["collapsed"] = collapse(
        float(concept.membership.mean()), relative, report.repetitive_share, config.tracking
    )
    moved = _exchange(records, concept, context)
    activations = texts.activations[: len(generated)]
    return RoundRecord(number, concept, metrics, generated, activations, costs.total(), exchange=moved)


def _numbers_of_concept(records: Sequence[RoundRecord], concept: Concept, context: RunContext) -> Metrics:
    """What can be said of the concept without anything written: its size, how far it moved, how natural it is."""
    last = records[-1]
    previous = None if last.metrics["drift"] is None else last.number("drift")
    moved = movement(last.concept.membership, concept.membership, previous)
    seed = seed_for(context.config.seed, 0, "natural latent")  # the same halves in every round
    assert concept.evidence is not None  # every round but the first has it
    natural = natural_latent(concept.membership, concept.evidence, context.passages.document_of, seed)
    return {
        "round": concept.round,
        "size": float(concept.membership.mean()),
        "members": len(concept.members()),
        "drift": moved.drift,
        "contraction": moved.contraction,
        "pointer_kept": kept(context.prior.membership, concept.membership),
        "redundancy": natural.redundancy if natural else None,
        "redundancy_share": natural.redundancy_share if natural else None,
        "mediation": natural.mediation if natural else None,
        "nats_per_token": concept.nats_per_token,
    }


def _numbers_of_writing(report: CoherenceReport, placed: Sequence[Generated]) -> dict[str, float | None]:
    """How much of what was written belongs, by its memberships, and how readable the steered part is."""
    belongs = {
        kind: [each.membership for each in placed if each.kind == kind] for kind in ("steered", "base")
    }
    degenerate = [each.membership for each in placed if each.kind == "degenerate" and each.coherent is False]
    return {
        "agreement": float(np.mean(belongs["steered"])),
        "base_agreement": float(np.mean(belongs["base"])),
        "degenerate_agreement": float(np.mean(degenerate)) if degenerate else None,
        "coherence": report.share,
        "repetitive": report.repetitive_share,
        "broken": report.broken_share,
        "loss": None if np.isnan(report.losses).all() else float(np.nanmean(report.losses)),
    }


def _exchange(records: Sequence[RoundRecord], concept: Concept, context: RunContext) -> Exchange:
    ids = [passage.id for passage in context.passages.passages]
    topic, before = records[0].concept.membership, records[-1].concept.membership
    return exchanged(ids, topic, before, concept.membership)


def _redraw(context: RunContext, last: Concept, generated: Texts) -> Reclustering:
    return redraw(
        context.real,
        context.passages.document_of,
        last,
        generated,
        context.prior,
        config=context.config.clustering,
        seed=seed_for(context.config.seed, 0, "folds"),
        round_number=last.round + 1,
    )


def _write(context: RunContext, concept: Concept, kind: str) -> list[Generated]:
    """Continuations of openings of real passages of every kind.

    Openings and sampling seeds are the same in every round: a round is then a deterministic map of the concept, which
    can have a fixed point; with fresh noise, drift would level off at the noise.
    """
    config = context.config.generation
    seed, steers = context.config.seed, kind != "base"
    count, drawn_as = config.samples, "prompts"
    if kind == "degenerate":  # on openings of their own
        count, drawn_as = context.config.updating.degenerate, "oversteered"  # the name of their seeds
    prompts = openings(context.passages.texts, count, config.prompt_words, seed_for(seed, 0, drawn_as))
    seeds = [seed_for(seed, 0, f"passage/{index}") for index in range(len(prompts))]
    with_what = concept if steers else replace(concept, vector=None, adapter=None, mode=PLAIN)
    writer: list[LanguageModel] = []  # adapted only if there is something left to write

    def passages(prompts: Sequence[str], seeds: Sequence[int], concept: Concept) -> list[str]:
        if not writer:
            writer.append(context.language_model.adapted(concept.adapter))
        written: list[str] = writer[0].generate(prompts, seeds, config, concept.vector, mode=concept.mode)
        return written

    model = context.language_model.fingerprint
    texts = write_in_parts(passages, prompts, seeds, with_what, config, model, context.scratch)
    return [
        Generated(kind, prompt, text, own, 0.0, None, None)
        for prompt, text, own in zip(prompts, texts, seeds, strict=True)
    ]


def _degenerate(context: RunContext, concept: Concept, costs: Costs) -> list[Generated]:
    """Passages steered until they are ruined: once for all rounds, so that the boundary learns what that looks like."""
    config = context.config.updating
    if not config.degenerate:
        return []
    try:
        with costs.stage("update"):
            step = _update(context, concept, config.degenerate_nats, method="mean_difference")
    except BasinError as error:
        logger.info(f"No over-steered passages are taught as outside: {error}")
        return []
    with costs.stage("generate"):
        degenerate = _write(context, replace(concept, vector=step.vector, mode=step.mode), "degenerate")
    with costs.stage("coherence"):
        return list(_judged(degenerate, _checked(context, degenerate)))


def _read(
    context: RunContext,
    generated: Sequence[Generated],
    activations: Float[np.ndarray, "text layer width"] | None = None,
) -> Texts:
    """Whole passages, as the real ones are read; `activations` where they are at hand already.

    What round 0 wrote incoherently counts as spoiled, what this round did not: other passages each round would be other
    targets, and the notion could not come to rest.
    """
    texts = [each.whole for each in generated]
    if activations is None:
        model = context.language_model
        activations = read_in_parts(model.record, texts, f"record {model.fingerprint}", context.scratch)
    degenerate = np.array([each.coherent is False and each.kind != "steered" for each in generated])
    embeddings = context.embed(texts) if context.embed else None
    return Texts(activations, log_odds(context.pointer.weights(texts)), degenerate, embeddings)


def _update(
    context: RunContext,
    concept: Concept,
    nats: float,
    start: SteeringVector | None = None,
    method: Method | None = None,
) -> Update:
    """Towards the members, away from the passages that are clearly outside."""
    texts, inside = context.passages.texts, concept.members()
    if len(inside) == 0:
        inside = np.argsort(-concept.membership, kind="stable")[: max(1, len(texts) // 50)]
    outside = np.setdiff1d(np.flatnonzero(~concept.inside), inside)
    return update(
        context.language_model,
        [texts[index] for index in inside],
        [texts[index] for index in outside],
        context.real.activations[inside],
        context.real.activations[outside],
        config=context.config.updating,
        nats=nats,
        method=method,
        seed=seed_for(context.config.seed, concept.round, "update"),
        member_weights=concept.membership[inside],
        other_weights=1 - concept.membership[outside],
        start=start,
    )


def _checked(context: RunContext, generated: Sequence[Generated]) -> CoherenceReport:
    def kept(judge: LanguageModel, texts: Sequence[str], prompts: Sequence[str]) -> Float[np.ndarray, "text"]:
        """Likelihoods part by part; the judge reads every text after its prompt."""
        pairs, about = list(zip(texts, prompts, strict=True)), f"losses {judge.fingerprint}"
        return read_in_parts(
            lambda part: judge.losses(*map(list, zip(*part, strict=True))), pairs, about, context.scratch
        )

    texts, prompts = [each.text for each in generated], [each.prompt for each in generated]
    return context.coherence.check(texts, prompts, kept)


def _placed(generated: Sequence[Generated], membership: Float[np.ndarray, "text"]) -> list[Generated]:
    return [replace(each, membership=float(value)) for each, value in zip(generated, membership, strict=True)]


def _judged(generated: Sequence[Generated], report: CoherenceReport) -> tuple[Generated, ...]:
    return tuple(
        replace(each, coherent=bool(coherent), loss=None if np.isnan(loss) else float(loss))
        for each, coherent, loss in zip(generated, report.coherent, report.losses, strict=True)
    )


def _summary(record: RoundRecord) -> str:
    of = record.metrics
    return (
        f"Round {record.round}: size {of['size']:.1%}, drift {of['drift']:.3f}, agreement {of['agreement']:.2f} "
        f"(base {of['base_agreement']:.2f}), coherence {of['coherence']:.2f}, {record.seconds:.0f} s"
    )
