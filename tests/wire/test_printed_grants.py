"""What `pacs grants COUNTY` prints, run on the sandbox over the wire and proven in both directions: the login
reads what it must, and is refused everything else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pyodbc
import pytest

from airflow_provider_pacs.cli import main
from airflow_provider_pacs.sandbox.counties import generic_rows
from airflow_provider_pacs.sandbox.counties.harris import county as harris
from airflow_provider_pacs.sandbox.tsql.engine import SandboxEngine
from airflow_provider_pacs.sandbox.wire.serve import SandboxServer
from airflow_provider_pacs.sync.config import load_county
from airflow_provider_pacs.sync.preflight import examine
from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.source.address import SourceAddress
from airflow_provider_pacs.sync.source.sqlserver import SqlServerReader
from tests.wire.scripted import CERTIFICATE, connection_string

LOGIN, PASSWORD = "tf_pacs_reader", "Chosen!ByTheDba1"
GRANT = re.compile(r"GRANT SELECT ON OBJECT::\[dbo\]\.\[(\w+)\] \((.*)\) TO \[tf_reader\];")
COUNTIES = {"generic": (generic_rows, "PACS"), "harris_pacs_9": (harris, "pacs_oltp")}


@dataclass(frozen=True)
class Granted:
    """A served county after the DBA ran the printed script.

    Attributes:
        columns: each granted table with its granted columns.
    """

    port: int
    database: str
    file: Path
    lines: list[str]
    statements: list[str]
    columns: dict[str, list[str]]

    def connect(self, user: str = LOGIN, password: str = PASSWORD, database: str = "") -> pyodbc.Connection:
        text = connection_string(self.port, Database=database or self.database, UID=user, PWD=password)
        return pyodbc.connect(text, autocommit=True, timeout=5)


def printed_by(words: list[str]) -> str:
    with redirect_stdout(StringIO()) as written:
        assert main(words) == 0
    return written.getvalue()


@pytest.fixture(scope="module", params=sorted(COUNTIES))
def granted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Granted]:
    """The script as it is printed, with a password in its commented-out first statement, in one batch."""
    builder, database = COUNTIES[request.param]
    folder = tmp_path_factory.mktemp("counties")
    file = folder / "benton_wa.yaml"
    file.write_text(f"source: {{profile: {request.param}}}\n")
    printed = folder / "grants.json"
    engine = builder.build(SandboxEngine(), "tiny")
    with SandboxServer(engine, certificate=CERTIFICATE) as server:
        url = f"mssql://sa:Sandbox%21Admin1@127.0.0.1:{server.port}/{database}"
        asked = ["benton_wa", "--counties", str(folder), "--source-url", url]
        lines = printed_by(["grants", *asked]).splitlines()
        data = json.loads(printed_by(["grants", "--json", *asked]))["source"]
        printed.write_text("\n".join(lines))
        columns = {m[1]: re.findall(r"\[(\w+)\]", m[2]) for s in data["statements"] if (m := GRANT.match(s))}
        made = Granted(server.port, database, file, lines, data["statements"], columns)
        with closing(made.connect("sa", "Sandbox!Admin1")) as dba:
            dba.execute("CREATE TABLE dbo.payroll (id int NOT NULL, salary money NULL)")
            dba.execute(data["login_statement"].replace("'...'", f"'{PASSWORD}'"))
            dba.execute("\n".join(lines))
        yield made
    engine.close()


@pytest.fixture
def reader(granted: Granted) -> Iterator[pyodbc.Connection]:
    with closing(granted.connect()) as connection:
        yield connection


def refused(reader: pyodbc.Connection, sql: str) -> str:
    """The number in the error's text; an empty string where the statement ran."""
    try:
        reader.execute(sql).fetchall()
    except pyodbc.ProgrammingError as error:
        return re.findall(r"\((\d+)\) \(SQL", str(error))[0]
    return ""


def other_columns(granted: Granted, table: str) -> list[str]:
    with closing(granted.connect("sa", "Sandbox!Admin1")) as dba:
        rows = dba.execute(
            "SELECT name FROM sys.columns WHERE object_id = OBJECT_ID(?)", f"dbo.{table}"
        ).fetchall()
    return sorted({name for (name,) in rows} - set(granted.columns[table]))


def test_the_printed_text_is_what_runs(granted: Granted) -> None:
    """Comments and statements in one batch made the user, the role and the grants."""
    assert all(statement in granted.lines for statement in granted.statements)
    with closing(granted.connect("sa", "Sandbox!Admin1")) as dba:
        rows = dba.execute(
            "SELECT p.permission_name, p.state_desc, COUNT(*) FROM sys.database_permissions AS p JOIN "
            "sys.database_principals AS u ON u.principal_id = p.grantee_principal_id WHERE u.name = "
            "'tf_reader' GROUP BY p.permission_name, p.state_desc"
        ).fetchall()
    counted = {(name, state): count for name, state, count in rows}
    assert counted["SELECT", "GRANT"] == sum(map(len, granted.columns.values()))
    assert counted["VIEW DEFINITION", "GRANT"] == len(granted.columns)
    denied = ("ALTER", "DELETE", "INSERT", "UPDATE")
    assert [counted.get((name, "DENY")) for name in denied] == [1] * 4


