"""Pieces of DuckDB text that several translators need: literals, patterns and the common type of branches."""

from __future__ import annotations

import re
from collections.abc import Sequence

from airflow_provider_pacs.sandbox.catalog import sqltypes
from airflow_provider_pacs.sandbox.catalog.sqltypes import CHARACTER, INT
from airflow_provider_pacs.sandbox.model import SqlType
from airflow_provider_pacs.sandbox.tsql.environment import Translator
from airflow_provider_pacs.sandbox.tsql.scope import Typed


def text_literal(value: str) -> str:
    """A DuckDB string literal."""
    return "'" + value.replace("'", "''") + "'"


def like_regex(pattern: str, escape: str) -> str:
    """A LIKE pattern with [sets] as a regular expression."""
    out, at = [], 0
    while at < len(pattern):
        char = pattern[at]
        if escape and char == escape and at + 1 < len(pattern):
            at += 1
            out.append(re.escape(pattern[at]))
        elif char == "[" and (end := pattern.find("]", at + 1)) > 0:
            body = pattern[at + 1 : end].replace("\\", "\\\\")
            out.append(
                "[" + ("^" + body[1:].replace("^", "\\^") if body.startswith("^") else body) + "]"
                if body
                else ""
            )
            at = end
        else:
            out.append({"%": ".*", "_": "."}.get(char) or re.escape(char))
        at += 1
    return "".join(out)


def blind(text: str, kind: SqlType) -> str:
    """An expression by which rows are compared: trailing blanks of text make no difference."""
    return f"rtrim({text}, ' ')" if kind.name in CHARACTER else text


def unify(e: Translator, branches: Sequence[Typed]) -> tuple[list[str], SqlType]:
    """The texts of CASE branches (or COALESCE arguments) in their common type."""
    typed = [b for b in branches if not b.is_null]
    kind = typed[0].type if typed else INT
    for branch in typed[1:]:
        kind = sqltypes.common(kind, branch.type)
    return [e.sql(b, kind) for b in branches], kind
