"""The text of one T-SQL statement in; sqlglot's tree out, with every function left as written so that none is translated behind our back."""

from __future__ import annotations

from typing import Any, ClassVar

import sqlglot
from sqlglot import exp
from sqlglot.dialects.tsql import TSQL
from sqlglot.errors import SqlglotError

from airflow_provider_pacs.sandbox.model import SqlError

# sqlglot gives these words a type that forgets which of two T-SQL types was meant.
_AMBIGUOUS = frozenset({"REAL", "NTEXT"})


class _Parser(TSQL.Parser):  # type: ignore[valid-type, misc]
    FUNCTIONS: ClassVar[dict[str, Any]] = {}
    NO_PAREN_FUNCTIONS: ClassVar[dict[Any, Any]] = {}
    FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {
        k: v for k, v in TSQL.Parser.FUNCTION_PARSERS.items() if k in ("CAST", "CONVERT", "TRY_CAST", "TRY_CONVERT")
    }


class SandboxTSQL(TSQL):
    """T-SQL with untouched functions."""

    class Tokenizer(TSQL.Tokenizer):
        """T-SQL tokens without the words that lose a type."""

        KEYWORDS: ClassVar = {k: v for k, v in TSQL.Tokenizer.KEYWORDS.items() if k not in _AMBIGUOUS}

    Parser = _Parser


def untranslated(text: str, why: str) -> SqlError:
    """The error for a statement that is T-SQL perhaps, but that the sandbox can't run."""
    near = " ".join(text.split())[:200]
    return SqlError(102, f"Incorrect syntax near '{near}'. (Sandbox: {why})", severity=15)


def parse(text: str) -> exp.Expression:
    """One statement's tree.

    Raises:
        SqlError: 102 where it does not parse.
    """
    try:
        tree = sqlglot.parse_one(text, read=SandboxTSQL)
    except SqlglotError as error:
        raise untranslated(text, str(error).splitlines()[0]) from error
    if not isinstance(tree, exp.Expression):
        raise untranslated(text, "no statement")
    return tree
