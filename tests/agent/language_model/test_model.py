"""Recording, steering, sampling and scoring on random two-layer models of every supported layout."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from conftest import make_causal_lm, make_language_model, make_tokenizer, sentence

from agent.errors import BasinError
from agent.hub import models
from agent.language_model.architecture import choose_batch_tokens
from agent.language_model.decoding.loop import GenerationConfig
from agent.language_model.model import LanguageModel, LanguageModelConfig
from agent.steering.vector import SteeringVector

SHORT = GenerationConfig(new_tokens=8, top_k=20)


def hooks_on(language_model: LanguageModel) -> int:
    return sum(len(module._forward_hooks) for module in language_model.model.modules())


def some_vector(language_model: LanguageModel, size: float = 2.0, seed: int = 3) -> SteeringVector:
    generator = torch.Generator().manual_seed(seed)
    return size * SteeringVector({1: torch.randn(language_model.width, generator=generator)})


def test_record_equals_output_hidden_states(architecture, texts):
    language_model = make_language_model(architecture, depth=4, layers=(1, 3), batch_tokens=40)
    recorded = language_model.record(texts)
    assert recorded.shape == (7, 2, 16) and recorded.dtype == np.float32
    for text, row in zip(texts, recorded, strict=True):
        encoded = language_model.tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            hidden = language_model.model(**encoded, output_hidden_states=True).hidden_states
        for column, layer in enumerate((1, 3)):
            # The first position is <s>.
            np.testing.assert_allclose(row[column], hidden[layer][0, 1:].mean(0).numpy(), atol=2e-5)


def test_record_leaves_out_the_first_position_of_a_tokenizer_without_bos():
    language_model = make_language_model(bos=False, layers=(1,))
    recorded = language_model.record([sentence(5, 6, 7), sentence(8)])
    with torch.no_grad():
        ids = torch.tensor([[9, 10, 11]])
        hidden = language_model.model(ids, output_hidden_states=True).hidden_states[1][0]
        alone = language_model.model(torch.tensor([[12]]), output_hidden_states=True).hidden_states[1][0]
    np.testing.assert_allclose(recorded[0, 0], hidden[1:].mean(0).numpy(), atol=1e-5)
    np.testing.assert_allclose(recorded[1, 0], alone[0].numpy(), atol=1e-5)


def test_left_padding_equals_right_padding(architecture, texts):
    language_model = make_language_model(architecture)
    recorded = language_model.record(texts)
    for batch in language_model.batches(texts, side="left"):
        assert batch.real[:, -1].all()
        with torch.no_grad():
            np.testing.assert_allclose(language_model._pooled(batch), recorded[list(batch.rows)], atol=2e-5)


def test_a_record_does_not_depend_on_its_bucket(texts):
    together = make_language_model(batch_tokens=10_000).record(texts)
    apart = make_language_model(batch_tokens=1).record(texts)
    np.testing.assert_allclose(together, apart, atol=1e-5)
    assert not np.allclose(together[0], together[4], atol=1e-2)


def test_nothing_is_computed_above_the_last_recorded_layer(texts):
    language_model = make_language_model(depth=4, layers=(1, 2))
    ran = []
    for blocks in (language_model.blocks, language_model.fused.blocks):
        for index, block in enumerate(blocks):
            block.register_forward_hook(lambda *_, index=index: ran.append(index))
    language_model.record(texts[:1])
    assert ran == [0, 1]


@pytest.mark.parametrize("bad", ["nan", "inf"])
def test_activations_that_are_not_finite_are_refused(bad, texts):
    language_model = make_language_model()
    language_model.blocks[0].mlp.down_proj.weight.data[0, 0] = float(bad)
    with pytest.raises(BasinError, match="layer 1.*not finite"):
        language_model.record(texts)
    assert hooks_on(language_model) == 0


def test_a_text_without_words_is_named():
    with pytest.raises(BasinError, match="Text number 2 of 2"):
        make_language_model().record([sentence(1, 2), ""])


def test_steering_adds_to_the_stream_and_leaves_nothing_behind(architecture, texts):
    language_model = make_language_model(architecture, layers=(1,))
    vector = some_vector(language_model)
    before = language_model.record(texts)
    with language_model.steer(vector, 0.5):
        steered = language_model.record(texts)
    np.testing.assert_allclose(
        steered - before, np.broadcast_to(0.5 * vector.directions[1], (7, 1, 16)), atol=2e-5
    )
    with pytest.raises(RuntimeError, match="on purpose"), language_model.steer(vector):
        raise RuntimeError("on purpose")
    assert hooks_on(language_model) == 0
    np.testing.assert_array_equal(language_model.record(texts), before)


def test_strength_zero_is_the_base_model_to_the_bit(architecture, texts):
    language_model = make_language_model(architecture)
    vector = some_vector(language_model)
    batch = next(language_model.batches(texts))
    with torch.no_grad():
        base = language_model.states(batch)
        with language_model.steer(vector, 0.0):
            assert torch.equal(language_model.states(batch), base)
        with language_model.steer(vector, 1.0):
            assert not torch.allclose(language_model.states(batch), base, atol=1e-2)
    prompts, seeds = [sentence(1, 2, 3), sentence(4, 5)], [10, 11]
    base_texts = language_model.generate(prompts, seeds, SHORT)
    assert language_model.generate(prompts, seeds, SHORT, vector, 0.0) == base_texts
    assert language_model.generate(prompts, seeds, SHORT, vector, 1.0) != base_texts


def test_a_vector_of_another_model_is_refused():
    language_model = make_language_model()
    for vector in (SteeringVector({1: torch.ones(7)}), SteeringVector({2: torch.ones(16)})):
        with pytest.raises(BasinError, match="does not fit"), language_model.steer(vector):
            pass


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


def test_losses_equal_cross_entropy(architecture, texts):
    language_model = make_language_model(architecture, batch_tokens=40)
    losses = language_model.losses(texts)
    for text, loss in zip(texts, losses, strict=True):
        encoded = language_model.tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            expected = language_model.model(**encoded, labels=encoded["input_ids"]).loss
        assert loss == pytest.approx(float(expected), abs=1e-4)


def test_losses_after_a_prefix_count_only_the_text(monkeypatch):
    monkeypatch.setattr("agent.language_model.output_layer.CHUNK_BYTES", 4 * 4 * 96 * 2)
    language_model = make_language_model("gemma2")
    prefix, text = sentence(1, 2, 3), sentence(4, 5, 6, 7)
    ids = language_model.tokenizer(prefix + text, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        scores = language_model.model(ids).logits.log_softmax(-1)[0]
    expected = -np.mean([float(scores[place - 1, ids[0, place]]) for place in range(4, 8)])
    assert language_model.losses([text], [prefix])[0] == pytest.approx(expected, abs=1e-5)
    assert np.isnan(language_model.losses([""], [prefix])[0])


def test_token_losses_by_hand_and_their_mean_is_the_loss(architecture, texts):
    language_model = make_language_model(architecture, batch_tokens=40)
    prefixes = [sentence(*range(number)) for number in range(len(texts))]
    found = language_model.token_losses(texts, prefixes)
    means = [each.astype(float).mean() for each in found]
    assert np.allclose(means, language_model.losses(texts, prefixes), atol=1e-5)
    ids = language_model.tokenizer(prefixes[3] + texts[3], return_tensors="pt")["input_ids"]
    with torch.no_grad():
        scores = language_model.model(ids).logits.log_softmax(-1)[0]
    places = range(4, ids.shape[1])  # after the start and a prefix of three
    expected = [-float(scores[place - 1, ids[0, place]]) for place in places]
    assert found[3] == pytest.approx(np.array(expected), abs=1e-4)
    assert [len(each) for each in language_model.token_losses(["", texts[1]])] == [0, 3]


def test_divergence_is_zero_at_zero_and_equals_kl_by_hand(texts):
    language_model = make_language_model(layers=(1,))
    vector = some_vector(language_model)
    assert language_model.divergence(texts, vector, 0.0) == pytest.approx(0.0, abs=1e-7)
    total, count = 0.0, 0
    for text in texts:
        ids = language_model.tokenizer(text, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            base = language_model.model(ids).logits[0, 1:].log_softmax(-1)
            with language_model.steer(vector):
                steered = language_model.model(ids).logits[0, 1:].log_softmax(-1)
        total += float((steered.exp() * (steered - base)).sum())
        count += len(base)
    assert language_model.divergence(texts, vector) == pytest.approx(total / count, rel=1e-4)


def test_a_resumed_pass_equals_a_whole_one(architecture, texts):
    language_model = make_language_model(architecture, depth=4)
    vector = SteeringVector({layer: torch.full((16,), 0.5) for layer in (2, 3)})
    batch = next(language_model.batches(texts))
    prefix = language_model.prefix(batch, 2)
    with torch.no_grad(), language_model.steer(vector):
        whole, resumed = language_model.states(batch), language_model.states(batch, prefix)
    assert torch.equal(whole, resumed)
    # Nothing stays behind: another text is read from its first block again.
    other = next(language_model.batches(texts[::-1][:2]))
    with torch.no_grad():
        fresh = make_language_model(architecture, depth=4).states(other)
        assert torch.equal(language_model.states(other), fresh)


def test_gradients_reach_the_vector_and_not_the_model(texts):
    language_model = make_language_model(depth=3, layers=(1, 2))
    leaf = torch.zeros(16, requires_grad=True)
    batch = next(language_model.batches(texts))
    with language_model.steer(SteeringVector({2: leaf})):
        states = language_model.states(batch)
    language_model.output.losses(
        states[:, :-1][batch.scored[:, 1:]], batch.ids[:, 1:][batch.scored[:, 1:]]
    ).mean().backward()
    assert leaf.grad.norm() > 0
    assert all(weight.grad is None for weight in language_model.model.parameters())


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


def test_a_model_without_a_list_of_blocks_is_named():
    model = make_causal_lm("llama")
    model.model.layers = torch.nn.ModuleList(list(model.model.layers)[:1])
    with pytest.raises(BasinError, match="LlamaForCausalLM"):
        LanguageModel(model, make_tokenizer(), LanguageModelConfig())


def test_load_from_a_folder_gives_the_same_model(tmp_path, texts):
    made = make_language_model("gpt2")
    made.model.save_pretrained(tmp_path)
    made.tokenizer.save_pretrained(tmp_path)
    loaded = LanguageModel.load(LanguageModelConfig(name=str(tmp_path), dtype="float32", device="cpu"))
    np.testing.assert_array_equal(loaded.record(texts), made.record(texts))


def test_load_names_what_it_cannot_have(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(BasinError, match="could not be loaded"):
        LanguageModel.load(LanguageModelConfig(name=str(tmp_path), device="cpu"))
    with pytest.raises(BasinError, match="'nowhere'"):
        LanguageModel.load(LanguageModelConfig(name=str(tmp_path), device="nowhere"))


@pytest.mark.parametrize("reachable", [True, False])
def test_a_hub_out_of_reach_is_not_asked_for_a_model(monkeypatch, reachable):
    asked = []

    def from_pretrained(name, local_files_only, trust_remote_code):
        assert trust_remote_code is False
        asked.append(not local_files_only)
        raise OSError

    monkeypatch.setattr(models, "hub_is_reachable", lambda: reachable)
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", from_pretrained)
    with pytest.raises(BasinError, match="'nobody/no-such-model' could not be loaded"):
        LanguageModel.load(LanguageModelConfig(name="nobody/no-such-model", device="cpu"))
    assert asked == [reachable]


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


def test_code_that_comes_with_a_model_runs_only_where_that_was_said_and_is_announced(
    monkeypatch, tmp_path, messages
):
    asked, said = [], []

    def from_pretrained(name, **how):
        asked.append(how)
        raise OSError("no such model")

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", from_pretrained)
    (tmp_path / "config.json").write_text("{}")
    for trusted in (False, True):
        config = LanguageModelConfig(name=str(tmp_path), device="cpu", trust_remote_code=trusted)
        with pytest.raises(BasinError):
            LanguageModel.load(config)
    assert [how["trust_remote_code"] for how in asked] == [False, True]
    assert [sentence.startswith("WARNING") for sentence in said] == [False, True, False]
    trusting = make_language_model(trust_remote_code=True)
    assert trusting.fingerprint == make_language_model().fingerprint


def test_weights_that_are_a_pickle_are_not_opened(tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "trapped",))

    folder = tmp_path / "model"
    make_language_model().save(folder)
    (folder / "model.safetensors").unlink()
    torch.save({"trap": Trap()}, folder / "pytorch_model.bin")
    with pytest.raises(BasinError, match="could not be loaded.*safetensors"):
        LanguageModel.load(LanguageModelConfig(name=str(folder), device="cpu"))
    assert not (tmp_path / "trapped").exists()


def test_batches_fit_a_processors_caches_unless_told_otherwise():
    chosen, told = make_language_model(), make_language_model(batch_tokens=1024)
    assert chosen.batch_tokens == 1024 and make_language_model(batch_tokens=4096).batch_tokens == 4096
    # What is cached under the one is found under the other.
    assert chosen.fingerprint == told.fingerprint != make_language_model(batch_tokens=4096).fingerprint
    assert choose_batch_tokens(None, torch.device("cuda")) == 4096
