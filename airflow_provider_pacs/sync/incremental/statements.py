"""What every incremental strategy shares: the statement it hands out, the select list that names each column
canonically, and the statements that need no more than a strategy's idea of what is newer than a bound.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.profiles import alias
from airflow_provider_pacs.sync.schema.catalog import KeySpelling, ResolvedTable
from airflow_provider_pacs.sync.schema.columns import SourceColumn
from airflow_provider_pacs.sync.schema.tsql import qualified, quote

RESTORED = "the database's row versions went back: it was restored, so every row is compared"
"""Why no window of a rowversion can be read."""
STAMPS = frozenset({"timestamp", "rowversion"})
"""What the catalog calls a rowversion column."""


@dataclass(frozen=True, slots=True)
class ChangeQuery:
    """One streamed statement.

    Attributes:
        sql: T-SQL with `?` for each parameter.
        params: text, converted inside the statement to the column's exact type.
        complete: the rows are all rows of the table, so that a key not among them is gone at the source.
    """

    sql: str
    params: tuple[str, ...] = ()
    complete: bool = False


def in_snapshot(query: ChangeQuery) -> ChangeQuery:
    """The same statement at SNAPSHOT isolation: all that it reads shows one moment."""
    return replace(query, sql=f"SET TRANSACTION ISOLATION LEVEL SNAPSHOT;\n{query.sql}")


@dataclass(frozen=True, slots=True)
class Late:
    """How a strategy tells the rows that are newer than an upper bound.

    Attributes:
        declare: the DECLAREs of a statement that takes the bound as its one parameter.
        rows: what stands after FROM, the table as `s`.
        condition: true for a row that is newer than the bound.
    """

    declare: str
    rows: str
    condition: str


@dataclass(frozen=True, slots=True)
class Window:
    """The bounds of one read, as SQL Server's text in the change column's type. `lo` is None on the first
    read.
    """

    lo: str | None
    hi: str


def rows_of(table: ResolvedTable) -> str:
    """What stands after FROM: the table, or the joined entity's SELECT, as `s`."""
    if table.selection is not None:
        return f"(\n{table.selection.sql}\n) AS s"
    return f"{qualified(table.map.schema, table.map.table)} AS s"


def select_list(table: ResolvedTable) -> str:
    """Every mapped column under its canonical name, those of `extra` by alias, a joined entity's keys, then
    `_source_version`.

    The version is the change stamp as SQL Server writes it.
    """
    parts = [
        f"{_expression(table.columns.get(source), source)} AS {quote(canonical)}"
        for canonical, source in table.map.columns
    ]
    extra = [source if table.selection is None else alias(n) for n, (_, source) in enumerate(table.map.extra)]
    parts += [
        f"{_expression(table.columns.get(source), source)} AS {quote(alias(n))}"
        for n, source in enumerate(extra)
    ]
    if table.selection is not None:
        parts += ["s.[_source_key]"] + (
            ["s.[_parent_key]"] if load_entities()[table.map.entity].parent else []
        )
    return ", ".join([*parts, f"{version_text(table)} AS [_source_version]"])


def rows_of_root_keys(table: ResolvedTable, changed: str) -> str:
    """A SELECT of the rows whose root key is among those of another SELECT, whose column is `root_key`."""
    return (
        f"SELECT {select_list(table)} FROM {rows_of(table)}\n"  # noqa: S608
        f"WHERE s.[_root_key] IN (SELECT c.root_key FROM ({changed}) AS c)"
    )


def distinct_root_keys(changed: str) -> str:
    """A SELECT of one column `root_key` (text), each once."""
    return f"SELECT DISTINCT CONVERT(varchar(20), c.root_key) AS root_key FROM ({changed}) AS c"  # noqa: S608


