"""Splits a T-SQL batch into statements without knowing their grammar (semicolons are optional in T-SQL)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from airflow_provider_pacs.sandbox.model import SqlError

_TOKEN = re.compile(
    r"(?P<blank>\s+|--[^\n]*|/\*.*?\*/)|(?P<text>[Nn]?'(?:[^']|'')*')|(?P<name>\[(?:[^\]]|\]\])*\]|\"(?:[^\"]|\"\")*\")"
    r"|(?P<word>@{0,2}[A-Za-z_#\u00c0-\uffff][\w@#$]*)|(?P<number>\d[\w.]*)|(?P<sign>.)",
    re.DOTALL,
)
_SWALLOW = frozenset("ALTER CREATE DROP GRANT DENY REVOKE TRUNCATE DBCC".split())
_LEADERS = _SWALLOW | frozenset(
    "SELECT INSERT UPDATE DELETE MERGE DECLARE SET USE BEGIN COMMIT ROLLBACK SAVE IF EXEC EXECUTE PRINT "
    "WAITFOR RETURN RAISERROR THROW WHILE".split()
)
_VERBS = frozenset("SELECT INSERT UPDATE DELETE MERGE".split())


@dataclass(frozen=True, slots=True)
class Token:
    """One word, literal or sign of a batch; `kind` as the groups of the pattern."""

    kind: str
    text: str
    start: int
    end: int

    @property
    def upper(self) -> str:
        """Its text for comparison with keywords; empty for what can't be one."""
        return self.text.upper() if self.kind in ("word", "sign") else ""


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement. `kind` is its first word in capitals; IF has a condition and two branches, a block
    (BEGIN ... END) only `then`.
    """

    kind: str
    text: str
    tokens: tuple[Token, ...] = ()
    condition: str = ""
    then: tuple[Statement, ...] = ()
    otherwise: tuple[Statement, ...] = ()


def tokens(sql: str) -> list[Token]:
    """The tokens of a text, without blanks and comments."""
    return [
        Token(m.lastgroup or "", m.group(), m.start(), m.end())
        for m in _TOKEN.finditer(sql)
        if m.lastgroup != "blank"
    ]


def split(sql: str) -> list[Statement]:
    """The statements of a batch.

    Raises:
        SqlError: 102 for a block that does not end.
    """
    return _Cutter(sql, tokens(sql)).block(0, nested=False)[0]


def pieces(sequence: Sequence[Token]) -> list[list[Token]]:
    """A list, cut at the commas outside of parentheses."""
    out: list[list[Token]] = [[]]
    depth = 0
    for token in sequence:
        depth += {"(": 1, ")": -1}.get(token.upper, 0)
        if token.upper == "," and depth == 0:
            out.append([])
        else:
            out[-1].append(token)
    return out


class _Cutter:
    def __init__(self, sql: str, sequence: Sequence[Token]) -> None:
        self.sql, self.sequence = sql, sequence

    def block(self, at: int, nested: bool) -> tuple[list[Statement], int]:
        out: list[Statement] = []
        while at < len(self.sequence):
            word = self.sequence[at].upper
            if word == ";":
                at += 1
            elif word == "END" and nested:
                return out, at + 1
            else:
                statement, at = self.statement(at)
                out.append(statement)
        if nested:
            raise SqlError(102, "Incorrect syntax near 'BEGIN'.", severity=15)
        return out, at

    def statement(self, at: int) -> tuple[Statement, int]:
        word = self.sequence[at].upper
        following = self.sequence[at + 1].upper if at + 1 < len(self.sequence) else ""
        if word == "BEGIN" and following not in ("TRAN", "TRANSACTION", "TRY", "DISTRIBUTED"):
            inner, end = self.block(at + 1, nested=True)
            return Statement("BLOCK", self._text(at, end), then=tuple(inner)), end
        if word == "IF":
            return self._branch(at)
        end = self._end(at)
        kind = word.lstrip("@") if self.sequence[at].kind == "word" else word
        return Statement(kind or "?", self._text(at, end), tuple(self.sequence[at:end])), end

    def _branch(self, at: int) -> tuple[Statement, int]:
        start, depth, end = at + 1, 0, at + 1
        while end < len(self.sequence) and not (
            depth == 0 and end > start and self.sequence[end].upper in _LEADERS
        ):
            depth += {"(": 1, ")": -1}.get(self.sequence[end].upper, 0)
            end += 1
        if end >= len(self.sequence):
            raise SqlError(102, "Incorrect syntax near 'IF'.", severity=15)
        condition = self._text(start, end)
        then, end = self.statement(end)
        otherwise: tuple[Statement, ...] = ()
        after = end + 1 if end < len(self.sequence) and self.sequence[end].upper == ";" else end
        if after < len(self.sequence) and self.sequence[after].upper == "ELSE":
            branch, end = self.statement(after + 1)
            otherwise = (branch,)
        return Statement(
            "IF", self._text(at, end), condition=condition, then=(then,), otherwise=otherwise
        ), end

    def _end(self, at: int) -> int:
        main, depth, cases, taken, end = self.sequence[at].upper, 0, 0, False, at + 1
        while end < len(self.sequence):
            word, before = self.sequence[end].upper, self.sequence[end - 1].upper
            if word == ";" and depth == 0:
                break
            depth += {"(": 1, ")": -1}.get(word, 0)
            if depth == 0 and before != "." and word:
                if word in ("END", "ELSE") and cases == 0:
                    break
                cases += (word == "CASE") - (word == "END")
                if word in _LEADERS and not main_continues(main, before, word, taken):
                    break
                if word in _VERBS and main == "WITH":
                    main = word
                elif word in ("SELECT", "EXEC", "SET"):
                    taken = True
            end += 1
        return end

    def _text(self, start: int, end: int) -> str:
        return self.sql[self.sequence[start].start : self.sequence[end - 1].end] if end > start else ""


def main_continues(main: str, before: str, word: str, taken: bool) -> bool:
    """True where a statement's first word, met inside a statement whose verb is `main`, does not start
    another one.
    """
    if before in ("UNION", "ALL", "EXCEPT", "INTERSECT") and word == "SELECT":
        return True
    if main in _SWALLOW or main == "MERGE" or (main == "WITH" and word in _VERBS):
        return True
    if main == "INSERT":
        return word in ("SELECT", "EXEC", "EXECUTE") and not taken
    return main == "UPDATE" and word == "SET" and not taken
