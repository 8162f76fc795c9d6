"""The guide's pages as shell scripts: their `sh` blocks in order, with our values for the placeholders."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

GUIDE = Path(__file__).resolve().parents[2] / "airflow_provider_pacs" / "docs" / "guide"
BLOCK = re.compile(
    r"^(?P<indent> *)```sh(?: (?P<kind>\w+))?\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)
EXPORT = re.compile(r"^export (\w+)=(.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """A block of commands.

    Attributes:
        page: the page's file name.
        line: where the block begins.
        kind: `install` needs a virtual environment of its own, `slow` takes longer than a test should; empty for all
            others.
        text: the commands.
    """

    page: str
    line: int
    kind: str
    text: str


def blocks(page: Path) -> Iterator[Block]:
    """The page's blocks of commands, in order."""
    text = page.read_text("utf-8")
    for match in BLOCK.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        yield Block(page.name, line, match["kind"] or "", textwrap.dedent(match["text"]))


def filled(text: str, values: Mapping[str, str]) -> str:
    """The commands with our value in every `export` of a name that we have one for."""

    def line(match: re.Match[str]) -> str:
        name = match[1]
        return f"export {name}={shlex.quote(values[name])}" if name in values else match[0]

    return EXPORT.sub(line, text)


def script(parts: list[Block], values: Mapping[str, str]) -> str:
    """A bash script that stops at the first command that fails and says before each block where it stands."""
    out = ["set -euo pipefail"]
    for block in parts:
        out += [f"echo '### {block.page}:{block.line}'", f"echo '### {block.page}:{block.line}' >&2"]
        out.append(filled(block.text, values))
    return "\n".join(out) + "\n"
