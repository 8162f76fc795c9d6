"""Change Tracking as a county's DBA and the product's own driver see it: the script that `pacs grants` prints, what
a check says before and after it, and the windows over the wire.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pyodbc
import pytest

from airflow_provider_pacs.cli import main
from airflow_provider_pacs.sandbox.counties import generic_rows
from airflow_provider_pacs.sandbox.counties.harris import county as harris
from airflow_provider_pacs.sandbox.tsql.engine import SandboxEngine
from airflow_provider_pacs.sandbox.wire.serve import SandboxServer
from airflow_provider_pacs.sync.config import CountyConfig, load_county
from airflow_provider_pacs.sync.incremental import change_tracking
from airflow_provider_pacs.sync.incremental.statements import ChangeQuery, Window, in_snapshot
from airflow_provider_pacs.sync.incremental.strategy import BoundsRequest
from airflow_provider_pacs.sync.preflight import Finding, examine
from airflow_provider_pacs.sync.preflight.grants import change_tracking_script, mapped_tables, source_grants
from airflow_provider_pacs.sync.preflight.resolve import ReadChoice, resolve_tables
from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.source.address import SourceAddress
from airflow_provider_pacs.sync.source.sqlserver import SqlServerReader
from tests.wire.scripted import CERTIFICATE, connection_string

LOGIN, PASSWORD = "tf_pacs_reader", "Chosen!ByTheDba1"
TABLES = ("Property", "PropertyOwner", "PropertyValue", "Structure")


@pytest.fixture
def county(tmp_path: Path) -> CountyConfig:
    file = tmp_path / "benton_wa.yaml"
    file.write_text("timezone: America/Los_Angeles\n")
    return load_county(file)


@pytest.fixture
def served(county: CountyConfig) -> Iterator[int]:
    """A county on the wire, with the login of `pacs grants`; its port."""
    engine = generic_rows.build(SandboxEngine(), "tiny")
    with SandboxServer(engine, certificate=CERTIFICATE) as server:
        made = source_grants(mapped_tables(county))
        with closing(dba(server.port)) as connection:
            connection.execute(made.login_statement.replace("'...'", f"'{PASSWORD}'"))
            connection.execute("\n".join(made.statements))
        yield server.port
    engine.close()


def dba(port: int) -> pyodbc.Connection:
    text = connection_string(port, Database="PACS", UID="sa", PWD="Sandbox!Admin1")
    return pyodbc.connect(text, autocommit=True, timeout=5)


def reader(port: int) -> SqlServerReader:
    return SqlServerReader(SourceAddress("127.0.0.1", port, "PACS", LOGIN, PASSWORD), attempts=1)


def choice(county: CountyConfig, port: int) -> ReadChoice:
    """How the login's runs would read properties."""
    with reader(port) as source:
        return resolve_tables(county, source)["property"]


def finding(county: CountyConfig, port: int) -> Finding:
    """What a check says of it."""
    with reader(port) as source:
        report = examine(county, source, ConfigError("no target"))
    return next(each for each in report.findings if each.id == "changes.property")


def test_the_script_unlocks_the_feed_and_the_check_says_so(county: CountyConfig, served: int) -> None:
    """Cases 74, 91, D16: off, on without the right, on and readable; each with what to do next."""
    said = finding(county, served)
    assert said.text == "property is read by last_modified: LastModified is datetime."
    assert said.remedy == (
        "A better feed, change_tracking, can be switched on: pacs grants benton_wa --change-tracking prints how."
    )
    script = change_tracking_script(county)
    grants = [sql for sql in script.statements if sql.startswith("GRANT VIEW CHANGE TRACKING")]
    with closing(dba(served)) as connection:
        for statement in script.statements:
            if statement not in grants:
                connection.execute(statement)
    assert choice(county, served).strategy == "last_modified"
    said = finding(county, served)
    assert "the login may not see the tracked changes of dbo.Property" in said.text
    assert said.remedy == "GRANT VIEW CHANGE TRACKING ON OBJECT::[dbo].[Property] TO [tf_pacs_reader];"
    with closing(dba(served)) as connection:
        for statement in grants:
            connection.execute(statement)
    chosen = choice(county, served)
    assert (chosen.strategy, chosen.better) == ("change_tracking", ())
    said = finding(county, served)
    assert (said.state, said.text) == (
        "warn",
        "property is read by change_tracking: Change Tracking is on for dbo.Property.",
    )
    assert said.remedy.startswith("UPDATETEXT and WRITETEXT change LegalDescription without being tracked")


def test_a_readable_secondary_is_named_with_its_remedy(county: CountyConfig, served: int) -> None:
    """Case 92: no query of Change Tracking is sent to one (error 22117); the primary has it."""
    with closing(dba(served)) as connection:
        for statement in change_tracking_script(county).statements:
            connection.execute(statement)
        connection.execute("EXEC sandbox.secondary @on = 1")
    chosen = choice(county, served)
    assert chosen.strategy == "last_modified"
    assert "readable secondary (error 22117)" in chosen.reason
    assert "Connect to the primary" in finding(county, served).remedy
    pinned = county.model_copy(
        update={
            "tables": CountyConfig.model_validate(
                {"county": "benton_wa", "tables": {"property": {"mode": "change_tracking"}}}
            ).tables
        }
    )
    with pytest.raises(ConfigError, match="22117"):
        choice(pinned, served)
    with reader(served) as source, pytest.raises(ConfigError, match="secondary availability replica"):
        source.query("SELECT CHANGE_TRACKING_CURRENT_VERSION() AS v")


