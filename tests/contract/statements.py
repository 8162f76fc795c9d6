"""Every T-SQL statement that the product can emit, found in its code: query builders by what they return,
constants by how they begin.

A new change family, builder or constant is found without a word here. A builder whose arguments are not known
here fails and says so.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import pkgutil
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from airflow_provider_pacs.sync import incremental as changes
from airflow_provider_pacs.sync.incremental.full import SCOPE
from airflow_provider_pacs.sync.incremental.statements import ChangeQuery, Window
from airflow_provider_pacs.sync.profiles import TableMap, load_tables, profile_columns
from airflow_provider_pacs.sync.runtime.errors import FatalError
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable, describe
from airflow_provider_pacs.sync.source.address import ISOLATION_LEVELS
from tests.contract.tsql_judge import ROOT

DATE_TYPES = [
    "datetime",
    "smalldatetime",
    "date",
    *(f"{name}({scale})" for name in ("datetime2", "datetimeoffset") for scale in range(8)),
]
CHANGE_TYPES = [*DATE_TYPES, "timestamp", "int", None]
KEY_TYPES = [
    *("uniqueidentifier", "int", "bigint", "smallint", "numeric(18, 0)", "decimal(9, 2)"),
    *("varchar(50)", "nvarchar(20)", "char(10)", "nchar(10)"),
]
OTHER_TYPES = [
    *("varchar(max)", "nvarchar(max)", "varbinary(max)", "text", "ntext", "image", "xml"),
    *("char(2)", "nchar(2)", "money", "float", "bit", "real"),
]
ODD_NAMES = [
    "with space",
    " leading and trailing ",
    "clos]ing",
    "]]",
    "[brackets]",
    "qu'ote",
    'double"quote',
    "select",
    "ORDER BY",
    "x" * 70,
    "y" * 128,
    "]" * 128,
    "Größe/Nº",
    "地番",
    "🏡",
    "a.b",
    "?",
    "@P1",
    "#temp",
    "--",
    "/*",
    "*/",
    "line\nbreak",
    "x\r\nGO\r\ny",
    "]; DROP TABLE [x",
    "'); EXEC xp_cmdshell '",
]
EXTRA = {"zone_code": ("ZoneCode", "nvarchar(max)"), "noted_at": ("NotedAt", "datetime2(7)")}
"""Carried beyond the canonical columns: name in `extra` -> source column and its type."""
JOINED = "harris_pacs_9"
Built = ChangeQuery | tuple[tuple[str, ChangeQuery], ...] | None
STAMP = "2026-01-15 06:00:00.003"
_SIZES = {
    "uniqueidentifier": 16,
    "int": 4,
    "bigint": 8,
    "smallint": 2,
    "timestamp": 8,
    "xml": -1,
    "text": 16,
    "ntext": 16,
    "image": 16,
}
_SQL = re.compile(
    r"\s*(SELECT|SET|DECLARE|INSERT|UPDATE|DELETE|MERGE|EXEC|EXECUTE|BEGIN|COMMIT|ROLLBACK|WITH|USE|ALTER|CREATE|DROP|TRUNCATE)\s+\S"
)
_SOURCE_SIDE = ("hooks", "operators", "commands", "sync/source", "sync/changes", "sync/preflight")


class CatalogReader:
    """A source of which only the catalog answers: the columns (keys are not declared), or none of its views
    (`columns` None).
    """

    def __init__(self, columns: dict[str, str] | None) -> None:
        self.columns = columns

    def query(self, sql: str, params: Sequence[object] = ()) -> list[dict[str, Any]]:
        if self.columns is None:
            raise FatalError("permission denied")
        if "table_name" in sql and "type_name" in sql:
            tables = [str(name)[1:-1].split("].[") for name in params if name is not None]
            places = [
                {"schema_name": schema.replace("]]", "]"), "table_name": table.replace("]]", "]")}
                for schema, table in tables
            ]
            return [
                _catalog_row(name, declared) | place
                for place in places
                for name, declared in self.columns.items()
            ]
        return (
            [_catalog_row(name, declared) for name, declared in self.columns.items()]
            if "type_name" in sql
            else []
        )


def _catalog_row(name: str, declared: str) -> dict[str, Any]:
    base, _, arguments = declared.rstrip(")").partition("(")
    numbers = [-1 if text == "max" else int(text) for text in arguments.split(",")] if arguments else [0]
    wide = 2 if base in {"nvarchar", "nchar"} and numbers[0] > 0 else 1
    length = numbers[0] * wide if "char" in base or "binary" in base else _SIZES.get(base, 8)
    scale = numbers[-1] if base in {"datetime2", "datetimeoffset", "time", "numeric", "decimal"} else 0
    precision = numbers[0] if base in {"numeric", "decimal"} else 0
    return {
        "name": name,
        "type_name": base,
        "max_length": length,
        "precision": precision,
        "scale": scale,
        "is_nullable": True,
    }


def shape_of(table: TableMap, types: dict[str, str] | None) -> ResolvedTable:
    """The shape that the product itself makes of a catalog's answer. `types` is source column -> declared
    type; None: no catalog.
    """
    return describe(CatalogReader(types), table)  # type: ignore[arg-type]


def make_shape(
    change_type: str | None = "datetime",
    key_type: str = "uniqueidentifier",
    rename: Callable[[str], str] = str,
) -> ResolvedTable:
    """`property` with every other kind of column; `rename` turns each name of the source into another."""
    table = load_tables("generic")["property"]
    others = iter(OTHER_TYPES)
    given = {"property_id": key_type, "last_modified": change_type or "datetime"}
    types = {rename(source): given.get(canonical) or next(others) for canonical, source in table.columns}
    types |= {rename(source): declared for source, declared in EXTRA.values()}
    renamed = tuple((canonical, rename(source)) for canonical, source in table.columns)
    extra = tuple((name, rename(source)) for name, (source, _) in EXTRA.items())
    change_column = rename("LastModified") if change_type else None
    moved = replace(
        table,
        schema=rename("dbo"),
        table=rename("Property"),
        change_column=change_column,
        columns=renamed,
        extra=extra,
    )
    return shape_of(moved, types)


def odd(name: str) -> Callable[[str], str]:
    """Makes each name an odd one that still differs from the others, within 128 characters."""
    return lambda source: (
        name if len(name) == 128 and source in {"dbo", "Property"} else name[: 128 - len(source)] + source
    )


def all_shapes() -> list[ResolvedTable]:
    """One per change type, key type and odd name, and every table of the profile; also without a readable
    catalog.
    """
    shapes = [make_shape(change_type=change_type) for change_type in CHANGE_TYPES]
    shapes += [make_shape(key_type=key_type) for key_type in KEY_TYPES]
    shapes += [make_shape(rename=odd(name)) for name in ODD_NAMES]
    shapes += [shape_of(table, None) for table in load_tables("generic").values()]
    return shapes + joined_shapes()


def joined_shapes() -> list[ResolvedTable]:
    """Every entity of the joined profile, with each of its choices, with odd names, with `extra`, and without
    a readable catalog.
    """
    names = {column for columns in profile_columns(JOINED).values() for column in columns}
    types = dict.fromkeys(sorted(names), "varchar(50)") | {"tsRowVersion": "timestamp"}
    choices: list[dict[str, Any]] = [
        {},
        {"supplements": "accepted", "future_layer": True},
        {"supplements": "base", "land_value": ["land_hstd_val"]},
    ]
    shapes = [
        shape_of(table, types)
        for options in choices
        for table in load_tables(JOINED, options=options).values()
    ]
    extra = {"property": {"extra": {"zoning": "p.geo_id"}}}
    shapes.append(shape_of(load_tables(JOINED, extra)["property"], types))
    for name in ODD_NAMES[:1]:
        rename = odd(name)
        renamed = {
            table: {"table": rename(table), "columns": {c: rename(c) for c in columns}}
            for table, columns in profile_columns(JOINED).items()
        }
        odd_types = {rename(column): declared for column, declared in types.items()}
        shapes += [
            shape_of(table, odd_types) for table in load_tables(JOINED, source_tables=renamed).values()
        ]
    return shapes + [shape_of(table, None) for table in load_tables(JOINED).values()]


def builders() -> dict[str, Callable[..., Built]]:
    """`module.function` -> every public function of `sync/changes` that returns a ChangeQuery."""
    found = {}
    for info in pkgutil.iter_modules(changes.__path__):
        module: ModuleType = importlib.import_module(f"{changes.__name__}.{info.name}")
        for name, function in inspect.getmembers(module, inspect.isfunction):
            returns = str(inspect.signature(function).return_annotation)
            if (
                function.__module__ == module.__name__
                and not name.startswith("_")
                and "ChangeQuery" in returns
            ):
                found[f"{info.name}.{name}"] = function
    return found


def _asked_for(function: Callable[..., Built], shape: ResolvedTable) -> bool:
    """Builders of a family with a cursor are asked only for tables of that family (`changes.stamps`)."""
    families = {each.window.__module__ for each in vars(changes).values() if isinstance(each, changes.Stamps)}
    own = changes.stamps(shape)
    return function.__module__ not in families or (
        own is not None and own.window.__module__ == function.__module__
    )


def queries(name: str, function: Callable[..., Built], shape: ResolvedTable) -> Iterator[ChangeQuery]:
    """What one builder makes for a shape, for every combination of its arguments; nothing where the product
    would not ask it.
    """
    if "shape" in inspect.signature(function).parameters and not _asked_for(function, shape):
        return
    values: dict[str, list[Any]] = {
        "shape": [shape],
        "window": [Window(None, STAMP), Window(STAMP, STAMP)],
        "hi": [STAMP],
        "rows": [10],
        "keys": [("1",), ("1", "2", "3")],
        "column": [None, SCOPE if shape.selection else shape.map.columns[1][1]],
        "since": [STAMP],
        "until": [STAMP],
        "clock": ["local", "utc"],
        "change_type": DATE_TYPES,
        "now": [STAMP],
        "cursor": [None, STAMP],
        "oldest": [None, STAMP],
        "lag_seconds": [60],
        "overlap_minutes": [75],
        "offset_minutes": [0, -480],
    }
    parameters = list(inspect.signature(function).parameters)
    unknown = [parameter for parameter in parameters if parameter not in values]
    assert not unknown, f"{name} takes {unknown}: give example values for it in {Path(__file__).name}"
    for chosen in itertools.product(*(values[parameter] for parameter in parameters)):
        query = function(**dict(zip(parameters, chosen, strict=True)))
        yield from [query] if isinstance(query, ChangeQuery) else [one for _, one in query or ()]


def built(shapes: Sequence[ResolvedTable]) -> dict[str, set[str]]:
    """Builder -> the different texts that it makes for these shapes."""
    return {
        name: {query.sql for shape in shapes for query in queries(name, function, shape)}
        for name, function in builders().items()
    }


def _source_files() -> list[Path]:
    package = ROOT / "airflow_provider_pacs"
    files = [*package.glob("*.py"), *(package / "sync").glob("*.py")]
    return sorted([*files, *(path for folder in _SOURCE_SIDE for path in (package / folder).rglob("*.py"))])


def _strings(path: Path) -> Iterator[tuple[str, str | None]]:
    """(the function or "" it stands in, text) of each string of a file; None for the text of one that is put
    together. No docstrings.
    """
    tree = ast.parse(path.read_text("utf-8"))
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}

    def walk(node: ast.AST, function: str) -> Iterator[tuple[str, str | None]]:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            function = node.name
        if isinstance(node, ast.JoinedStr):
            first = node.values[0] if node.values else None
            if isinstance(first, ast.Constant) and _SQL.match(str(first.value) + "x"):
                yield function, None
            return
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in docs
            and _SQL.match(node.value)
        ):
            yield function, node.value
        for child in ast.iter_child_nodes(node):
            yield from walk(child, function)

    return walk(tree, "")


def constants() -> dict[str, set[str]]:
    """File -> every string constant of the source's side that reads like a statement."""
    found = {
        path.relative_to(ROOT).as_posix(): {text for _, text in _strings(path) if text is not None}
        for path in _source_files()
    }
    return {name: texts for name, texts in found.items() if texts}


def assembled() -> set[str]:
    """`file:function` of every f-string of the source's side that begins like a statement."""
    return {
        f"{path.relative_to(ROOT).as_posix()}:{function}"
        for path in _source_files()
        for function, text in _strings(path)
        if text is None
    }


def session_statements() -> set[str]:
    """What `session.prepare` can say beyond its constants."""
    return {f"SET TRANSACTION ISOLATION LEVEL {level}" for level in ISOLATION_LEVELS}


def template(sql: str) -> str:
    """A statement without the numbers of its markers, and without the number of its keys."""
    unnumbered = re.sub(r"@P\d+", "?", sql)
    return re.sub(r" IN \((CONVERT\([^?]*\?\)|\?)(?:, \1)*\)$", r" IN (\1)", unnumbered)
