"""Parses one T-SQL statement with sqlglot, leaving every function as written so that none is translated
unseen.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, ClassVar

import sqlglot
from sqlglot import exp
from sqlglot.dialects.tsql import TSQL
from sqlglot.errors import SqlglotError

from airflow_provider_pacs.sandbox.model import SqlError

# sqlglot gives these words a type that forgets which of two T-SQL types was meant.
_AMBIGUOUS = frozenset({"REAL", "NTEXT"})


# What the translator reads of each node. sqlglot may put more there (a sample, a pivot, a negation): then the
# statement is refused, not half obeyed.
_READ = {
    name: frozenset(parts.split())
    for name, parts in {
        "Table": "this db catalog alias hints joins",
        "Subquery": "this alias joins with_",
        "Values": "expressions alias",
        "Lateral": "this alias cross_apply",
        "TableAlias": "this columns",
        "Join": "this side kind on",
        "Like": "this expression negate",
        "In": "this expressions query",
        "Is": "this expression",
        "Between": "this low high",
        "Exists": "this",
        "Window": "this partition_by order spec over",
        "WindowSpec": "kind start start_side end end_side",
        "WithinGroup": "this expression",
        "Distinct": "expressions",
        "Union": "this expression distinct order limit offset with_",
        "Except": "this expression distinct order limit offset with_",
        "Intersect": "this expression distinct order limit offset with_",
        "With": "expressions recursive",
        "CTE": "this alias",
        "Order": "expressions",
        "Ordered": "this desc nulls_first",
        "Group": "expressions",
        "Limit": "this expression limit_options",
        "LimitOptions": "percent rows with_ties",
        "Fetch": "direction count limit_options",
        "Offset": "this expression",
        "Case": "this ifs default",
        "Cast": "this to",
        "TryCast": "this to safe",
        "Convert": "this expression style safe",
        "Column": "this table db catalog",
        "Anonymous": "this expressions",
        "Insert": "this expression",
        "Update": "this expressions from_ where",
        "Delete": "this tables where",
    }.items()
}


_NAMES = r"((?:\[(?:[^\]]|\]\])*\]|\w+)(?:\s*\.\s*(?:\[(?:[^\]]|\]\])*\]|\w+))*)"
_CHANGES = re.compile(rf"CHANGETABLE\s*\(\s*CHANGES\s+{_NAMES}\s*,", re.IGNORECASE)
_VERSION = re.compile(
    rf"CHANGETABLE\s*\(\s*VERSION\s+{_NAMES}\s*,\s*\(([^()]*)\)\s*,\s*\(([^()]*)\)\s*\)", re.IGNORECASE
)
CHANGES, VERSION = "changetable_changes", "changetable_version"
"""CHANGETABLE's two forms as functions."""


def rewritten(text: str) -> str:
    """CHANGETABLE as functions that the parser knows."""
    if "CHANGETABLE" not in text.upper():
        return text
    text = _CHANGES.sub(lambda m: f"sys.{CHANGES}(N'{_quoted(m[1])}',", text)
    return _VERSION.sub(lambda m: f"sys.{VERSION}(N'{_quoted(m[1])}', N'{_quoted(m[2])}', {m[3]})", text)


def _quoted(name: str) -> str:
    return name.replace("'", "''")


class _Parser(TSQL.Parser):  # type: ignore[valid-type, misc]
    FUNCTIONS: ClassVar[dict[str, Any]] = {}
    NO_PAREN_FUNCTIONS: ClassVar[dict[Any, Any]] = {}
    FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {
        k: v
        for k, v in TSQL.Parser.FUNCTION_PARSERS.items()
        if k in ("CAST", "CONVERT", "TRY_CAST", "TRY_CONVERT")
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
    """One statement's tree, the caller's own to change.

    Raises:
        SqlError: 102 where it does not parse.
    """
    return _parsed(rewritten(text)).copy()


@lru_cache(maxsize=256)
def _parsed(text: str) -> exp.Expression:
    """A client sends the same few statements again and again."""
    try:
        tree = sqlglot.parse_one(text, read=SandboxTSQL)
    except SqlglotError as error:
        raise untranslated(text, str(error).splitlines()[0]) from error
    if not isinstance(tree, exp.Expression):
        raise untranslated(text, "no statement")
    for node in tree.walk():
        known = _READ.get(type(node).__name__)
        unread = [k for k, v in node.args.items() if v and k not in known] if known is not None else []
        if unread:
            raise untranslated(text, f"{type(node).__name__} with {', '.join(unread)}")
    return tree
