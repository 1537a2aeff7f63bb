"""YAML of settings and labels: small, safe, without surprises.

PyYAML's safe loader runs no code, but it lets a kilobyte of aliases grow to gigabytes, takes the last of two equal keys
without a word, and ends in exceptions of a dozen kinds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from agent.errors import BasinError, first_sentence, quoted
from agent.files.bounded import read_whole

LARGEST_FILE = 256 << 10
"""Bytes; the longest of Basin's own configurations has four thousand."""
DEEPEST = 20
MOST_VALUES = 20_000
"""Values with every alias spelt out."""
MOST_DIGITS = 18
"""Of a whole number, so that it fits in 64 bits."""

COMMON_TAGS = tuple(
    f"tag:yaml.org,2002:{name}" for name in ("map", "seq", "str", "int", "float", "bool", "null")
)


class Unreadable(ValueError):
    """Why a text cannot be taken as YAML, in a few words."""


def read_yaml(path: Path, remedy: str) -> Any:
    """What a YAML file says, as mappings with text for keys, lists, text, numbers, truth values and nothing.

    `remedy` ends the sentence about a file that is wrong. Raises `FileNotFoundError` where there is none, and `BasinError`
    for a file that cannot be read, is too large, is not UTF-8 or not YAML, has a key twice, or aliases that grow.
    """
    try:
        content = read_whole(path, LARGEST_FILE, remedy)
        return parse_yaml(content.decode("utf-8-sig"))
    except FileNotFoundError:
        raise
    except UnicodeDecodeError as error:
        reason = f"byte {error.start} is not UTF-8"
    except Unreadable as error:
        reason = str(error)
    except (OSError, ValueError) as error:  # a name with a NUL is a ValueError
        reason = (error.strerror if isinstance(error, OSError) else None) or first_sentence(error)
    raise BasinError(f"{path} cannot be read as YAML ({reason}); {remedy}.") from None


def parse_yaml(text: str) -> Any:
    """As `read_yaml`, of a text; raises `Unreadable`."""
    loader = None
    try:
        _require_shallow(text)
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _require_plain(node)
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        raise Unreadable(_reason(error)) from None
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError) as error:
        if isinstance(error, Unreadable):
            raise
        raise Unreadable(first_sentence(error)) from None
    finally:
        if loader is not None:
            loader.dispose()


def _reason(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or first_sentence(error)
    return f"line {mark.line + 1}: {problem}"[:160] if mark else str(problem)[:160]


def _require_shallow(text: str) -> None:
    """Refuse what is nested deeply before anything descends into it."""
    depth = values = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        values += isinstance(event, yaml.NodeEvent)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST:
            raise Unreadable(f"line {event.start_mark.line + 1}: nested more than {DEEPEST} deep")
        if values > MOST_VALUES:
            raise Unreadable(f"more than {MOST_VALUES:,} values")


def _require_plain(root: yaml.Node) -> None:
    """Refuse odd kinds of value, keys that are given twice, and what aliases make endless or huge."""
    sizes: dict[int, int | None] = {}

    def size(node: yaml.Node) -> int:
        known = sizes.get(id(node), 0)
        if known is None:
            raise Unreadable(f"{_line(node)}: an alias of what it stands in")
        if known:
            return known
        sizes[id(node)] = None
        if isinstance(node, yaml.ScalarNode):
            _require_value(node)
            total = 1
        else:
            if node.tag not in COMMON_TAGS:
                raise Unreadable(f"{_line(node)}: {node.tag[:60]} is no kind of value for a setting")
            if isinstance(node, yaml.MappingNode):
                _require_keys(node)
                total = 1 + sum(size(each) for pair in node.value for each in pair)
            else:
                total = 1 + sum(size(each) for each in node.value)
        if total > MOST_VALUES:
            raise Unreadable(f"{_line(node)}: its aliases grow to more than {MOST_VALUES:,} values")
        sizes[id(node)] = total
        return total

    size(root)


def _require_value(node: yaml.ScalarNode) -> None:
    # A date is what YAML makes of 2024-01-01, and no setting is one.
    if node.tag == "tag:yaml.org,2002:timestamp":
        node.tag = "tag:yaml.org,2002:str"
    if node.tag not in COMMON_TAGS:
        raise Unreadable(f"{_line(node)}: {node.tag[:60]} is no kind of value for a setting")
    if any("\ud800" <= each <= "\udfff" for each in node.value):
        raise Unreadable(f"{_line(node)}: half a character")
    if node.tag == "tag:yaml.org,2002:int" and len(node.value.lstrip("+-")) > MOST_DIGITS:
        raise Unreadable(f"{_line(node)}: a number of more than {MOST_DIGITS} digits")


def _require_keys(node: yaml.MappingNode) -> None:
    seen: set[str] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise Unreadable(f"{_line(key)}: a key that is no text")
        if key.tag == "tag:yaml.org,2002:merge":
            raise Unreadable(f"{_line(key)}: '<<' is not supported; write the settings out")
        key.tag = "tag:yaml.org,2002:str"  # 1, yes and null are names as good as any
        if key.value in seen:
            raise Unreadable(f"{_line(key)}: {quoted(key.value)} is given twice")
        seen.add(key.value)


def _line(node: yaml.Node) -> str:
    return f"line {node.start_mark.line + 1}"
