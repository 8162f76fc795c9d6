"""A check that we did not write: a comparison tool that others keep lays source and target side by side, and says what the
certificate says.

It runs in an environment of its own, since its requirements are not ours (`.ci/comparison` makes it). Keys are
GUIDs kept as text: the two servers order `uniqueidentifier` and `uuid` by other bytes, and the tool cuts tables
at keys.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from airflow_provider_pacs.sandbox.catalog.tables import Table
from airflow_provider_pacs.sandbox.driver import odbc_environment
from airflow_provider_pacs.sandbox.model import SqlType
from airflow_provider_pacs.sync import steps
from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.records import Certificate
from airflow_provider_pacs.sync.source.sqlserver import SqlServerReader
from airflow_provider_pacs.sync.target.postgres import PostgresTarget
from tests.support.county import county_config, key, retype
from tests.support.server import MssqlServer, ddl
from tests.wire.scripted import CA_FILE, DIRECTORY

pytestmark = pytest.mark.slow

TOOL = Path(__file__).parents[2] / "build/comparison/bin/python"
SCRIPT = Path(__file__).with_name("external_comparison.py")
TABLES: dict[str, Table] = {
    "property": retype(
        "Property", PropertyID=SqlType("varchar", 36), LegalDescription=SqlType("varchar", 255)
    ),
    "value": retype("PropertyValue", ValueID=SqlType("varchar", 36), PropertyID=SqlType("varchar", 36)),
}
COLUMNS = {
    "property": {
        "property_id": "PropertyID",
        "parcel_number": "ParcelNumber",
        "city": "City",
        "legal_description": "LegalDescription",
        "acreage": "Acreage",
        "year_built": "YearBuilt",
        "last_modified": "LastModified",
    },
    "value": {
        "value_id": "ValueID",
        "property_id": "PropertyID",
        "tax_year": "TaxYear",
        "land_value": "LandValue",
        "improvement_value": "ImprovementValue",
        "last_modified": "LastModified",
    },
}
ROWS = 120


@dataclass(frozen=True)
class Both:
    """A county at both ends, and who compares them."""

    config: CountyConfig
    server: MssqlServer
    url: str

    def sync(self, kind: str = "sync") -> Certificate:
        """A whole run; its certificate, whatever it says."""
        run = steps.reconcile if kind == "reconcile" else steps.sync
        with (
            SqlServerReader(self.server.address, attempts=1) as source,
            PostgresTarget.from_url(self.url) as target,
        ):
            try:
                return run(self.config, source, target)[1]
            except steps.CertificateError as error:
                return error.certificate

    def certified_again(self) -> Certificate:
        """What the certificate of a run that read every row says, issued for what both sides hold now."""
        request = steps.RunRequest("sync", "test", "full")
        with (
            SqlServerReader(self.server.address, attempts=1) as source,
            PostgresTarget.from_url(self.url) as target,
        ):
            run_id = steps.plan(self.config, source, target, request).run_id
            for entity in self.config.sync.entities:
                steps.extract(self.config, source, target, run_id=run_id, entity=entity, attempt=1)
                steps.validate(self.config, target, run_id=run_id, entity=entity)
            steps.publish(self.config, target, run_id=run_id)
            self.damage()
            try:
                return steps.certify(self.config, source, target, run_id=run_id)
            except steps.CertificateError as error:
                return error.certificate

    def damage(self) -> None:
        """What nobody should do by hand: a value changed, a row lost."""
        with psycopg.connect(self.url) as connection:
            fips = self.config.fips
            connection.execute(
                f"UPDATE pacs_part.property_{fips} SET acreage = acreage + 0.0001 WHERE property_id = %s",
                (key("property", 7),),
            )
            connection.execute(
                f"DELETE FROM pacs_part.value_history_{fips} WHERE value_id = %s", (key("value", 9),)
            )

    def compared(self, entity: str) -> list[str]:
        """The keys of an entity that the tool finds to differ."""
        address, parts = self.server.address, urlsplit(self.url)
        place = {name: values[0] for name, values in parse_qs(parts.query).items()}
        columns, table = COLUMNS[entity], TABLES[entity]
        root = "value_history" if entity == "value" else entity
        request = {
            "source": {
                "address": {
                    "driver": "mssql",
                    "host": f"{address.host},{address.port}",
                    "port": None,
                    "user": address.user,
                    "password": address.password,
                    "database": address.database,
                    "schema": "dbo",
                },
                "table": ["dbo", table.name],
                "columns": list(columns.values()),
                "where": None,
            },
            "target": {
                "address": {
                    "driver": "postgresql",
                    "host": place.get("host", parts.hostname),
                    "port": parts.port or 5432,
                    "user": parts.username,
                    "password": parts.password or "",
                    "dbname": parts.path.lstrip("/"),
                },
                "table": ["pacs", root],
                "columns": list(columns),
                "where": f"county_id = '{self.config.fips}' AND _deleted_at IS NULL",
            },
        }
        done = subprocess.run(
            [str(TOOL), "-W", "ignore", str(SCRIPT)],
            input=json.dumps(request),
            env={**os.environ, **odbc_environment(DIRECTORY, CA_FILE)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        keys: list[str] = json.loads(done.stdout)
        return keys


@pytest.fixture
def both(mssql: MssqlServer, pg_url: str) -> Iterator[Both]:
    assert TOOL.exists(), f"{TOOL} is missing: run .ci/comparison, as `make test-all` does"
    server = mssql.create_database()
    server.execute(*(ddl(table) for table in TABLES.values()))
    stamp = datetime(2025, 6, 1, 8)
    properties, values = [], []
    for n in range(ROWS):
        changed = stamp + timedelta(hours=n, milliseconds=10 * n)
        properties.append(
            (
                key("property", n),
                f"1-{n:05d}",
                "Kennewick",
                f"Lot {n:03d}, Größe 'A'",
                n / 8,
                1950 + n % 70,
                changed,
                n % 9 != 0,
            )
        )
        values.append((key("value", n), key("property", n), 2024, 1000 * n + 0.25, 2000 * n + 0.5, changed))
    server.load("Property", properties, columns=[*COLUMNS["property"].values(), "IsActive"])
    server.load("PropertyValue", values, columns=list(COLUMNS["value"].values()))
    yield Both(county_config(("property", "value")), server, pg_url)
    server.drop_database()


def test_the_tool_and_the_certificate_say_the_same(both: Both) -> None:
    """Issue 13.6: after a full load, after changes of every kind, and after damage by hand."""
    assert both.sync().state == "clean"
    assert both.compared("property") == both.compared("value") == []
    with closing(both.server.connect()) as connection:
        connection.execute(
            "UPDATE dbo.Property SET City = 'Finley', LastModified = GETDATE() WHERE YearBuilt < 1960"
        )
        connection.execute("DELETE FROM dbo.PropertyValue WHERE ValueID = ?", key("value", 3))
        connection.execute("UPDATE dbo.PropertyValue SET LandValue = 1 WHERE ValueID = ?", key("value", 4))
    assert key("value", 3) in both.compared("value")
    assert both.sync("reconcile").state == "clean"
    assert both.compared("property") == both.compared("value") == []
    certificate = both.certified_again()
    parts = {part.entity: part for part in certificate.entities}
    assert certificate.state == "drift"
    assert (parts["property"].differing, parts["value"].missing) == (1, 1)
    assert both.compared("property") == [key("property", 7)]
    assert both.compared("value") == [key("value", 9)]
