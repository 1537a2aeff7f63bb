"""Settings given from Python, as the `key=value` overrides that a run stores."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.errors import BasinError, quoted


def overrides_of(settings: Mapping[str, Any] | None, rounds: int | None = None) -> list[str]:
    """Return `{"topics": {"count": 20}}` or `{"topics.count": 20}` as `["topics.count=20"]`.

    Raises:
        BasinError: a name that is not a string, a value that YAML cannot hold, or a wrong number of rounds.
    """
    found = [] if settings is None else _flat(settings, "")
    if rounds is not None:
        if isinstance(rounds, bool) or not isinstance(rounds, int) or rounds < 1:
            raise BasinError(
                f"rounds is how many in all, and was {quoted(rounds)}: give a whole number from 1 on."
            )
        found.append(f"rounds={rounds}")
    return found


def _flat(settings: object, prefix: str) -> list[str]:
    if not isinstance(settings, Mapping):
        raise BasinError(
            f'settings are names and values, and were {quoted(settings)}: write {{"topics.count": 20}}.'
        )
    found: list[str] = []
    for key, value in settings.items():
        if not isinstance(key, str) or not key.strip() or "=" in key:
            raise BasinError(f"{quoted(key)} is no name of a setting; write for example topics.count.")
        if isinstance(value, Mapping) and value:
            found += _flat(value, f"{prefix}{key}.")
        else:
            found.append(f"{prefix}{key}={_as_yaml(key, value)}")
    return found


def _as_yaml(key: str, value: object) -> str:
    """Return a value as one line of JSON, which is also YAML."""
    if isinstance(value, Path):
        value = str(value)
    elif hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()  # a NumPy number
    elif isinstance(value, tuple | set | frozenset):
        value = sorted(value, key=str) if isinstance(value, set | frozenset) else list(value)
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError):
        raise BasinError(
            f"{key} was {quoted(value)}, which a configuration cannot hold; give numbers, texts, lists or None."
        ) from None