def test_the_login_reads_every_granted_column_and_counts_the_rows(
    granted: Granted, reader: pyodbc.Connection
) -> None:
    assert len(granted.columns) >= 4
    for table, columns in granted.columns.items():
        listed = ", ".join(f"[{c}]" for c in columns)
        rows = reader.execute(f"SELECT {listed} FROM [dbo].[{table}]").fetchall()
        assert reader.execute(f"SELECT COUNT_BIG(*) FROM [dbo].[{table}]").fetchval() == len(rows), table


def test_the_check_finds_the_login_able_to_read_and_nothing_else(granted: Granted) -> None:
    """Story 27: the product's own statements, over a catalog that shows the granted tables only."""
    address = SourceAddress("127.0.0.1", granted.port, granted.database, LOGIN, PASSWORD)
    with SqlServerReader(address, attempts=1) as source:
        report = examine(load_county(granted.file), source, ConfigError("no target"), thorough=True)
    states = {finding.id: finding.state for finding in report.findings}
    assert {name for name, state in states.items() if state == "fail"} == {"target.reachability"}
    assert states["permissions.beyond_reading"] == "ok"
    readable = {name: state for name, state in states.items() if name.startswith("permissions.read.")}
    assert readable
    assert set(readable.values()) == {"ok"}


def test_every_other_column_and_table_is_refused(granted: Granted, reader: pyodbc.Connection) -> None:
    for table in granted.columns:
        for column in other_columns(granted, table):
            assert refused(reader, f"SELECT [{column}] FROM [dbo].[{table}]") == "230", f"{table}.{column}"
            hidden = f"SELECT COUNT(*) FROM [dbo].[{table}] WHERE [{column}] IS NULL"
            assert refused(reader, hidden) == "230", f"{table}.{column}"
        star = "230" if other_columns(granted, table) else ""
        assert refused(reader, f"SELECT TOP 1 * FROM [dbo].[{table}]") == star, table
    with closing(granted.connect("sa", "Sandbox!Admin1")) as dba:
        tables = {name for (name,) in dba.execute("SELECT name FROM sys.tables").fetchall()}
    others = tables - set(granted.columns)
    assert "payroll" in others
    for table in others:
        assert refused(reader, f"SELECT COUNT(*) FROM [dbo].[{table}]") == "229", table
    shown = {name for (name,) in reader.execute("SELECT name FROM sys.tables").fetchall()}
    assert shown == set(granted.columns), "the catalog shows the granted tables only"


def test_nothing_can_be_written(granted: Granted, reader: pyodbc.Connection) -> None:
    for table, columns in granted.columns.items():
        name, column = f"[dbo].[{table}]", columns[0]
        assert refused(reader, f"INSERT INTO {name} ([{column}]) SELECT [{column}] FROM {name}") == "229"
        assert refused(reader, f"UPDATE {name} SET [{column}] = [{column}]") == "229"
        assert refused(reader, f"DELETE FROM {name} WHERE 1 = 0") == "229"
        assert refused(reader, f"DROP TABLE {name}") == "262"
    assert refused(reader, "CREATE TABLE dbo.mine (id int)") == "262"
    assert refused(reader, "CREATE INDEX i ON dbo.payroll (id)") == "262"
    assert refused(reader, "ALTER ROLE db_owner ADD MEMBER tf_pacs_reader") == "262"
    assert refused(reader, "GRANT SELECT ON dbo.payroll TO tf_reader") == "15151"
    assert refused(reader, "GRANT CONTROL TO tf_reader") == "15151"


def test_a_later_grant_does_not_undo_the_deny(granted: Granted, reader: pyodbc.Connection) -> None:
    """Somebody puts the login into db_datawriter: the script's DENY still stands."""
    with closing(granted.connect("sa", "Sandbox!Admin1")) as dba:
        dba.execute(f"ALTER ROLE db_datawriter ADD MEMBER {LOGIN}")
        table, columns = next(iter(granted.columns.items()))
        assert refused(reader, f"UPDATE [dbo].[{table}] SET [{columns[0]}] = [{columns[0]}]") == "229"
        assert refused(reader, f"DELETE FROM [dbo].[{table}]") == "229"
        dba.execute(f"ALTER ROLE db_datawriter DROP MEMBER {LOGIN}")


def test_the_optional_grants_run_where_the_script_says(granted: Granted, reader: pyodbc.Connection) -> None:
    """VIEW SERVER STATE in master, the others in the database; without it the open writers stay hidden."""
    optional = [line[3:].split(";")[0] for line in granted.lines if line.startswith("-- GRANT ")]
    server = [sql for sql in optional if "VIEW SERVER STATE" in sql]
    assert len(server) == 1
    assert len(optional) == len(granted.columns) + 2
    assert refused(reader, "SELECT * FROM sys.dm_tran_database_transactions") == "300"
    with closing(granted.connect("sa", "Sandbox!Admin1")) as dba:
        for sql in optional:
            assert refused_as_dba(dba, sql) == ("4621" if sql in server else "")
    with closing(granted.connect("sa", "Sandbox!Admin1", "master")) as dba:
        dba.execute(server[0])
    assert refused(reader, "SELECT * FROM sys.dm_tran_database_transactions") == ""
    for table in granted.columns:
        asked = f"SELECT HAS_PERMS_BY_NAME('[dbo].[{table}]', 'OBJECT', 'VIEW CHANGE TRACKING')"
        assert reader.execute(asked).fetchval() == 1, table


def refused_as_dba(dba: pyodbc.Connection, sql: str) -> str:
    try:
        dba.execute(sql)
    except pyodbc.ProgrammingError as error:
        return re.findall(r"\((\d+)\) \(SQL", str(error))[0]
    return ""
