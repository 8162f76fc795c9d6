"""Change Data Capture as a county's DBA and the product's own driver see it: the script that `pacs grants` prints,
what a check says, and the ranges over the wire.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyodbc
import pytest

from airflow_provider_pacs.cli import main
from airflow_provider_pacs.sandbox.counties import generic_rows
from airflow_provider_pacs.sandbox.tsql.engine import SandboxEngine
from airflow_provider_pacs.sandbox.wire.serve import SandboxServer
from airflow_provider_pacs.sync.config import CountyConfig, load_county
from airflow_provider_pacs.sync.incremental import cdc
from airflow_provider_pacs.sync.incremental.statements import ChangeQuery, Window, key_list_query
from airflow_provider_pacs.sync.incremental.strategy import BoundsRequest
from airflow_provider_pacs.sync.preflight import Finding, examine
from airflow_provider_pacs.sync.preflight.feed_scripts import capture_script
from airflow_provider_pacs.sync.preflight.grants import mapped_tables, source_grants
from airflow_provider_pacs.sync.preflight.resolve import resolve_tables
from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.source.address import SourceAddress
from airflow_provider_pacs.sync.source.sqlserver import SqlServerReader
from tests.wire.scripted import CERTIFICATE, connection_string

LOGIN, PASSWORD = "tf_pacs_reader", "Chosen!ByTheDba1"


@pytest.fixture
def county(tmp_path: Path) -> CountyConfig:
    file = tmp_path / "benton_wa.yaml"
    file.write_text("timezone: America/Los_Angeles\nsync: {entities: [property]}\n")
    return load_county(file)


@pytest.fixture
def served(county: CountyConfig) -> Iterator[int]:
    """A county on the wire after the DBA ran both scripts; its port."""
    engine = generic_rows.build(SandboxEngine(), "tiny")
    with SandboxServer(engine, certificate=CERTIFICATE) as server:
        made = source_grants(mapped_tables(county))
        with closing(dba(server.port)) as connection:
            connection.execute(made.login_statement.replace("'...'", f"'{PASSWORD}'"))
            for statement in (*made.statements, *capture_script(county, 4).statements):
                connection.execute(statement)
        yield server.port
    engine.close()


def dba(port: int) -> pyodbc.Connection:
    text = connection_string(port, Database="PACS", UID="sa", PWD="Sandbox!Admin1")
    return pyodbc.connect(text, autocommit=True, timeout=5)


def reader(port: int) -> SqlServerReader:
    return SqlServerReader(SourceAddress("127.0.0.1", port, "PACS", LOGIN, PASSWORD), attempts=1)


def findings(county: CountyConfig, port: int) -> dict[str, Finding]:
    """What a check says."""
    with reader(port) as source:
        report = examine(county, source, ConfigError("no target"))
    return {each.id: each for each in report.findings}


def streamed(source: SqlServerReader, query: ChangeQuery) -> list[dict[str, Any]]:
    return [row for batch in source.stream(query.sql, query.params) for row in batch.to_pylist()]


def test_the_script_is_enough_and_ranges_come_over_the_wire(county: CountyConfig, served: int) -> None:
    """Cases 95, 100: the login of the two scripts reads changed rows, gone keys and what is newer than a bound, and
    no column that is not mapped was captured.
    """
    with closing(dba(served)) as connection, reader(served) as source:
        keys = [row[0] for row in connection.execute("SELECT TOP 3 PropertyID FROM dbo.Property").fetchall()]
        table = resolve_tables(county, source)["property"].table
        assert table.capture == "dbo_Property"

        def bounds(cursor: str | None) -> dict[str, Any]:
            query = cdc.bounds_query(BoundsRequest("datetime", "", cursor, None, 0, 0, table=table))
            return source.query(query.sql, query.params)[0]

        first = bounds(None)
        connection.execute("UPDATE dbo.Property SET City = 'Kiona' WHERE PropertyID = ?", keys[0])
        for child in ("PropertyOwner", "PropertyValue", "Structure", "Property"):
            connection.execute(f"DELETE FROM dbo.{child} WHERE PropertyID = ?", keys[1])
        second = bounds(first["hi"])
        assert (second["lo"], second["behind"], second["expired"]) == (first["hi"], 0, 0)
        window = Window(second["lo"], second["hi"])
        assert [row["city"] for row in streamed(source, cdc.window_query(table, window))] == ["Kiona"]
        gone = streamed(source, cdc.gone_query(table, window))
        assert [str(row["k"]).lower() for row in gone] == [str(keys[1]).lower()]
        newer = streamed(source, key_list_query(table, cdc.late(table), first["hi"]))
        assert [str(row["k"]).lower() for row in newer] == [str(keys[0]).lower()]
        nothing = Window(second["hi"], second["hi"])
        assert streamed(source, cdc.window_query(table, nothing)) == []


def test_the_check_says_how_capture_is_and_what_to_do(county: CountyConfig, served: int) -> None:
    """Case 98: health and what is kept; a job that stands still is a failure with its remedy."""
    said = findings(county, served)
    assert said["changes.property"].text.startswith("property is read by cdc: Change Data Capture, instance")
    assert said["database.cdc.capture"].state == "ok"
    with closing(dba(served)) as connection:
        connection.execute("EXEC sys.sp_cdc_stop_job @job_type = N'capture'")
        connection.execute("EXEC sandbox.clock_advance @seconds = 3600")
    said = findings(county, served)
    capture = said["database.cdc.capture"]
    assert (capture.state, "sp_cdc_start_job" in capture.remedy) == ("fail", True)
    assert "stands still" in said["changes.property"].text
    with closing(dba(served)) as connection:
        connection.execute("EXEC sys.sp_cdc_start_job @job_type = N'capture'")
        connection.execute("REVOKE SELECT ON OBJECT::[cdc].[change_tables] TO [tf_reader]")
    said = findings(county, served)
    assert "the login may not read schema cdc" in said["changes.property"].text
    assert "pacs grants" in said["changes.property"].remedy


def test_what_is_printed_for_the_journal_is_enough_to_look_at_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Grants on the journal's tables, and nothing that switches anything on."""
    (tmp_path / "benton_wa.yaml").write_text("source: {profile: harris_pacs_9}\n")
    asked = ["grants", "benton_wa", "--counties", str(tmp_path), "--change-log"]
    assert main(asked) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "GRANT SELECT ON OBJECT::[dbo].[change_log] TO [tf_reader];" in lines
    assert not [line for line in lines if line.startswith(("EXEC", "ALTER DATABASE", "ALTER TABLE"))]
    assert main([*asked[:-1], "--cdc"]) == 2
    (tmp_path / "benton_wa.yaml").write_text("source: {profile: generic}\n")
    assert main(asked) == 2
