"""Every T-SQL statement that the product can emit, found in its code: query builders by what they return,
constants by how they begin.

A new strategy, builder or constant is covered without a word here. A builder whose arguments are not known here
fails and says so.
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

from airflow_provider_pacs.sync import incremental, polling
from airflow_provider_pacs.sync.incremental import STRATEGIES
from airflow_provider_pacs.sync.incremental.full import ROOT_KEY
from airflow_provider_pacs.sync.incremental.statements import ChangeQuery, Late, Window
from airflow_provider_pacs.sync.incremental.strategy import (
    BoundsRequest,
    IncrementalStrategy,
    ShowsPosition,
    SourceFacts,
)
from airflow_provider_pacs.sync.polling import PolledEntity, PollPlan, polled_table
from airflow_provider_pacs.sync.profiles import TableMap, load_tables, profile_columns
from airflow_provider_pacs.sync.runtime.errors import FatalError
from airflow_provider_pacs.sync.schema.captures import CaptureInstance
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable, describe
from airflow_provider_pacs.sync.schema.features import TableFeed
from airflow_provider_pacs.sync.schema.stamping import check_stamping_clock, has_moments, next_cursor_query
from airflow_provider_pacs.sync.source.address import ISOLATION_LEVELS
from tests.contract.tsql_parser import ROOT

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
_TARGET_SIDE = ("sync/target/", "sync/quality/", "monitor/", "sandbox/")
"""Folders whose statements PostgreSQL or the sandbox itself reads."""

PRINTED = ("/preflight/grants.py", "/preflight/feed_scripts.py", "/preflight/followed.py")
"""Files whose statements are printed for a DBA and sent by nobody."""


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
        {"supplements": "accepted", "future_layer": True, "history": "layers", "taxable_value": True},
        {"supplements": "base", "land_value": ["land_hstd_val"], "qualified_by": "county_code"},
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
    """`module.function` -> every public function of `sync/incremental` and `sync/polling` that returns a
    ChangeQuery.
    """
    functions = {}
    names = [f"{incremental.__name__}.{info.name}" for info in pkgutil.iter_modules(incremental.__path__)]
    for module_name in [*names, polling.__name__]:
        module: ModuleType = importlib.import_module(module_name)
        for name, function in inspect.getmembers(module, inspect.isfunction):
            returns = str(inspect.signature(function).return_annotation)
            if (
                function.__module__ == module.__name__
                and not name.startswith("_")
                and "ChangeQuery" in returns
            ):
                functions[f"{module_name.rpartition('.')[2]}.{name}"] = function
    return functions


def every_feed(table: ResolvedTable) -> SourceFacts:
    """A source that keeps every feed of the table, and names its rows by the mapped key."""
    places = [(table.map.schema, table.map.table, (table.map.key,))]
    if table.selection is not None:
        places = [(track.schema, track.table, track.key) for track in table.selection.tracks]
    feeds = [TableFeed("change_tracking", *place[:2], key=place[2]) for place in places]
    journal = table.selection.journal if table.selection is not None else None
    if table.selection is None:
        instances = (CaptureInstance("dbo_Property"),)
        feeds.append(TableFeed("cdc", table.map.schema, table.map.table, instances=instances))
    for each in journal.tables if journal is not None else ():
        columns = frozenset(name.lower() for name in each.columns)
        feeds.append(TableFeed("change_log", journal.schema, each.table, columns=columns))
    return SourceFacts(feeds=tuple(feeds))


def strategies_of(table: ResolvedTable) -> list[tuple[IncrementalStrategy, ResolvedTable]]:
    """The strategies that fit a table, each with the table as it wants it."""
    supports = [(strategy, strategy.supports(table, every_feed(table)).table) for strategy in STRATEGIES]
    return [(strategy, fitting) for strategy, fitting in supports if fitting is not None]


def _asked_for(function: Callable[..., Built], table: ResolvedTable) -> ResolvedTable | None:
    """Builders of a strategy are asked only for tables that it fits; the others for every table."""
    if function.__module__ not in {type(strategy).__module__ for strategy in STRATEGIES}:
        return table
    for strategy, fitting in strategies_of(table):
        if type(strategy).__module__ == function.__module__:
            return fitting
    return None


def poll_plans(table: ResolvedTable) -> list[PollPlan]:
    """Polls of one table: by each strategy that fits it, on both clocks, counted and not."""
    plans = []
    for strategy, fitting in strategies_of(table):
        if not isinstance(strategy, ShowsPosition):
            continue
        for clock, ahead, counted in (("local", 0, False), ("utc", -480, True)):
            polled = polled_table(fitting, clock, ahead, 60)
            plans.append(PollPlan((PolledEntity("property", strategy.name, polled, counted),), {}, 60))
    return plans


def _late_values(table: ResolvedTable) -> list[Late | None]:
    """What can be asked for as newer than a bound. Strategies that want another change column are left out."""
    fitting = [(strategy, fits) for strategy, fits in strategies_of(table) if fits.map == table.map]
    return [None, *(strategy.late(fits) for strategy, fits in fitting)]


def queries(name: str, function: Callable[..., Built], table: ResolvedTable) -> Iterator[ChangeQuery]:
    """What one builder makes for a table, for every combination of its arguments; nothing where the product
    would not ask it.
    """
    parameters = list(inspect.signature(function).parameters)
    asked = _asked_for(function, table) if {"table", "request"} & {*parameters} else table
    if asked is None:
        return
    values: dict[str, list[Any]] = {
        "table": [asked],
        "window": [Window(None, STAMP), Window(STAMP, STAMP)],
        "late": _late_values(asked),
        "upper": [None, STAMP],
        "sums": [True, False],
        "key_sum": [True, False],
        "rows": [10],
        "keys": [("1",), ("1", "2", "3")],
        "place": ["[dbo].[Property]"],
        "column": [None, ROOT_KEY if asked.selection else asked.map.columns[1][1]],
        "query": [ChangeQuery("SELECT 1 AS n")],
        "since": [STAMP],
        "until": [STAMP],
        "clock": ["local", "utc"],
        "ahead_minutes": [0, 90, -480],
        "change_type": DATE_TYPES,
        "plan": poll_plans(asked),
        "request": [
            BoundsRequest(change_type, STAMP, cursor, oldest, 60, 75, offset, asked)
            for change_type in DATE_TYPES
            for cursor in (None, STAMP)
            for oldest in (None, STAMP)
            for offset in (0, -480)
        ],
    }
    for name_, parameter in inspect.signature(function).parameters.items():
        if name_ in ("late", "upper") and "None" not in str(parameter.annotation):
            values[name_] = [value for value in values[name_] if value is not None]
    unknown = [parameter for parameter in parameters if parameter not in values]
    assert not unknown, f"{name} takes {unknown}: give example values for it in {Path(__file__).name}"
    for chosen in itertools.product(*(values[parameter] for parameter in parameters)):
        query = function(**dict(zip(parameters, chosen, strict=True)))
        yield from [query] if isinstance(query, ChangeQuery) else [each for _, each in query or ()]


def built(shapes: Sequence[ResolvedTable]) -> dict[str, set[str]]:
    """Builder -> the different texts that it makes for these shapes."""
    return {
        name: {query.sql for shape in shapes for query in queries(name, function, shape)}
        for name, function in builders().items()
    }


def _source_files() -> list[Path]:
    """Every module whose statements may reach a county's server."""
    package = ROOT / "airflow_provider_pacs"
    return sorted(
        path
        for path in package.rglob("*.py")
        if not path.relative_to(package).as_posix().startswith(_TARGET_SIDE)
    )


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
    """File -> every string constant of the source's side that reads like a statement.

    Inside the builders of `sync/incremental` a string is a part of what they make, which `built` has whole.
    """
    texts = {}
    for path in _source_files():
        name = path.relative_to(ROOT).as_posix()
        texts[name] = {
            text
            for function, text in _strings(path)
            if text is not None
            and not name.endswith(PRINTED)
            and not (function and ("/sync/incremental/" in name or name.endswith("/sync/polling.py")))
        }
    return {name: some for name, some in texts.items() if some}


