"""A mutant's text in a file, whatever the line breaks, the indentation and the way that long strings are broken.

Both texts are reduced to what counts: no white space, no comments, strings that stand side by side joined to
one, no comma before a closing bracket. What is left is compared character by character, and each character
knows where it stood.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

_OPENING = re.compile(r"""^[A-Za-z]*("{3}|'{3}|"|')""")
_LAST_COMMA = re.compile(r",(?=[)\]}])")
_FSTRING_START = getattr(tokenize, "FSTRING_START", -1)
_FSTRING_END = getattr(tokenize, "FSTRING_END", -1)


class StaleMutantError(Exception):
    """A mutant's text is not in its file exactly once: the code moved on, and the mutant must follow."""


@dataclass(frozen=True, slots=True)
class Reduced:
    """What counts of a text, and where each character of it stands."""

    text: str
    places: tuple[int, ...]


@lru_cache(maxsize=100)
def reduced(text: str, *, is_python: bool) -> Reduced:
    """What counts of a whole file."""
    hidden = _between_strings(text) if is_python else []
    starts = [start for start, _ in hidden]
    kept = []
    for place, character in enumerate(text):
        index = bisect_right(starts, place) - 1
        if character.isspace() or (index >= 0 and place < hidden[index][1]):
            continue
        kept.append((character, place))
    joined = "".join(character for character, _ in kept)
    dropped = {match.start() for match in _LAST_COMMA.finditer(joined)}
    rest = [pair for index, pair in enumerate(kept) if index not in dropped]
    return Reduced("".join(character for character, _ in rest), tuple(place for _, place in rest))


def reduced_part(text: str) -> str:
    """What counts of a mutant's text: a part of a file, with its strings in one piece."""
    return _LAST_COMMA.sub("", re.sub(r"\s+", "", text))


def places(text: str, old: str, *, is_python: bool) -> list[tuple[int, int]]:
    """Where `old` stands in a file's text: (start, end) of each place."""
    whole, part = reduced(text, is_python=is_python), reduced_part(old)
    starts, start = [], whole.text.find(part)
    while start >= 0:
        starts.append((whole.places[start], whole.places[start + len(part) - 1] + 1))
        start = whole.text.find(part, start + 1)
    return starts


def mutated(file: Path, old: str, new: str) -> str:
    """The file's text with `new` where `old` stands.

    Raises:
        StaleMutantError: `old` is not there exactly once, or what comes out is the same program or none.
    """
    text = file.read_text("utf-8")
    is_python = file.suffix == ".py"
    starts = places(text, old, is_python=is_python)
    if len(starts) != 1:
        raise StaleMutantError(f"its text is found {len(starts)} times in {file.name}: {old!r}")
    if reduced_part(old) == reduced_part(new):
        raise StaleMutantError("what it makes is the same program")
    start, end = starts[0]
    changed = text[:start] + new + text[end:]
    if is_python:
        try:
            ast.parse(changed)
        except SyntaxError as error:
            raise StaleMutantError(f"what it makes of {file.name} is no Python: {error}") from error
    return changed


def _between_strings(text: str) -> list[tuple[int, int]]:
    """What stands between two strings that Python joins, and every comment: (start, end) of each."""
    lines = [0]
    for line in text.splitlines(keepends=True):
        lines.append(lines[-1] + len(line))

    def offset(position: tuple[int, int]) -> int:
        return lines[position[0] - 1] + position[1]

    hidden: list[tuple[int, int]] = []
    closing: tuple[int, int] | None = None  # where the last string's quote stands
    for kind, begin, end, first in _strings_and_others(text):
        start, stop = offset(begin), offset(end)
        if kind == "comment":
            hidden.append((start, stop))
        elif kind == "string":
            match = _OPENING.match(first)
            assert match is not None, first
            if closing is not None:
                hidden.append((closing[0], start + len(match[0])))
            closing = (stop - len(match[1]), stop)
        else:
            closing = None
    return _merged(hidden)


_Place = tuple[int, int]


def _strings_and_others(text: str) -> Iterator[tuple[str, _Place, _Place, str]]:
    """(`string`, `comment` or `other`, start, end, how it begins); from Python 3.12 on an f-string is several
    tokens, and is one here.
    """
    depth, begin, first = 0, (0, 0), ""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == _FSTRING_START:
            if depth == 0:
                begin, first = token.start, token.string
            depth += 1
        elif token.type == _FSTRING_END:
            depth -= 1
            if depth == 0:
                yield "string", begin, token.end, first
        elif token.type == tokenize.COMMENT:
            yield "comment", token.start, token.end, ""
        elif depth == 0 and token.type != tokenize.NL:
            kind = "string" if token.type == tokenize.STRING else "other"
            yield kind, token.start, token.end, token.string


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