def version_text(table: ResolvedTable) -> str:
    """The change column as text made by SQL Server, or a typed NULL where the table has none."""
    column = table.map.change_column
    if column is None:
        return "CONVERT(varchar(34), NULL)"
    declared = table.columns.get(column)
    if declared is not None and declared.type_name in STAMPS:
        return f"CONVERT(varchar(34), CONVERT(binary(8), s.{quote(column)}), 1)"
    return f"CONVERT(varchar(34), s.{quote(column)}, 121)"


def _expression(column: SourceColumn | None, name: str) -> str:
    value = f"s.{quote(name)}"
    if column is None:
        return value
    if column.type_name in {"char", "nchar"}:
        return f"RTRIM({value})"
    if column.type_name == "datetimeoffset":
        value = f"CONVERT(datetime2(7), SWITCHOFFSET({value}, '+00:00'))"
        column = SourceColumn(column.name, "datetime2", 0, 0, 7, column.nullable)
    if column.type_name == "datetime2" and column.scale == 7:
        # PostgreSQL keeps microseconds. CONVERT would round, at 9999-12-31 into year 10000; so the seventh
        # digit is cut first.
        return f"CONVERT(datetime2(6), DATEADD(NANOSECOND, -(DATEPART(NANOSECOND, {value}) % 1000), {value}))"
    return value


_SUMMED = frozenset(
    {"tinyint", "smallint", "int", "bigint", "decimal", "numeric", "money", "smallmoney", "float", "real"}
)
_SHORT_TEXTS = frozenset({"char", "varchar", "nchar", "nvarchar"})


def late_rows_query(table: ResolvedTable, late: Late, upper: str) -> ChangeQuery:
    """The rows newer than the bound, with `_late` = 1."""
    query = flagged_query(table, late, upper)
    return ChangeQuery(f"{query.sql} WHERE {late.condition}", query.params)


def flagged_query(table: ResolvedTable, late: Late | None, upper: str | None) -> ChangeQuery:
    """All rows, with `_late` = 1 for those newer than the bound where the strategy can tell."""
    if late is None or upper is None:
        return ChangeQuery(f"SELECT {select_list(table)} FROM {rows_of(table)}", complete=True)  # noqa: S608
    return ChangeQuery(
        f"{late.declare}SELECT {select_list(table)}, "  # noqa: S608
        f"CASE WHEN {late.condition} THEN 1 ELSE 0 END AS [_late] FROM {late.rows}",
        (upper,),
        complete=True,
    )


def census_query(
    table: ResolvedTable, late: Late | None, upper: str | None, *, key_sum: bool = True, sums: bool = True
) -> ChangeQuery:
    """What the source counts and sums by itself, a row per group: `grp`, `n`, `late`, `key_sum`, `c0`, `c1`,
    ...

    The group is the tax year of a value and '' elsewhere; `c0` and on are the sums of `control_columns` over
    the rows that are not newer than the bound, as text. `key_sum` sums the first seven bytes of each key's
    SHA-256: sums of the keys themselves would be equal for {1, 4} and {2, 3}. Without `key_sum` it is 0,
    without `sums` there are no `c0` and on.
    """
    known = late is not None and upper is not None
    newer = late.condition if late is not None and known else "1 = 0"
    group = _group(table)
    parts = [
        f"CONVERT(varchar(12), {group}) AS grp" if group else "'' AS grp",
        "COUNT_BIG(*) AS n",
        f"COUNT_BIG(CASE WHEN {newer} THEN 1 END) AS late",
        f"CONVERT(varchar(60), SUM({_key_number(table)})) AS key_sum" if key_sum else "'0' AS key_sum",
    ]
    for index, (_, source) in enumerate(control_columns(table) if sums else ()):
        value = f"TRY_CONVERT(decimal(38, 6), s.{quote(source)})"
        summed = f"CASE WHEN {newer} THEN 0 ELSE {value} END" if known else value
        parts.append(f"CONVERT(varchar(60), SUM({summed})) AS c{index}")
    rows = late.rows if late is not None and known else rows_of(table)
    sql = f"SELECT {', '.join(parts)} FROM {rows}" + (f" GROUP BY {group}" if group else "")  # noqa: S608
    if late is not None and upper is not None:
        return ChangeQuery(late.declare + sql, (upper,))
    return ChangeQuery(sql)


