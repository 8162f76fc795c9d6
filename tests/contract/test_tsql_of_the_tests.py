"""What the tests themselves send to a server that is named, to make a county there: Microsoft's own parser
reads it as what it was meant to be.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pyodbc
import pytest

from airflow_provider_pacs.sandbox.model import SqlType
from airflow_provider_pacs.sync.source.address import SourceAddress
from tests.contract.tsql_parser import TsqlParser
from tests.integration.bad_counties import odd_tables
from tests.support.county import County, county_config, retype
from tests.support.generated import generated_county, reading_login
from tests.support.named_server import NamedPacs
from tests.support.server import MssqlServer

MEANT = {
    "CREATE DATABASE": "CreateDatabaseStatement", "ALTER DATABASE": "AlterDatabaseSetStatement", "DROP DATABASE": "DropDatabaseStatement",
    "CREATE SCHEMA": "CreateSchemaStatement", "CREATE TABLE": "CreateTableStatement", "DROP TABLE": "DropTableStatement",
    "CREATE INDEX": "CreateIndexStatement", "ALTER TABLE": "AlterTableAddTableElementStatement", "CREATE LOGIN": "CreateLoginStatement",
    "DROP LOGIN": "DropLoginStatement", "CREATE USER": "CreateUserStatement", "GRANT": "GrantStatement", "INSERT": "InsertStatement",
    "UPDATE": "UpdateStatement", "DELETE": "DeleteStatement", "BEGIN": "BeginTransactionStatement", "ROLLBACK": "RollbackTransactionStatement",
}  # fmt: skip
"""How a text begins -> the class in ScriptDom that it must be.

The two lists are compared: nothing is sent that is not in it.
"""


@dataclass
class Wire:
    """A connection, and its own cursor, on which nothing happens but that the text is kept."""

    sent: list[str]
    fast_executemany: bool = False

    def execute(self, sql: str, *params: Any) -> Wire:
        self.sent.append(sql)
        return self

    def executemany(self, sql: str, rows: Any) -> Wire:
        return self.execute(sql)

    def cursor(self) -> Wire:
        return self

    def nextset(self) -> bool:
        return False

    def commit(self) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Nowhere(MssqlServer):
    """A server that only listens."""

    sent: list[str] = field(default_factory=list)

    def connect(self, autocommit: bool = True) -> pyodbc.Connection:
        return Wire(self.sent)  # type: ignore[return-value]


@pytest.fixture(scope="module")
def sent() -> list[str]:
    """Everything that makes, changes and ends the counties of the tests."""
    server = Nowhere(SourceAddress("nowhere", 1433, "scratch", "sa", "x"), genuine=True)
    with generated_county(server, more=odd_tables()) as made, reading_login(made, "pacs reader]", "it's}1"):
        pass
    pacs = NamedPacs(server, retype("Property", LastModified=SqlType("datetime2", scale=7)))
    county = County(pacs, pacs.clock, None, "", county_config())  # type: ignore[arg-type]
    county.add("property", 1, Address="O'Neill Rd")
    county.add("property", *range(20))
    county.change("property", 1, City="Finley")
    writer = county.writer()
    writer.begin()
    writer.execute(county.change_statement("property", 1, City=None))
    county.remove("property", 1)
    pacs.redeclare(
        retype("Property", rv=SqlType("rowversion"), Acreage=SqlType("decimal", precision=38, scale=10))
    )
    pacs.empty()
    county.close()
    pacs.close()
    return sorted(set(server.sent))


def test_each_statement_is_what_it_begins_with(sent: list[str], tsql: TsqlParser) -> None:
    begins = {sql: next((words for words in MEANT if sql.startswith(words)), "") for sql in sent}
    assert set(begins.values()) == set(MEANT)
    for sql, result in zip(sent, tsql.parse_all(sent), strict=True):
        assert [statement.type for statement in result.statements()] == [MEANT[begins[sql]]], sql