@pytest.mark.parametrize("snapshots", [True, False])
def test_windows_come_over_the_wire(county: CountyConfig, served: int, snapshots: bool) -> None:
    """Microsoft's driver, with and without SNAPSHOT isolation: changed rows, gone keys, rows newer than a bound."""
    with closing(dba(served)) as connection:
        connection.execute(
            f"ALTER DATABASE CURRENT SET ALLOW_SNAPSHOT_ISOLATION {'ON' if snapshots else 'OFF'}"
        )
        for statement in change_tracking_script(county).statements:
            connection.execute(statement)
        keys = [row[0] for row in connection.execute("SELECT TOP 3 PropertyID FROM dbo.Property").fetchall()]
        with reader(served) as source:
            table = resolve_tables(county, source)["property"].table
            first = bounds(source, change_tracking.bounds_query(request(table, None)))
            connection.execute("UPDATE dbo.Property SET City = 'Kiona' WHERE PropertyID = ?", keys[0])
            connection.execute("DELETE FROM dbo.PropertyOwner WHERE PropertyID = ?", keys[1])
            connection.execute("DELETE FROM dbo.PropertyValue WHERE PropertyID = ?", keys[1])
            connection.execute("DELETE FROM dbo.Structure WHERE PropertyID = ?", keys[1])
            connection.execute("DELETE FROM dbo.Property WHERE PropertyID = ?", keys[1])
            window = Window(first["hi"], str(first["hi"]))
            read = in_snapshot if snapshots else _as_it_is
            rows = streamed(source, read(change_tracking.window_query(table, window)))
            gone = change_tracking.gone_keys_query(table, window)
            assert gone is not None
            assert [row["city"] for row in rows] == ["Kiona"]
            assert [str(row["k"]).lower() for row in streamed(source, read(gone))] == [str(keys[1]).lower()]
            second = bounds(source, change_tracking.bounds_query(request(table, first["hi"])))
            assert int(second["hi"]) > int(first["hi"])
            assert second["feed"] == first["feed"]
            assert [second[name] for name in ("off", "behind", "expired", "began")] == [0, 0, 0, 0]


def test_the_script_is_enough_for_joined_entities(tmp_path: Path) -> None:
    """CHANGETABLE wants SELECT on each primary key: the login of the two scripts reads every entity of PACS 9.0."""
    file = tmp_path / "benton_wa.yaml"
    file.write_text("timezone: America/Los_Angeles\nsource: {profile: harris_pacs_9}\n")
    county = load_county(file)
    engine = harris.build(SandboxEngine(), "tiny")
    with SandboxServer(engine, certificate=CERTIFICATE) as server:
        made = source_grants(mapped_tables(county))
        text = connection_string(server.port, Database=harris.DATABASE, UID="sa", PWD="Sandbox!Admin1")
        with closing(pyodbc.connect(text, autocommit=True, timeout=5)) as connection:
            connection.execute(made.login_statement.replace("'...'", f"'{PASSWORD}'"))
            for statement in (*made.statements, *change_tracking_script(county).statements):
                connection.execute(statement)
        address = SourceAddress("127.0.0.1", server.port, harris.DATABASE, LOGIN, PASSWORD)
        with SqlServerReader(address, attempts=1) as source:
            choices = resolve_tables(county, source)
            assert {name: chosen.strategy for name, chosen in choices.items()} == dict.fromkeys(
                ("property", "owner", "value", "structure"), "change_tracking"
            )
            for chosen in choices.values():
                query = change_tracking.root_keys_query(chosen.table, Window("0", "0"))
                assert query is not None
                assert streamed(source, query) == []
    engine.close()


def _as_it_is(query: ChangeQuery) -> ChangeQuery:
    return query


def request(table, cursor):  # type: ignore[no-untyped-def]
    return BoundsRequest("datetime", "", cursor, None, 0, 0, table=table)


def bounds(source: SqlServerReader, query: ChangeQuery):  # type: ignore[no-untyped-def]
    return source.query(query.sql, query.params)[0]


def streamed(source: SqlServerReader, query: ChangeQuery):  # type: ignore[no-untyped-def]
    return [row for batch in source.stream(query.sql, query.params) for row in batch.to_pylist()]


def test_the_printed_script_is_what_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Retention is three times the longest outage; joined entities need each table's key, too."""
    (tmp_path / "benton_wa.yaml").write_text("source: {profile: harris_pacs_9}\n")
    asked = ["grants", "benton_wa", "--counties", str(tmp_path), "--change-tracking", "--outage-days", "4"]
    assert main(asked) == 0
    lines = capsys.readouterr().out.splitlines()
    assert (
        "ALTER DATABASE CURRENT SET CHANGE_TRACKING = ON (CHANGE_RETENTION = 12 DAYS, AUTO_CLEANUP = ON);"
        in lines
    )
    assert "ALTER TABLE [dbo].[situs] ENABLE CHANGE_TRACKING WITH (TRACK_COLUMNS_UPDATED = OFF);" in lines
    assert "GRANT SELECT ON OBJECT::[dbo].[situs] ([prop_id], [situs_id]) TO [tf_reader];" in lines
    assert "GRANT VIEW CHANGE TRACKING ON OBJECT::[dbo].[situs] TO [tf_reader];" in lines
    assert not any("pacs_system" in line and "CHANGE_TRACKING" in line for line in lines)
