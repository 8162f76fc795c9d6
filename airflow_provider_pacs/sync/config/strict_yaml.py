"""A YAML file comes in; its value, the line of every path in it, and its duplicate keys go out.

What can't be read is one ConfigError.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from airflow_provider_pacs.sync.runtime.errors import ConfigError

YamlPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class YamlFile:
    """What a file holds. `lines` counts from 1; `duplicates` names a key's second occurrence, which plain
    YAML would silently prefer.
    """

    value: Any
    lines: dict[YamlPath, int]
    duplicates: tuple[tuple[YamlPath, int], ...]


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
        ConfigError: the file is missing, not UTF-8, empty, or not YAML.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: is not UTF-8 text (byte {error.start})", remedy="Save the file as UTF-8."
        ) from error
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {error.strerror}") from error
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        found = [] if root is None else list(_nodes(root, (), set()))
        value = None if root is None else loader.construct_document(root)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or str(error).splitlines()[0]
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
    for where, line in found:
        if where in lines:
            duplicates.append((where, line))
        lines.setdefault(where, line)
    return YamlFile(value=value, lines=lines, duplicates=tuple(duplicates))
