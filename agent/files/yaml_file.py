"""YAML files of settings and labels, read strictly and within limits.

PyYAML's safe loader runs no code, but expands aliases to gigabytes and accepts duplicate keys.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from agent.errors import BasinError, first_sentence, quoted
from agent.files.bounded import read_whole

LARGEST_FILE = 256 << 10
"""Bytes; the longest of Basin's own configurations has 4,000."""
DEEPEST = 20
MOST_VALUES = 20_000
"""Values, with aliases expanded."""
MOST_DIGITS = 18
"""Digits of an integer, so that it fits in 64 bits."""
OLD_NUMBER, NEVER = re.compile(r"[-+]?0[\d_]+|.*:.*"), re.compile(r"(?!)")
OLD_VALUES = {
    "tag:yaml.org,2002:bool": re.compile("yes|no|on|off", re.IGNORECASE),
    "tag:yaml.org,2002:int": OLD_NUMBER,
    "tag:yaml.org,2002:float": OLD_NUMBER,
    "tag:yaml.org,2002:timestamp": re.compile("(?s).*"),
}
"""Values of YAML 1.1 that are texts in 1.2: `no` is also Norwegian, 010 was 8, 1:30 was 90, and 2024-01-01 a date."""
COMMON_TAGS = tuple(
    f"tag:yaml.org,2002:{name}" for name in ("map", "seq", "str", "int", "float", "bool", "null")
)


class UnreadableYamlError(ValueError):
    """A text is not YAML for settings; the message says why in a few words."""


def read_yaml(path: Path, remedy: str) -> Any:
    """Parse a YAML file to mappings with string keys, lists and scalars.

    Args:
        remedy: ends the error sentence.

    Raises:
        FileNotFoundError: there is no such file.
        BasinError: the file is unreadable, too large, not UTF-8 or not YAML, or has a duplicate key.
    """
    try:
        content = read_whole(path, LARGEST_FILE, remedy)
        return parse_yaml(content.decode("utf-8-sig"))
    except FileNotFoundError:
        raise
    except UnicodeDecodeError as error:
        reason = f"byte {error.start} is not UTF-8"
    except UnreadableYamlError as error:
        reason = str(error)
    except (OSError, ValueError) as error:  # a name with a NUL is a ValueError
        reason = (error.strerror if isinstance(error, OSError) else None) or first_sentence(error)
    raise BasinError(f"{path} cannot be read as YAML ({reason}); {remedy}.") from None


def parse_yaml(text: str) -> Any:
    """Parse a text as `read_yaml` does; raises `UnreadableYamlError`."""
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
        raise UnreadableYamlError(_reason(error)) from None
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError) as error:
        if isinstance(error, UnreadableYamlError):
            raise
        raise UnreadableYamlError(first_sentence(error)) from None
    finally:
        if loader is not None:
            loader.dispose()


def _reason(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or first_sentence(error)
    return f"line {mark.line + 1}: {problem}"[:160] if mark else str(problem)[:160]


def _require_shallow(text: str) -> None:
    """Refuse deep nesting before any recursion."""
    depth = values = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        values += isinstance(event, yaml.NodeEvent)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST:
            line = event.start_mark.line + 1 if event.start_mark else 0
            raise UnreadableYamlError(f"line {line}: nested more than {DEEPEST} deep")
        if values > MOST_VALUES:
            raise UnreadableYamlError(f"more than {MOST_VALUES:,} values")


def _require_plain(root: yaml.Node) -> None:
    """Refuse unusual tags, duplicate keys, and aliases that expand without end."""
    sizes: dict[int, int | None] = {}

    def size(node: yaml.Node) -> int:
        known = sizes.get(id(node), 0)
        if known is None:
            raise UnreadableYamlError(f"{_line(node)}: an alias of what it stands in")
        if known:
            return known
        sizes[id(node)] = None
        if isinstance(node, yaml.ScalarNode):
            _require_value(node)
            total = 1
        else:
            if node.tag not in COMMON_TAGS:
                raise UnreadableYamlError(f"{_line(node)}: {node.tag[:60]} is no kind of value for a setting")
            if isinstance(node, yaml.MappingNode):
                _require_keys(node)
                total = 1 + sum(size(each) for pair in node.value for each in pair)
            else:
                total = 1 + sum(size(each) for each in node.value)
        if total > MOST_VALUES:
            raise UnreadableYamlError(f"{_line(node)}: its aliases grow to more than {MOST_VALUES:,} values")
        sizes[id(node)] = total
        return total

    size(root)


def _require_value(node: yaml.ScalarNode) -> None:
    if OLD_VALUES.get(node.tag, NEVER).fullmatch(node.value):
        node.tag = "tag:yaml.org,2002:str"
    if node.tag not in COMMON_TAGS:
        raise UnreadableYamlError(f"{_line(node)}: {node.tag[:60]} is no kind of value for a setting")
    if any("\ud800" <= each <= "\udfff" for each in node.value):
        raise UnreadableYamlError(f"{_line(node)}: half a character")
    if node.tag == "tag:yaml.org,2002:int" and len(node.value.lstrip("+-")) > MOST_DIGITS:
        raise UnreadableYamlError(f"{_line(node)}: a number of more than {MOST_DIGITS} digits")


def _require_keys(node: yaml.MappingNode) -> None:
    seen: set[str] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise UnreadableYamlError(f"{_line(key)}: a key that is no text")
        if key.tag == "tag:yaml.org,2002:merge":
            raise UnreadableYamlError(f"{_line(key)}: '<<' is not supported; write the settings out")
        key.tag = "tag:yaml.org,2002:str"  # 1, yes and null are valid names
        if key.value in seen:
            raise UnreadableYamlError(f"{_line(key)}: {quoted(key.value)} is given twice")
        seen.add(key.value)


def _line(node: yaml.Node) -> str:
    return f"line {node.start_mark.line + 1}" if node.start_mark else "somewhere"