def key_list_query(table: ResolvedTable, late: Late | None = None, upper: str | None = None) -> ChangeQuery:
    """One column `k`: the keys of all rows as text, or of those newer than the bound."""
    if late is None or upper is None:
        return ChangeQuery(f"SELECT {key_text(table)} AS k FROM {rows_of(table)}", complete=True)  # noqa: S608
    return ChangeQuery(
        f"{late.declare}SELECT {key_text(table)} AS k FROM {late.rows} WHERE {late.condition}",  # noqa: S608
        (upper,),
    )


def control_columns(table: ResolvedTable) -> tuple[tuple[str, str], ...]:
    """(canonical column, source column) of every number that both sides can sum up, to the sixth digit."""
    entity = load_entities()[table.map.entity]
    numbers = {
        column.name
        for column in entity.columns
        if column.type in {"numeric", "integer"} and column.name != entity.money_by
    }
    return tuple(
        (canonical, source)
        for canonical, source in table.map.columns
        if canonical in numbers
        and (
            table.selection is not None
            or ((declared := table.columns.get(source)) is not None and declared.type_name in _SUMMED)
        )
    )


def key_spelling(table: ResolvedTable) -> KeySpelling:
    """How both sides write a key before they hash it."""
    if table.selection is not None or (declared := table.columns.get(table.map.key)) is None:
        return "text"
    if declared.type_name == "uniqueidentifier":
        return "guid"
    return "digits" if is_guid_as_text(table, table.map.key) else "text"


def is_guid_as_text(table: ResolvedTable, name: str) -> bool:
    """Whether a text column of the source is mapped to GUIDs."""
    declared = table.columns.get(name)
    guids = {column.name for column in load_entities()[table.map.entity].columns if column.type == "uuid"}
    return (
        declared is not None
        and declared.type_name in _SHORT_TEXTS
        and any(n == name and canonical in guids for canonical, n in table.map.columns)
    )


def guid_digits(column: str) -> str:
    """The digits of a GUID that is kept as text, in upper case, without dashes and braces."""
    return f"REPLACE(REPLACE(REPLACE(RTRIM(UPPER(s.{quote(column)})), '-', ''), '{{', ''), '}}', '')"


def _group(table: ResolvedTable) -> str | None:
    name = load_entities()[table.map.entity].money_by
    source = dict(table.map.columns).get(name) if name else None
    return f"s.{quote(source)}" if source else None


def _key_number(table: ResolvedTable) -> str:
    """The first seven bytes of the key's SHA-256 as a number; NULL where the key is NULL.

    Text outside ASCII has other bytes at the target: then the sums differ, and the keys are listed.
    """
    key = guid_digits(table.map.key) if key_spelling(table) == "digits" else key_text(table)
    digest = f"HASHBYTES('SHA2_256', CONVERT(varchar(900), {key}))"
    return f"CONVERT(decimal(38, 0), CONVERT(bigint, SUBSTRING({digest}, 1, 7)))"


def key_text(table: ResolvedTable, row: str = "s") -> str:
    """A row's key as text; `row` is what the statement calls the row."""
    if table.selection is not None:
        return f"CONVERT(varchar(60), {row}.[_source_key])"
    declared = table.columns.get(table.map.key)
    key = f"{row}.{quote(table.map.key)}"
    if declared is not None and declared.type_name in _SHORT_TEXTS:
        return f"RTRIM({key})"
    return f"CONVERT(varchar(60), {key})"


def is_stamp(table: ResolvedTable, column: str | None) -> bool:
    """Whether a column is a rowversion."""
    declared = table.columns.get(column or "")
    return declared is not None and declared.type_name in STAMPS
