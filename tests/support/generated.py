"""The sandbox's generated county on any SQL Server: the same generator, the rows loaded with
`fast_executemany`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from airflow_provider_pacs.sandbox.catalog.tables import Table
from airflow_provider_pacs.sandbox.counties import generic_tables as county
from airflow_provider_pacs.sandbox.counties.generic_rows import SIZES, populate
from tests.support.in_process import InProcessPacs
from tests.support.server import MssqlServer, bracketed, ddl, has_long_text, related_ddl


def generated_rows(size: str) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of each table, as Microsoft's driver hands them over."""
    engine = InProcessPacs()
    try:
        populate(engine, SIZES[size])
        with engine.reader() as reader:
            return {
                table.name: [
                    tuple(row.values()) for row in reader.query(f"SELECT * FROM [dbo].[{table.name}]")
                ]
                for table in county.TABLES
            }
    finally:
        engine.close()


@contextmanager
def generated_county(
    server: MssqlServer, size: str = "tiny", more: Sequence[Table] = ()
) -> Iterator[MssqlServer]:
    """A database of its own with the generated county, its indexes and its references; dropped in the end.

    `more` tables come after them, the last of them with the rows of the properties.
    """
    rows = generated_rows(size)
    made = server.create_database()
    try:
        for schema in {table.schema for table in more} - {"dbo"}:
            made.execute(f"CREATE SCHEMA {bracketed(schema)}")
        made.execute(*map(ddl, (*county.TABLES, *more)))
        for table in county.TABLES:
            made.load(table.name, rows[table.name], fast=not has_long_text(table))
        for table in more[-1:]:
            made.load(
                table.name, rows[county.TABLES[0].name], schema=table.schema, fast=not has_long_text(table)
            )
        made.execute(*(statement for table in county.TABLES for statement in related_ddl(table)))
        yield made
    finally:
        made.drop_database()


@contextmanager
def reading_login(server: MssqlServer, name: str, password: str) -> Iterator[None]:
    """A login that may read the database, and nothing more."""
    secret = password.replace("'", "''")
    server.execute(
        f"CREATE LOGIN {bracketed(name)} WITH PASSWORD = N'{secret}', CHECK_POLICY = OFF",
        f"CREATE USER {bracketed(name)} FOR LOGIN {bracketed(name)}",
        f"GRANT SELECT, VIEW DEFINITION TO {bracketed(name)}",
    )
    try:
        yield
    finally:
        there = replace(server, address=replace(server.address, database="master"))
        there.execute(f"DROP LOGIN {bracketed(name)}")
