"""Microsoft's own T-SQL parser: statements come in, what SQL Server 2012, 2016 and 2019 read in
them goes out.

The parser (ScriptDom) runs on .NET in a process of its own, because that runtime takes signal handlers and
threads that other tests need for themselves. It checks syntax only: no names, no types, no functions that are
spelled like any other. And it is lenient where T-SQL is: `SELEC 1` is an EXECUTE. So a test always says which
statements it meant.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
PLACE = ROOT / "build" / "scriptdom"
RECIPE = ROOT / ".ci" / "scriptdom"
PARSERS = {"2012": "TSql110Parser", "2016": "TSql130Parser", "2019": "TSql150Parser"}
_NOT_A_MARKER = r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\[(?:[^\]]|\]\])*\]|--[^\n]*|/\*.*?\*/"
_MARKERS = re.compile(rf"({_NOT_A_MARKER})|\?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement as the oldest parser (2012) read it.

    Attributes:
        type: its class in ScriptDom, e.g. `SelectStatement`.
        kinds: how many nodes of each class it has.
        tables: the parts of each table's name, in the order of the text, without their delimiters.
        columns: the parts of each column reference.
        aliases: the names of the selected columns; None for one without an alias.
        functions: the names of the functions it calls, in capitals.
        types: the data types it names, in small letters.
        into: SELECT ... INTO makes a table.
    """

    type: str
    kinds: Counter[str]
    tables: tuple[tuple[str, ...], ...]
    columns: tuple[tuple[str, ...], ...]
    aliases: tuple[str | None, ...]
    functions: frozenset[str]
    types: frozenset[str]
    into: bool


@dataclass(frozen=True, slots=True)
class ParseResult:
    """What the parsers read in one text.

    Attributes:
        sql: the text they read, with @P1, @P2, ... for its markers.
        errors: version -> messages; a version without errors is not in it.
        outlines: version -> statement types per batch.
        batches: the statements per batch; empty where the oldest version found errors.
    """

    sql: str
    errors: dict[str, list[str]]
    outlines: dict[str, list[list[str]]]
    batches: list[list[Statement]]

    def statements(self) -> list[Statement]:
        """The statements of the one batch that all versions read alike.

        Raises:
            AssertionError: a version found an error, more or less than one batch, or something else than the
                others.
        """
        assert not self.errors, f"{self.errors}\n{self.sql}"
        outline = self.outlines["2012"]
        assert all(other == outline for other in self.outlines.values()), f"{self.outlines}\n{self.sql}"
        assert len(self.batches) == 1, f"{len(self.batches)} batches\n{self.sql}"
        return self.batches[0]


def with_parameters(sql: str) -> str:
    """The text as Microsoft's ODBC driver sends it: each `?` that is no part of a literal, a name or a
    comment becomes @P1, @P2, ...
    """
    count = 0

    def numbered(mark: re.Match[str]) -> str:
        nonlocal count
        if mark[1] is not None:
            return mark[1]
        count += 1
        return f"@P{count}"

    return _MARKERS.sub(numbered, sql)


def missing() -> str:
    """What to do where the parser is not there or was made by another recipe; empty where it is."""
    stamp = PLACE / "stamp"
    if stamp.exists() and stamp.read_text("utf-8") == RECIPE.read_text("utf-8"):
        return ""
    state = "is made by another version of .ci/scriptdom" if stamp.exists() else "is missing"
    return (
        f"Microsoft's T-SQL parser in build/scriptdom {state}: run `make scriptdom` (needs the package "
        "index, about 5 s), then the tests again."
    )


