"""Reads `tables.txt`: the declared core tables of PACS 9.0 (database pacs_oltp, schema dbo).

Column names, types, keys and indexes are those of a county's real database; what computes a column is written
here, in DuckDB's words.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import cache
from pathlib import Path

from airflow_provider_pacs.sandbox.catalog.catalog import Catalog
from airflow_provider_pacs.sandbox.catalog.sqltypes import make
from airflow_provider_pacs.sandbox.catalog.tables import ForeignKey, Index, Table
from airflow_provider_pacs.sandbox.model import MAX, Column

DATABASE = "pacs_oltp"
_FILE = Path(__file__).with_name("tables.txt")


def _trimmed(name: str, after: str = "") -> str:
    return f"CASE WHEN {name} IS NULL THEN '' ELSE rtrim(ltrim({name})) || '{after}' END"


def _said(name: str) -> str:
    return f"CASE WHEN coalesce(rtrim({name}), '') = '' THEN '' ELSE rtrim(ltrim({name})) || ' ' END"


_DIGITS = "(trim(coalesce(zip, '')) || trim(coalesce(cass, '')) || trim(coalesce(route, '')))"
_DIGIT_SUM = " + ".join(
    f"{digit} * (length({_DIGITS}) - length(replace({_DIGITS}, '{digit}', '')))" for digit in range(1, 10)
)
COMPUTED = {
    "situs.situs_display": f"{_said('situs_num')} || {_said('sub_num')} || {_said('situs_street_prefx')} || "
    f"{_trimmed('situs_street', ' ')} || "
    f"{_trimmed('situs_street_sufix', ' ')} || {_said('building_num')} || {_trimmed('situs_unit')} || "
    "CASE WHEN situs_city IS NULL AND situs_state IS NULL AND situs_zip IS NULL THEN '' ELSE chr(13) || "
    "chr(10) END || "
    f"{_trimmed('situs_city', ', ')} || {_trimmed('situs_state', ' ')} || {_trimmed('situs_zip')}",
    "address.addr_zip": "trim(coalesce(zip, '')) || CASE WHEN length(trim(coalesce(cass, ''))) = 4 THEN '-' || trim(cass) "
    "ELSE '' END",
    "address.zip_4_2": f"CASE WHEN length(trim(coalesce(cass, ''))) = 4 AND length(trim(coalesce(route, ''))) = 2 AND "
    f"regexp_full_match({_DIGITS}, '[0-9]+') THEN '*' || {_DIGITS} || "
    f"((10 - ({_DIGIT_SUM}) % 10) % 10) || '*' ELSE '' END",
    "property_val.imprv_val": "coalesce(imprv_hstd_val, 0) + coalesce(imprv_non_hstd_val, 0)",
    "wash_property_val.snr_frz_loss_land": "snr_land - snr_land_lesser",
    "wash_property_val.snr_frz_loss_imprv": "snr_imprv - snr_imprv_lesser",
}


@cache
def tables() -> dict[str, Table]:
    """Every core table by its name."""
    result: dict[str, Table] = {}
    for block in _FILE.read_text("utf-8").split("\n\n"):
        lines = [line for line in block.splitlines() if line and not line.startswith("#")]
        if lines:
            table = _table(lines)
            result[table.name] = table
    return result


def declare(catalog: Catalog, snapshot: bool = True) -> None:
    """Adds the database and its tables to a catalog."""
    catalog.add_database(DATABASE, datetime(2017, 2, 6, 18, 5), snapshot=snapshot)
    for table in tables().values():
        catalog.add_table(table)


def _table(lines: list[str]) -> Table:
    name = lines[0].removeprefix("table ")
    keys = [line for line in lines[1:] if ":" in line]
    columns = [line.split(" ", 2) for line in lines[1:] if ":" not in line]
    key_name, key = next((_named(line) for line in keys if line.startswith("key ")), ("", ()))
    return Table(
        DATABASE,
        "dbo",
        name,
        tuple(_column(*words) for words in columns),
        key,
        tuple(_indexes(keys)),
        tuple(_references(keys)),
        {column: rest.partition(" default ")[2] for column, _, rest in columns if " default " in rest},
        computed={column: COMPUTED[f"{name}.{column}"] for column, _, rest in columns if rest == "computed"},
        identity=next((column for column, _, rest in columns if "identity" in rest), ""),
        key_name=key_name.removesuffix(" nonclustered"),
    )


def _named(line: str) -> tuple[str, tuple[str, ...]]:
    """`word NAME: a b` -> NAME and (a, b)."""
    head, _, columns = line.partition(": ")
    return head.partition(" ")[2], tuple(columns.split())


def _indexes(lines: list[str]) -> Iterator[Index]:
    for line in lines:
        word = line.partition(" ")[0]
        if word in ("index", "unique", "clustered"):
            name, columns = _named(line)
            yield Index(
                name,
                columns,
                unique=word == "unique",
                clustered=word == "clustered",
                constraint=word == "unique",
            )


def _references(lines: list[str]) -> Iterator[ForeignKey]:
    for line in lines:
        if line.startswith("reference "):
            own, _, others = line.partition(" -> ")
            name, columns = _named(own)
            table, *references = others.split()
            yield ForeignKey(name, columns, table, tuple(references))


def _column(name: str, kind: str, rest: str) -> Column:
    base, _, arguments = kind.rstrip(")").partition("(")
    sizes = [MAX if size == "max" else int(size) for size in arguments.split(",") if size]
    return Column(name, make(base, sizes), not rest.startswith("not null"))
