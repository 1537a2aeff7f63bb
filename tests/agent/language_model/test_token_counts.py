"""Tokens that are cut are counted and said once; a passage's length in tokens becomes one in words."""

from __future__ import annotations

import logging

import pytest
from conftest import make_language_model, sentence

from agent.corpora.passages import PassagesConfig, split
from agent.errors import BasinError
from agent.language_model import token_counts
from agent.language_model.load import LanguageModelConfig
from agent.language_model.token_counts import in_words, proposed_length, token_lengths, tokens_per_word
from agent.types import Document


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if "longer than" in each.getMessage()]


def test_what_is_never_read_is_counted_and_said_once(caplog) -> None:
    model = make_language_model()
    model.config = model.config.model_copy(update={"max_tokens": 10})
    short, long = sentence(*range(3)), sentence(*range(40))
    lengths = token_lengths(model.tokenizer, [short, long])
    with caplog.at_level(logging.WARNING):
        model.record([short])
        assert warnings(caplog) == []
        model.record([short, long])
        model.record([long])
        list(model.batches([long], max_tokens=5))  # a part is meant
    (said,) = warnings(caplog)
    share = (lengths[1] - 10) / sum(lengths)
    assert said.startswith("1 of 2 texts are longer than") and f"(10 tokens), and {share:.0%} of all" in said
    assert "raise language_model.max_tokens" in said
    with caplog.at_level(logging.WARNING):
        model.say_cut([long, long])
    (again,) = warnings(caplog)[1:]
    assert again.startswith("2 of 2 texts")


def test_a_length_in_tokens_becomes_one_in_words(tmp_path, monkeypatch) -> None:
    tokenizer = make_language_model().tokenizer
    documents = [Document(str(at), sentence(*range(at, at + 60)).strip()) for at in range(4)]
    per_word = tokens_per_word(tokenizer, [each.text for each in documents])
    assert per_word == sum(token_lengths(tokenizer, [each.text for each in documents])) / 240
    monkeypatch.setattr(token_counts, "load_tokenizer", lambda config: tokenizer)
    model = LanguageModelConfig(name=str(tmp_path))
    cut = in_words(PassagesConfig(tokens=20), model, documents)
    assert cut == PassagesConfig(words=round(20 / per_word), minimum_words=round(20 / per_word))
    assert in_words(PassagesConfig(words=50, minimum_words=5), model, documents).words == 50
    assert len(split(documents, cut).passages) == 4 * round(60 / cut.words)
    with pytest.raises(BasinError, match="give passages.words"):
        split(documents, PassagesConfig(tokens=20))
    monkeypatch.setattr(token_counts, "tokens_per_word", lambda *_: 1.35)
    assert proposed_length(PassagesConfig(), model, documents) == PassagesConfig()
    monkeypatch.setattr(token_counts, "tokens_per_word", lambda *_: 6.5)
    assert proposed_length(PassagesConfig(), model, documents) == PassagesConfig(tokens=240)
    elsewhere = LanguageModelConfig(name="owner/on-the-hub")
    assert proposed_length(PassagesConfig(), elsewhere, documents) == PassagesConfig()
