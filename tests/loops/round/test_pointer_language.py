"""The language of a stored pointer."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from planted_run import planted_pointer

from agent.files.checked import DamagedError
from agent.pointer.topic_model import Pointer, TopicsConfig
from loops.checkpoint.decode import decode_pointer
from loops.checkpoint.encode import encode_pointer
from loops.round.pointer import language_warning


def test_the_language_is_kept_where_it_is_not_english() -> None:
    english = planted_pointer()
    assert "language" not in json.loads(encode_pointer(english)["topic.json"])
    french = Pointer(replace(english.model, language="fr"), english.topic)
    assert decode_pointer(encode_pointer(french)).model.language == "fr"
    assert decode_pointer(encode_pointer(english)).model.language == "en"


@pytest.mark.parametrize("forged", ["", "english", "../x", 7, None, "FR"])
def test_an_invalid_language_is_refused(forged: object) -> None:
    files = encode_pointer(planted_pointer())
    files["topic.json"] = json.dumps({**json.loads(files["topic.json"]), "language": forged}).encode()
    with pytest.raises(DamagedError, match="is wrong at language"):
        decode_pointer(files)


def test_assumptions_of_english_are_warned_of() -> None:
    assert language_warning(TopicsConfig(), "smollm2-135m", None) is None
    warning = language_warning(TopicsConfig(language="de"), "smollm2-135m", "gemma3-270m")
    assert "smollm2-135m, which reads and writes, and gemma3-270m, which judges" in warning
    assert "Capitals do not tell names" in warning and "no list" not in warning
    assert "has no list of stop words" in language_warning(TopicsConfig(language="la"), "a", None)
