"""Recording and generating with random two-layer models of every supported architecture."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch
from conftest import make_language_model, sentence

from agent.errors import BasinError
from agent.language_model.architecture import choose_batch_tokens
from agent.language_model.decoding.config import GenerationConfig

SHORT = GenerationConfig(new_tokens=8, top_k=20)


def test_record_leaves_out_the_first_position_of_a_tokenizer_without_bos():
    language_model = make_language_model(bos=False, layers=(1,))
    recorded = language_model.record([sentence(5, 6, 7), sentence(8)])
    with torch.no_grad():
        ids = torch.tensor([[9, 10, 11]])
        hidden = language_model.model(ids, output_hidden_states=True).hidden_states[1][0]
        alone = language_model.model(torch.tensor([[12]]), output_hidden_states=True).hidden_states[1][0]
    np.testing.assert_allclose(recorded[0, 0], hidden[1:].mean(0).numpy(), atol=1e-5)
    np.testing.assert_allclose(recorded[1, 0], alone[0].numpy(), atol=1e-5)


def test_a_record_does_not_depend_on_its_bucket(texts):
    together = make_language_model(batch_tokens=10_000).record(texts)
    apart = make_language_model(batch_tokens=1).record(texts)
    np.testing.assert_allclose(together, apart, atol=1e-5)
    assert not np.allclose(together[0], together[4], atol=1e-2)


@pytest.mark.parametrize("bad", ["nan", "inf"])
def test_activations_that_are_not_finite_are_refused(bad, texts):
    language_model = make_language_model()
    language_model.blocks[0].mlp.down_proj.weight.data[0, 0] = float(bad)
    with pytest.raises(BasinError, match="layer 1.*not finite"):
        language_model.record(texts)


def test_a_text_without_words_is_named():
    with pytest.raises(BasinError, match="Text number 2 of 2"):
        make_language_model().record([sentence(1, 2), ""])


def test_a_passage_does_not_depend_on_its_batch(architecture):
    language_model = make_language_model(architecture)
    prompts = [sentence(*range(length)) for length in (9, 2, 5, 14, 3)]
    seeds = [7, 8, 9, 10, 11]
    together = language_model.generate(prompts, seeds, SHORT)
    alone = [
        language_model.generate([prompt], [seed], SHORT)[0]
        for prompt, seed in zip(prompts, seeds, strict=True)
    ]
    assert together == alone
    assert (
        language_model.generate(prompts[::-1], seeds[::-1], SHORT.model_copy(update={"batch_size": 2}))
        == together[::-1]
    )
    assert language_model.generate(prompts, [20, 21, 22, 23, 24], SHORT) != together


def test_passages_have_their_length_and_no_special_token():
    language_model = make_language_model()
    # A model that would rather end than write.
    language_model.model.generation_config.eos_token_id = 17
    written = language_model.generate(
        [sentence(1, 2)] * 40, range(40), GenerationConfig(new_tokens=12, top_k=96)
    )
    words = [text.split() for text in written]
    assert {len(row) for row in words} == {12}
    assert not {"<s>", "</s>", "<unk>", "w13"} & {word for row in words for word in row}


def test_generate_refuses_prompts_it_cannot_continue():
    with pytest.raises(BasinError, match="empty prompt"):
        make_language_model(bos=False).generate([""], [0], SHORT)
    with pytest.raises(BasinError, match="exceed the 64"):
        make_language_model().generate([sentence(*range(60))], [0], SHORT)


def test_fingerprint_changes_with_weights_and_layers():
    prints = [
        make_language_model(depth=3, seed=seed, layers=layers).fingerprint
        for seed, layers in ((0, (1,)), (0, (1,)), (1, (1,)), (0, (2,)))
    ]
    assert prints[0] == prints[1] and len(set(prints)) == 3


def test_default_layers_and_bad_layers():
    assert make_language_model(depth=10).layers == (4, 6, 8)
    assert make_language_model(depth=2).layers == (1,)
    for layers in ((0,), (2,), (1, 1)):
        with pytest.raises(BasinError, match="between 1 and 1"):
            make_language_model(depth=2, layers=layers)


def test_nothing_is_printed(capfd, texts):
    language_model = make_language_model()
    language_model.record(texts)
    language_model.generate([sentence(1, 2), sentence(3)], [1, 2], SHORT)
    gc.collect()
    printed = capfd.readouterr()
    assert printed.out == "" and printed.err == ""


def test_a_question_is_asked_in_the_model_s_own_chat_format():
    language_model = make_language_model()
    assert language_model.chat("w1") is None
    language_model.tokenizer.chat_template = (
        "{% for message in messages %}[{{ message['role'] }}] {{ message['content'] }}{% endfor %}"
        "{% if add_generation_prompt %}[answer]{% endif %}"
    )
    assert language_model.chat("w1") == "[user] w1[answer]"


def test_batches_fit_a_processors_caches_by_default():
    chosen, told = make_language_model(), make_language_model(batch_tokens=1024)
    assert chosen.batch_tokens == 1024 and make_language_model(batch_tokens=4096).batch_tokens == 4096
    # Both have the same activations, so one fingerprint.
    assert chosen.fingerprint == told.fingerprint != make_language_model(batch_tokens=4096).fingerprint
    assert choose_batch_tokens(None, torch.device("cuda")) == 4096
