"""The loop on a tiny random language model and an artificial corpus with three themes."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from planted_loop import (  # noqa: F401 (fixtures)
    CRIME,
    DOCUMENTS,
    PASSAGES,
    THEMES,
    begin,
    contents,
    corpus,
    machine,
    resume,
    run,
    run_rounds,
    tiny_parts,
)
from rich.console import Console

from agent.basin.natural_latent import natural_latent
from agent.errors import BasinError
from agent.language_model.model import LanguageModel
from agent.steering.control_vector import write_control_vector
from agent.steering.vector import SteeringVector
from agent.types import seed_for
from loops.checkpoint.store import RunStore
from loops.report.terminal import show_run
from loops.round import context, metrics, recluster, writing


def numbers(store: RunStore, number: int) -> dict:
    return json.loads((store.path / f"round_{number:03d}" / "round.json").read_bytes())


ADAPTING = {
    "updating": {
        "budget_nats": 0.05,
        "adapter_from": 2,
        "adapter_nats": 0,
        "adapting": {
            "lora": {"batch": 4, "rank": 2, "learning_rate": 0.02},
            "lesson": {"tokens": 512, "window": 32},
        },
    }
}


@pytest.mark.parametrize("changes", [{}, ADAPTING, {"clustering": {"size": "stable", "trust": "earned"}}])
def test_two_rounds_and_two_by_resume_are_four_to_the_bit(begin, changes):
    straight, stopped = begin("straight", **changes), begin("stopped", rounds=2, **changes)
    run(straight)
    run(stopped)
    assert stopped.rounds() == [0, 1, 2]
    resume(stopped, rounds=4)
    assert straight.rounds() == stopped.rounds() == [0, 1, 2, 3, 4]
    # Round 0 stores the number of rounds, which differs.
    first, second = contents(straight, "config.json"), contents(stopped, "config.json")
    assert first.keys() == second.keys()
    assert {"round_004/round.json", "round_004/tensors.safetensors", "round_004/samples.json"} <= first.keys()
    assert [name for name in first if first[name] != second[name]] == []
    # Otherwise a loop that changes nothing would pass.
    assert first["round_003/tensors.safetensors"] != first["round_004/tensors.safetensors"]


def test_a_run_is_a_function_of_its_seed(begin, tmp_path, monkeypatch):
    first, second = (begin(name, rounds=2) for name in ("first", "second"))
    other = begin("other", rounds=2, seed=6)
    run(first)
    monkeypatch.setenv("BASIN_CACHE", str(tmp_path / "empty"))  # without cached activations
    run(second)
    run(other)
    assert contents(first) == contents(second)
    assert contents(first)["round_002/samples.json"] != contents(other)["round_002/samples.json"]


def test_the_pointer_finds_its_theme_and_rounds_are_complete(begin):
    store = begin("run", rounds=2)
    context = run_rounds(store)
    surest = np.argsort(-context.prior.membership, kind="stable")[: CRIME.sum()]
    assert CRIME[surest].all()
    first, last = store.load(0), store.load(2)
    assert set(first.metrics["words"].split()) & set(THEMES["crime"])
    assert first.concept.readout is None and first.metrics["drift"] is None
    assert [each.kind for each in first.generated] == ["base"] * 6 + ["degenerate"] * 4
    assert [each.kind for each in last.generated] == ["steered"] * 6 + ["base"] * 6
    assert last.activations.shape == (12, 2, 16) and np.isfinite(last.activations).all()
    assert last.concept.vector.layers == (1, 2)
    assert last.concept.nats_per_token == pytest.approx(0.05, rel=0.03)
    assert last.concept.membership.mean() == pytest.approx(context.size, abs=0.02)
    # The rounds keep the planted theme.
    assert (last.concept.membership[CRIME]).mean() > 0.6 > 0.3 > (last.concept.membership[~CRIME]).mean()
    metrics = numbers(store, 2)
    assert metrics["size"] == pytest.approx(last.concept.membership.mean())
    assert 0 <= metrics["drift"] <= 1 and 0 <= metrics["agreement"] <= 1 and metrics["collapsed"] is None
    assert metrics["contraction"] == pytest.approx(metrics["drift"] / numbers(store, 1)["drift"])
    document_of, seed = store.load_passages().document_of, seed_for(store.config.seed, 0, "natural latent")
    latent = natural_latent(last.concept.membership, last.concept.evidence, document_of, seed)
    assert metrics["redundancy"] == latent.redundancy >= 0 and metrics["mediation"] == latent.mediation >= 0
    memberships = [each.membership for each in last.generated]
    assert metrics["agreement"] == pytest.approx(np.mean(memberships[:6]))
    assert metrics["base_agreement"] == pytest.approx(np.mean(memberships[6:]))
    assert {"generate", "record", "recluster", "update", "peak_gb"} <= last.cost.keys()


def test_all_rounds_use_the_same_prompts_and_seeds(begin):
    store = begin("run", rounds=2)
    run(store)
    rounds = [store.load(number).generated[:6] for number in range(3)]
    given = {tuple((each.prompt, each.seed) for each in generated) for generated in rounds}
    assert len(given) == 1 and len(set(given.pop())) == 6


def test_only_degenerate_texts_of_round_0_serve_as_negatives(begin, monkeypatch):
    """A judge that finds every degenerate and steered text incoherent, and no base text."""
    check, redraw, negatives = writing._judge, recluster.redraw, []

    def harsh(context, generated):
        verdict = np.array([each.kind != "base" for each in generated])
        return replace(check(context, generated), unlikely=verdict, repetitive=verdict, broken=verdict)

    def watched(real, document_of, last, generated, *arguments, **options):
        negatives.append(generated.known_degenerate.tolist())
        return redraw(real, document_of, last, generated, *arguments, **options)

    monkeypatch.setattr(writing, "_judge", harsh)
    monkeypatch.setattr(recluster, "redraw", watched)
    store = begin("run", rounds=2)
    run(store)
    assert negatives == [[False] * 12 + [True] * 4] * 2
    metrics = numbers(store, 2)
    assert 0 <= metrics["degenerate_agreement"] <= 1
    assert {each.kind for each in store.load(2).generated} == {"steered", "base"}


def test_an_unreachable_degenerate_strength_is_logged(begin):
    store = begin("run", rounds=1, updating={"degenerate_nats": 1e6})
    assert any("No degenerate passages" in sentence for sentence in run(store))
    assert store.rounds() == [0, 1] and numbers(store, 1)["degenerate_agreement"] is None


def test_a_run_stops_when_the_concept_converged(begin):
    still = {"drift_bound": 0.99, "patience": 2, "minimum_rounds": 3}
    store = begin("run", tracking=still, rounds=6)
    logged = run(store)
    assert store.rounds() == [0, 1, 2, 3]
    assert logged[-1].startswith("Converged")
    assert resume(store)[-1].startswith("Converged")
    assert store.rounds() == [0, 1, 2, 3]
    # Explicit rounds run in spite of convergence.
    assert resume(store, rounds=5)[-1].startswith("Converged")
    assert store.rounds() == [0, 1, 2, 3, 4, 5]


def test_a_run_ends_with_a_certificate_of_its_last_round(begin, capsys):
    store = begin("run", rounds=2)
    logged = run(store)
    certificate = store.load_certificate()
    assert certificate["round"] == 2 and certificate["certified"] is (certificate["failures"] == [])
    assert logged[-2] == certificate["sentence"]
    # Trust is constant here, and so nothing can be certified.
    assert any("leans on its pointer" in failure for failure in certificate["failures"])
    show_run(store, Console(width=400))
    assert certificate["sentence"] in capsys.readouterr().out
    resume(store, rounds=3)
    assert store.load_certificate()["round"] == 3


def test_a_run_without_trust_does_not_lean_on_its_pointer(begin):
    fading = {"size": 0.33, "trust": 0.0, "falling": 2, "embeddings": False}
    store = begin("run", rounds=4, clustering=fading)
    run(store)
    certificate = store.load_certificate()
    assert certificate["pointer_weight"] == 0
    assert not any("leans on" in failure for failure in certificate["failures"])
    assert store.load(4).metrics["trust"] == 0 < store.load(1).metrics["trust"]


def test_a_certificate_of_an_older_round_is_not_loaded(begin):
    store = begin("run", rounds=1)
    run(store)
    file = store.path / "certificate.json"
    file.write_text(json.dumps({**json.loads(file.read_bytes()), "round": 0}))
    assert store.load_certificate() is None
    file.write_text("{")
    assert store.load_certificate() is None


@pytest.mark.parametrize(
    ("guard", "named"),
    [({"maximum_size": 0.01, "minimum_size": 0.0}, "maximum_size"), ({"minimum_size": 0.9}, "minimum_size")],
)
def test_a_collapsed_run_logs_it_and_stops(begin, guard, named):
    store = begin("run", tracking=guard)
    logged = run(store)
    assert store.rounds() == [0, 1]
    assert "collapsed in round 1" in logged[-1] and named in logged[-1]
    assert named in numbers(store, 1)["collapsed"]
    assert "collapsed in round 1" in resume(store, rounds=9)[-1]
    assert store.rounds() == [0, 1]


def test_unreadable_writing_collapses_a_run(begin, monkeypatch):
    write = LanguageModel.generate

    def broken(self, prompts, *arguments, **options):
        texts = write(self, prompts, *arguments, **options)
        # Only steered texts, so that the base model stays readable.
        return [" plainaa" * 12] * len(texts) if arguments[2] is not None else texts

    monkeypatch.setattr(LanguageModel, "generate", broken)
    store = begin("run", tracking={"minimum_coherence": 0.5})
    logged = run(store)
    assert store.rounds() == [0, 1]
    assert numbers(store, 1)["coherence"] == 0
    assert "readable" in logged[-1]
    repeats = begin("repeats", tracking={"maximum_repetitive": 0.5})
    assert "repeat" in run(repeats)[-1]


def test_resuming_reads_the_run_and_not_the_corpus(begin, corpus):
    store, straight = begin("run", rounds=1), begin("straight", rounds=2)
    run(straight)
    run(store)
    for file in corpus.iterdir():
        file.unlink()
    resume(store, rounds=2)
    assert contents(store, "config.json") == contents(straight, "config.json")


def test_real_texts_are_recorded_once(begin, monkeypatch):
    record, counts = LanguageModel.record, []

    def counted(self, texts, batches=None):
        counts.append(len(texts))
        return record(self, texts, batches)

    monkeypatch.setattr(LanguageModel, "record", counted)
    store = begin("run", rounds=2)
    run(store)
    # The corpus, the base and degenerate texts of round 0, then the steered texts of each round.
    assert counts == [DOCUMENTS * PASSAGES, 10, 6, 6]
    counts.clear()
    resume(store, rounds=3)
    assert counts == [6]


def test_the_size_is_the_pointers_or_the_configured_one(begin):
    sizes = {}
    for size in ("claimed", 0.15):
        store = begin(f"run-{size}", rounds=1, clustering={"size": size})
        context = run_rounds(store)
        assert context.size == pytest.approx(numbers(store, 0)["size"], abs=1e-6)
        sizes[size] = numbers(store, 0)["size"]
        assert numbers(store, 1)["size"] == pytest.approx(sizes[size], abs=0.02)
    texts = context.passages.texts
    assert sizes["claimed"] == pytest.approx(context.pointer.weights(texts).mean(), abs=1e-6)
    assert sizes[0.15] == pytest.approx(0.15, abs=1e-6)


@pytest.mark.parametrize(("bound", "value"), [("SMALLEST_SIZE", 0.6), ("LARGEST_SIZE", 0.03)])
def test_the_pointers_size_stays_inside_bounds(begin, monkeypatch, bound, value):
    monkeypatch.setattr(context, "LARGEST_SIZE", 0.7)
    monkeypatch.setattr(context, bound, value)
    store = begin("run", rounds=1, clustering={"size": "claimed"})
    assert run_rounds(store).size == value


def test_a_run_without_a_concept_ends_after_round_0(begin, monkeypatch):
    """Activations independent of the texts' contents."""

    def noise(self, texts, batches=None):
        seeds = [sum(map(ord, text)) for text in texts]
        draws = [np.random.default_rng(seed).normal(size=(2, 16)) for seed in seeds]
        return np.stack(draws).astype(np.float32)

    monkeypatch.setattr(LanguageModel, "record", noise)
    store = begin("run")
    logged = run(store)
    assert store.rounds() == [0]
    assert logged[-1] == numbers(store, 0)["no_concept"]
    assert logged[-1].startswith("No concept here") and "clustering.min_z_score" in logged[-1]
    assert numbers(store, 0)["z_score"] < store.config.clustering.min_z_score
    assert resume(store, rounds=9)[-1] == logged[-1]
    assert store.rounds() == [0]


