"""Weighted particles have the exact target's distribution, which a tiny model lets one enumerate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import make_language_model, make_mamba, sentence

from agent.errors import BasinError
from agent.language_model.decoding import particles
from agent.language_model.decoding.config import GenerationConfig, ParticleConfig
from agent.language_model.decoding.loop import Draft
from agent.language_model.model import LanguageModel
from agent.steering.vector import SteeringVector

SHORT = GenerationConfig(new_tokens=3, top_k=3, top_p=1.0, batch_size=8000)
LONG = GenerationConfig(new_tokens=12)
PROMPT = sentence(1, 2, 3)
VECTOR = SteeringVector({1: torch.linspace(-1, 1, 16), 3: torch.ones(16)})


def sevenths(texts) -> np.ndarray:
    """A score that is at most 0, and differs between texts."""
    return np.array([-(sum(int(word[1:]) for word in text.split()) % 7) / 2 for text in texts])


def mean_number(texts) -> np.ndarray:
    """A score that the text so far tells something about."""
    return np.array([np.mean([int(word[1:]) for word in text.split()]) / 10 for text in texts])


def exact(language_model: LanguageModel) -> dict[str, float]:
    """p(x) of all 27 continuations, by transformers."""
    barred, found = language_model._writer.barred, {"": 1.0}
    for _ in range(SHORT.new_tokens):
        longer = {}
        for text, probability in found.items():
            ids = language_model.tokenizer(PROMPT + text, return_tensors="pt")["input_ids"]
            scores = language_model.model(ids).logits[0, -1].masked_fill(barred, -torch.inf)
            top = (scores / SHORT.temperature).topk(3)
            for share, token in zip(top.values.softmax(-1).tolist(), top.indices.tolist(), strict=True):
                longer[text + language_model.tokenizer.decode([token])] = probability * share
        found = longer
    return found


@pytest.mark.parametrize("twist", [None, np.array([-0.5, 2.0])])
def test_weighted_particles_have_the_exact_target_by_any_twist(twist):
    language_model = make_language_model()
    with torch.no_grad():
        plain = exact(language_model)
    moment = np.exp(sevenths([PROMPT + text for text in plain]))
    target = np.array(list(plain.values())) * moment
    config = ParticleConfig(particles=4, block=1, resample_below=0.8)
    tilt = particles.Tilt(sevenths, 1.0, twist)
    found = language_model.generate_particles([PROMPT] * 1500, range(1500), SHORT, tilt, config)
    counts = dict.fromkeys(plain, 0.0)
    for each in found:
        for text, weight in zip(each.texts, np.exp(each.log_weights), strict=True):
            counts[text] += weight / 4 / len(found)
    assert sum(each.resampled for each in found) > 300
    assert np.abs(np.array(list(counts.values())) - target).sum() / 2 / target.sum() < 0.05
    # A score that is the log of a membership: Z is the share that rejection accepts.
    assert np.exp(particles.mean_log_z(found)) == pytest.approx(target.sum(), rel=0.05)
    drawn = np.array([list(plain).index(each.texts[each.drawn]) for each in found])
    shares = np.bincount(drawn, minlength=len(target)) / len(drawn)
    apart = [np.abs(shares - each / each.sum()).sum() / 2 for each in (target, target / moment)]
    assert apart[0] < 0.5 * apart[1]


def test_one_particle_is_generate_to_the_bit():
    language_model, prompts = make_language_model(depth=4), [sentence(1, 2), sentence(4, 5, 6)]
    one = ParticleConfig(particles=1, block=4)
    found = language_model.generate_particles(
        prompts, [8, 9], LONG, particles.Tilt(sevenths, 0.7), one, vector=VECTOR
    )
    assert [each.texts for each in found] == [
        [text] for text in language_model.generate(prompts, [8, 9], LONG, VECTOR)
    ]
    assert [each.log_z for each in found] == pytest.approx([0.7 * each.scores[0, -1] for each in found])


@pytest.mark.parametrize(
    "make", [lambda: make_language_model(depth=4), make_mamba], ids=["cache", "no cache"]
)
def test_without_lambda_particles_are_plain_samples_and_the_score_is_read_unsteered(make):
    language_model = make()
    prompts, heard = [sentence(1, 2), sentence(4, 5, 6)], {}

    def score(texts):
        recorded = language_model.record(texts).mean((1, 2))
        heard.update(zip(texts, recorded.tolist(), strict=True))
        return recorded

    config = ParticleConfig(particles=3, block=5)
    found = language_model.generate_particles(
        prompts, [8, 9], LONG, particles.Tilt(score, 0.0), config, vector=VECTOR
    )
    seeds = particles.particle_seeds([8, 9], 3)
    plain = language_model.generate(np.repeat(prompts, 3).tolist(), seeds, LONG, VECTOR)
    assert [text for each in found for text in each.texts] == plain
    assert [(each.log_z, each.resampled) for each in found] == [(0, 0)] * 2
    np.testing.assert_allclose([each.effective for each in found], 3)
    some = list(heard)[-6:]
    np.testing.assert_allclose(
        language_model.record(some).mean((1, 2)), [heard[each] for each in some], rtol=1e-4
    )


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_a_copy_continues_as_its_original_and_copies_diverge(name):
    language_model, prompts = make_language_model(name), [sentence(1, 2, 3), sentence(4, 5, 6), sentence(7)]
    greedy, rows = LONG.model_copy(update={"temperature": 0}), torch.tensor([1, 1, 2])
    drafts = [Draft(language_model._writer, prompts, [1, 2, 3], each) for each in (greedy, LONG)]
    whole = language_model.generate(prompts, [1, 2, 3], greedy)
    with torch.inference_mode():
        for draft in drafts:
            draft.write(5)
            draft.keep(rows)
            draft.write(7)
    assert drafts[0].texts()[:2] == [whole[1]] * 2 and drafts[0].texts()[2] == whole[2]
    first, second, _ = (text.split() for text in drafts[1].texts())
    assert first[:5] == second[:5] and first[5:] != second[5:]


def test_systematic_resampling_is_unbiased():
    shares = np.array([0.1, 0.0, 0.45, 0.25, 0.2])
    offsets = (np.arange(400) + 0.5) / 400
    drawn = [np.bincount(particles.systematic(shares, 6, each), minlength=5) for each in offsets]
    np.testing.assert_allclose(np.mean(drawn, axis=0), 6 * shares, atol=0.01)
    assert all(np.abs(each - 6 * shares).max() < 1 for each in drawn)


def test_lambda_gives_the_wanted_mean(messages):
    phi = np.random.default_rng(0).normal(-2.0, 1.5, 200_000)
    found, effective = particles.solve_lambda(
        phi, -0.875, 4.0
    )  # a Gaussian moves by lambda times its variance
    assert found == pytest.approx(0.5, abs=0.01)
    assert effective / len(phi) == pytest.approx(np.exp(-((0.5 * 1.5) ** 2)), abs=0.02)
    assert particles.solve_lambda(phi, -3.0, 4.0) == (0.0, pytest.approx(len(phi)))
    assert not messages and particles.solve_lambda(phi, 50.0, 0.3)[0] == 0.3 and "bound" in messages[0]


def test_a_pilot_calibrates_lambda_and_twist():
    prefix = np.random.default_rng(0).normal(size=(5000, 2))
    assert particles.fit_twist(prefix, 3 + prefix @ [0.5, 2.0]) == pytest.approx([0.5, 2.0], abs=0.1)
    language_model, config = make_language_model(), ParticleConfig(particles=8, block=4)
    prompts, tilt = [sentence(at) for at in range(6)], particles.Tilt(mean_number, 0.0)
    pilot = language_model.generate_particles(prompts, range(6), LONG, tilt, config)
    wanted = np.mean([each.scores[:, -1].mean() for each in pilot]) + 0.4
    tilt = particles.calibrated(tilt, pilot, wanted, 4.0)
    found = language_model.generate_particles(prompts, range(6), LONG, tilt, config)
    assert 0 < tilt.lambda_ < 4 and tilt.twist.shape == (2,)
    reached = [np.average(each.scores[:, -1], weights=np.exp(each.log_weights)) for each in found]
    assert np.mean(reached) == pytest.approx(wanted, abs=0.3)
    with pytest.raises(BasinError, match="not a number"):
        language_model.generate_particles(
            prompts, range(6), LONG, replace(tilt, score=lambda texts: np.full(len(texts), np.nan)), config
        )