class TsqlParser:
    """The running parser; close it, or use it in a `with`."""

    def __init__(self) -> None:
        if remedy := missing():
            raise AssertionError(remedy)
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.parsed = 0

    def parse_all(self, texts: Iterable[str]) -> list[ParseResult]:
        """One result per text."""
        sent = [with_parameters(text) for text in texts]
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(sent).encode() + b"\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, (
            f"the parser's process ended with status {self._process.wait(10)}; its last words are above"
        )
        self.parsed += len(sent)
        return [_result(sql, raw) for sql, raw in zip(sent, json.loads(answer), strict=True)]

    def parse(self, text: str) -> ParseResult:
        return self.parse_all([text])[0]

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate(timeout=30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _result(sql: str, raw: dict[str, Any]) -> ParseResult:
    return ParseResult(
        sql,
        raw["errors"],
        raw["outlines"],
        [[_statement(each) for each in batch] for batch in raw["batches"]],
    )


def _statement(raw: dict[str, Any]) -> Statement:
    return Statement(
        raw["type"],
        Counter(raw["kinds"]),
        tuple(map(tuple, raw["tables"])),
        tuple(map(tuple, raw["columns"])),
        tuple(raw["aliases"]),
        frozenset(raw["functions"]),
        frozenset(raw["types"]),
        raw["into"],
    )


# From here on: the process with the .NET runtime.


class _Walker:
    """Walks a syntax tree. Which properties of a class hold further nodes is asked of .NET once per class."""

    def __init__(self, library: Any, clr: Any) -> None:
        self._fragment = clr.GetClrType(library.TSqlFragment)
        self._known: dict[str, tuple[list[str], list[str]]] = {}

    def facts(self, statement: Any) -> dict[str, Any]:
        """What `Statement` holds, for JSON."""
        kinds: Counter[str] = Counter()
        lists: dict[str, list[Any]] = {
            name: [] for name in ("tables", "columns", "aliases", "functions", "types")
        }
        self._walk(statement, kinds, lists)
        kind = statement.GetType().Name
        into = kind == "SelectStatement" and statement.Into is not None
        return {"type": kind, "kinds": kinds, "into": into, **lists}

    def _walk(self, node: Any, kinds: Counter[str], lists: dict[str, list[Any]]) -> None:
        kind = node.GetType().Name
        kinds[kind] += 1
        if kind == "NamedTableReference":
            lists["tables"].append(_parts(node.SchemaObject))
        elif kind == "ColumnReferenceExpression":
            lists["columns"].append(_parts(node.MultiPartIdentifier))
        elif kind == "SelectScalarExpression":
            lists["aliases"].append(node.ColumnName.Value if node.ColumnName is not None else None)
        elif kind == "FunctionCall":
            lists["functions"].append(node.FunctionName.Value.upper())
        elif kind.endswith("DataTypeReference"):
            lists["types"].append(node.Name.BaseIdentifier.Value.lower())
        single, many = self._properties(node, kind)
        for name in single:
            if (child := getattr(node, name)) is not None:
                self._walk(child, kinds, lists)
        for name in many:
            for child in getattr(node, name):
                self._walk(child, kinds, lists)

    def _properties(self, node: Any, kind: str) -> tuple[list[str], list[str]]:
        if kind not in self._known:
            single, many = [], []
            for member in node.GetType().GetProperties():
                if member.GetIndexParameters().Length:
                    continue
                property_type = member.PropertyType
                if self._fragment.IsAssignableFrom(property_type):
                    single.append(member.Name)
                elif property_type.IsGenericType and self._fragment.IsAssignableFrom(
                    property_type.GetGenericArguments()[0]
                ):
                    many.append(member.Name)
            self._known[kind] = single, many
        return self._known[kind]


def _parts(name: Any) -> list[str]:
    return [identifier.Value for identifier in name.Identifiers] if name is not None else []


def _load() -> tuple[Any, Any, Any]:
    """(ScriptDom, the bridge's module `clr`, .NET's StringReader)."""
    sys.path.insert(0, str(PLACE / "python"))
    import pythonnet
    from clr_loader import get_coreclr

    pythonnet.set_runtime(
        get_coreclr(runtime_config=str(PLACE / "runtimeconfig.json"), dotnet_root=str(PLACE / "dotnet"))
    )
    import clr

    clr.AddReference(str(PLACE / "Microsoft.SqlServer.TransactSql.ScriptDom.dll"))
    import Microsoft.SqlServer.TransactSql.ScriptDom as library
    from System.IO import StringReader

    return library, clr, StringReader


def _read(parsers: dict[str, Any], walker: _Walker, reader: Any, sql: str) -> dict[str, Any]:
    errors: dict[str, list[str]] = {}
    outlines: dict[str, list[list[str]]] = {}
    batches: list[list[dict[str, Any]]] = []
    for version, parser in parsers.items():  # quoted identifiers on, as ODBC sets them
        tree, parsed = parser.Parse(reader(sql), None)
        if parsed.Count:
            errors[version] = [f"line {each.Line}: {each.Message}" for each in parsed]
            continue
        outlines[version] = [
            [statement.GetType().Name for statement in batch.Statements] for batch in tree.Batches
        ]
        if version == "2012":
            batches = [[walker.facts(statement) for statement in batch.Statements] for batch in tree.Batches]
    return {"errors": errors, "outlines": outlines, "batches": batches}


def _serve(lines: Iterable[str]) -> None:
    library, clr, reader = _load()
    parsers = {version: getattr(library, name)(True) for version, name in PARSERS.items()}
    walker = _Walker(library, clr)
    for line in lines:
        texts: Sequence[str] = json.loads(line)
        print(json.dumps([_read(parsers, walker, reader, text) for text in texts]), flush=True)


if __name__ == "__main__":
    _serve(sys.stdin)