def test_rounds_start_from_the_corpus_adapter_and_resumed_ones_read_documents_again(begin):
    updating = copy.deepcopy(ADAPTING["updating"])
    updating["adapting"]["lesson"]["corpus_tokens"] = 256
    store = begin("mixed", rounds=1, updating=updating)
    run(store)
    first, steered = store.load(0), store.load(1)
    corpus = first.concept.adapter
    assert corpus is not None and steered.concept.adapter.digest == corpus.digest
    resume(store, rounds=2)  # its documents have no texts in the run
    adapted = store.load(2).concept.adapter
    assert adapted.config["r"] == 2 * corpus.config["r"]  # against the corpus's
    assert store.load(2).metrics["member_loss_curve"].startswith("0:")
    assert adapted.tensors.keys() == corpus.tensors.keys()


@pytest.mark.parametrize(
    ("updating", "message"),
    [
        ({"layers": [1, 9]}, r"updating.layers .*\[9\].*\[1, 2\]"),
        ({"adapter_from": 5}, "window of 512 tokens .*lesson.window to 64"),
    ],
)
def test_settings_that_do_not_fit_the_model_are_refused_before_reading(begin, monkeypatch, updating, message):
    monkeypatch.setattr(LanguageModel, "record", None)
    store = begin("run", updating=updating)
    with pytest.raises(BasinError, match=message):
        run(store)
    assert store.rounds() == []