def assembled() -> set[str]:
    """`file:function` of every f-string of the source's side that begins like a statement."""
    return {
        f"{path.relative_to(ROOT).as_posix()}:{function}"
        for path in _source_files()
        for function, text in _strings(path)
        if text is None
    }


class _Answers:
    """A source whose keys are declared on other columns, and which was written to long after its newest stamp:
    whoever asks is asked back. `asked` is what it was sent.
    """

    def __init__(self, table: ResolvedTable) -> None:
        self.table, self.asked = table, list[str]()
        self.columns = {name: column.declared for name, column in table.columns.items()}

    def query(self, sql: str, params: Sequence[object] = ()) -> list[dict[str, Any]]:
        self.asked.append(sql)
        if "is_primary" in sql:
            other = next(name for name in self.table.columns if name != self.table.map.key)
            keys = [(1, 1, other, 0), (2, 0, self.table.map.key, 1)]
            return [
                {"number": number, "is_primary": primary, "name": name, "is_nullable": nullable}
                for number, primary, name, nullable in keys
            ]
        if "AS written" in sql:
            return [{"written": STAMP}]
        if "AS newest" in sql:
            return [{"newest": STAMP, "behind": 480}]
        return [{"n": 0}] if "COUNT_BIG" in sql else CatalogReader(self.columns).query(sql, params)


def plan_statements(tables: Sequence[ResolvedTable]) -> dict[str, set[str]]:
    """What `plan` sends about single tables beyond builders and constants: whether a mapped key is ever NULL,
    the newest stamps, and how far a cursor may follow them.
    """
    made: dict[str, set[str]] = {"null_keys": set(), "newest": set(), "settled": set()}
    for table in tables:
        if table.selection is not None or not table.columns:
            continue
        source = _Answers(table)
        describe(source, table.map)  # type: ignore[arg-type]
        made["null_keys"].update(sql for sql in source.asked if sql.endswith(" IS NULL"))
        check_stamping_clock(source, [table])  # type: ignore[arg-type]
        made["newest"].update(sql for sql in source.asked if "AS newest" in sql)
        if has_moments(table):
            made["settled"].add(next_cursor_query(table, STAMP).sql)
    return made


def session_statements() -> set[str]:
    """What `session.prepare` can say beyond its constants."""
    return {f"SET TRANSACTION ISOLATION LEVEL {level}" for level in ISOLATION_LEVELS}


def template(sql: str) -> str:
    """A statement without the numbers of its markers, and without the number of its keys."""
    unnumbered = re.sub(r"@P\d+", "?", sql)
    return re.sub(r" IN \((CONVERT\([^?]*\?\)|\?)(?:, \1)*\)$", r" IN (\1)", unnumbered)
