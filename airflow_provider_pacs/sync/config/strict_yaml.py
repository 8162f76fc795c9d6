"""A YAML file comes in; its value, the line of every path in it, and its duplicate keys go out.

What can't be read is one ConfigError.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from airflow_provider_pacs.sync.runtime.errors import ConfigError

YamlPath = tuple[str | int, ...]
MAX_BYTES = 64 * 1024
MAX_DEPTH = 12
MAX_NODES = 5_000
MAX_TEXT = 1_000
"""A county's file has some hundred values, a few levels deep: what is beyond is no county's, and whoever
wrote it must not cost the others their parse.
"""
_CONTROL = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x85\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
"""Controls, marks that turn the direction of a line around, halves of a character, and what is no character:
they show as something else than they are, or can't be stored.
"""


class _RefusedError(Exception):
    """YAML, but not what a county's file may hold: what, and in which line."""


@dataclass(frozen=True, slots=True)
class YamlFile:
    """What a file holds. `lines` counts from 1; `duplicates` names a key's second occurrence, which plain
    YAML would silently prefer.
    """

    value: Any
    lines: dict[YamlPath, int]
    duplicates: tuple[tuple[YamlPath, int], ...]


def _bounded(text: str) -> None:
    """Go through the file's events, which cost nothing yet, before anything is made of them.

    Raises:
        _RefusedError: an alias, a merge key, a tag of another kind, or more than a county's file may hold.
    """
    depth = nodes = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        nodes += isinstance(event, yaml.NodeEvent)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        fault = ""
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            fault = "anchors and aliases (& and *) are not allowed: write the value again"
        elif depth > MAX_DEPTH:
            fault = f"more than {MAX_DEPTH} levels"
        elif nodes > MAX_NODES:
            fault = f"more than {MAX_NODES} values"
        elif isinstance(event, yaml.ScalarEvent):
            fault = _text_fault(event)
        elif getattr(event, "tag", None):
            fault = "tags (!) are not allowed"
        if fault:
            raise _RefusedError(fault, 1 + (event.start_mark.line if event.start_mark else 0))


def _text_fault(event: yaml.ScalarEvent) -> str:
    """What is wrong with one value or key; empty for nothing."""
    if event.tag is not None:
        return "tags (!) are not allowed"
    if event.value == "<<" and event.style is None:
        return "merge keys (<<) are not allowed: write the settings out"
    if len(event.value) > MAX_TEXT:
        return f"a value of more than {MAX_TEXT} characters"
    if _CONTROL.search(event.value):
        return "a control character"
    return ""


def _nodes(node: yaml.Node, path: YamlPath, seen: set[int]) -> Iterator[tuple[YamlPath, int]]:
    """Every path below a node with its line; an alias is entered once, so neither recursion nor a bomb of
    aliases hurts.
    """
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*path, str(key.value) if isinstance(key, yaml.ScalarNode) else "?")
            yield here, key.start_mark.line + 1
            yield from _nodes(value, here, seen)
    elif isinstance(node, yaml.SequenceNode):
        for position, value in enumerate(node.value):
            yield (*path, position), value.start_mark.line + 1
            yield from _nodes(value, (*path, position), seen)


def read_yaml(path: Path) -> YamlFile:
    """Read one YAML document.

    Raises:
        ConfigError: the file is missing, not UTF-8, empty, not YAML, or more than a county's file may be.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ConfigError(f"{path}: is larger than {MAX_BYTES // 1024} KB: not a county's file")
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: is not UTF-8 text (byte {error.start})", remedy="Save the file as UTF-8."
        ) from error
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {error.strerror}") from error
    try:
        _bounded(text)
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        nodes = [] if root is None else list(_nodes(root, (), set()))
        value = None if root is None else loader.construct_document(root)
    except _RefusedError as error:
        fault, line = error.args
        raise ConfigError(f"{path}: {fault} (line {line})", remedy="Write plain settings.") from None
    except (yaml.YAMLError, ValueError, ArithmeticError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or "a value that can't be read"
        raise ConfigError(
            f"{path}: is not valid YAML: {what}{f' (line {mark.line + 1})' if mark else ''}"
        ) from error
    if value is None:
        raise ConfigError(
            f"{path}: is empty",
            remedy="An empty county file is not a county: write at least `county: <name>`, or remove the file.",  # noqa: E501
        )
    lines: dict[YamlPath, int] = {}
    duplicates: list[tuple[YamlPath, int]] = []
    for where, line in nodes:
        if where in lines:
            duplicates.append((where, line))
        lines.setdefault(where, line)
    return YamlFile(value=value, lines=lines, duplicates=tuple(duplicates))