def test_steering_first_and_an_adapter_later(begin):
    store = begin("mixed", rounds=3, **ADAPTING)
    run(store)
    steered, adapted, last = (store.load(number) for number in (1, 2, 3))
    assert steered.concept.vector is not None and steered.concept.adapter is None
    assert adapted.concept.vector is None and adapted.concept.adapter is not None
    assert adapted.metrics["lesson_loss"] > 0 and adapted.metrics["lesson_tokens"] > 0
    # Texts of round 3 come from round 2's adapter.
    by_adapter, by_base = (
        [each.text for each in last.generated if each.kind == kind] for kind in ("steered", "base")
    )
    assert by_adapter != by_base
    assert not store.scratch.exists()


def test_a_metric_that_is_not_finite_is_refused_and_earlier_rounds_stay(begin, monkeypatch):
    numbers_of = metrics._of_writing

    def degenerate(report, placed):
        return {**numbers_of(report, placed), "agreement": float("nan")}

    store = begin("degenerate", rounds=1)
    monkeypatch.setattr(metrics, "_of_writing", degenerate)
    with pytest.raises(BasinError, match="Round 1 gave agreement, which is not finite"):
        run(store)
    assert store.rounds() == [0]


def test_a_run_begins_from_keywords_and_a_given_generator(begin, tmp_path):
    generator = torch.Generator().manual_seed(1)
    rows = {layer: torch.randn(tiny_parts()[0].config.hidden_size, generator=generator) for layer in (2,)}
    write_control_vector(tmp_path / "v.gguf", SteeringVector(rows), "llama")
    keywords = THEMES["crime"][:5]
    updating = {"start_vector": str(tmp_path / "v.gguf")}
    store = begin("given", topics={"words": []}, pointer={"keywords": keywords}, updating=updating, rounds=1)
    logged = run(store)
    assert any(sentence.startswith("Starting generator") for sentence in logged)
    first, pointer = store.load(0).concept, store.load_pointer()
    assert set(pointer.model.top_words(0, 5)) == set(keywords)
    assert first.vector.layers == (2,) and first.nats_per_token == pytest.approx(0.05, rel=0.05)
    assert torch.cosine_similarity(first.vector.directions[2], rows[2], dim=0) > 0.9999
    assert store.load(1).concept.membership[CRIME].mean() > store.load(1).concept.membership[~CRIME].mean()
