"""What a county with PACS 9.0 uses around the sync: the check, the grants, the preview, the DAG."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_pacs.sync.config import load_county
from airflow_provider_pacs.sync.preflight import examine
from airflow_provider_pacs.sync.preflight.grants import mapped_tables, source_grants
from airflow_provider_pacs.sync.preflight.preview import HIDDEN, preview
from airflow_provider_pacs.sync.runtime.errors import ConfigError
from tests.support.harris import ENTITIES, HarrisPacs
from tests.support.in_process import InProcessReader

NEVER_READ = (
    "ssn",
    "dl_num",
    "dl_state",
    "dl_expir",
    "birth",
    "confidential_file_as_name",
    "confidential_first",
    "confidential_last",
    "email",
)


@pytest.fixture(scope="module")
def reader() -> Iterator[InProcessReader]:
    engine = HarrisPacs()
    yield engine.reader()
    engine.end_sessions()
    engine.close()


@pytest.fixture
def county(tmp_path: Path) -> Path:
    file = tmp_path / "benton_wa.yaml"
    file.write_text("source: {profile: harris_pacs_9}\n")
    return file


def test_the_grants_name_every_column_that_is_read_and_no_other(county: Path) -> None:
    """Stories 27, 28: the login may read what the profile reads, column by column; not even the table of
    licences as a whole.
    """
    made = source_grants(mapped_tables(load_county(county)))
    texts = [sql for sql in made.statements if sql.startswith("GRANT SELECT")]
    tables = {sql.split("OBJECT::[dbo].[")[1].split("]")[0] for sql in texts}
    assert {
        "property",
        "property_val",
        "prop_supp_assoc",
        "owner",
        "account",
        "situs",
        "imprv",
        "imprv_detail",
        "imprv_attr",
    } <= tables
    assert not [sql for sql in texts for word in NEVER_READ if word in sql]
    (account,) = [sql for sql in texts if "[dbo].[account]" in sql]
    assert (
        account
        == "GRANT SELECT ON OBJECT::[dbo].[account] ([acct_id], [confidential_flag], [file_as_name]) TO "
        "[tf_reader];"
    )


def test_a_check_looks_at_every_table_and_shows_nothing_personal(
    county: Path, reader: InProcessReader
) -> None:
    """Stories 15, 18, 24: the fingerprint, sentinel dates and duplicate parcel numbers are reported; names and
    addresses are counted only.
    """
    report = examine(load_county(county), reader, ConfigError("no target here"), thorough=True)
    findings = {finding.id: finding for finding in report.findings}
    assert len(findings) == len(report.findings), "two findings have one id"
    assert {finding.area for finding in report.findings if finding.state == "fail"} == {"target"}
    assert all(findings[f"schema.{entity}"].state == "ok" for entity in ENTITIES)
    assert "1980-01-01 in prop_inactive_dt" in findings["data.property.property_val.dates"].text
    assert "occur more than once" in findings["data.property.property.keys.geo_id"].text
    assert "rowversion" in findings["changes.value"].text
    texts = " ".join(finding.text for finding in report.findings)
    names = {row["file_as_name"] for row in reader.query("SELECT TOP (50) file_as_name FROM dbo.account")}
    assert not [name for name in names if name and name in texts]


def test_a_preview_shows_ten_rows_beside_their_source(county: Path, reader: InProcessReader) -> None:
    rows = preview(load_county(county), reader, "owner")
    assert len(rows) == 10
    cells = {cell.column: cell for cell in rows[0].cells}
    assert cells["ownership_percentage"].source == cells["ownership_percentage"].mapped
    assert "pct_ownership" in cells["ownership_percentage"].comes_from
    assert cells["owner_name"].mapped == HIDDEN
    shown = {
        cell.column: cell
        for cell in preview(load_county(county), reader, "owner", rows=1, personal=True)[0].cells
    }
    assert shown["owner_name"].mapped not in (HIDDEN, None)
    with pytest.raises(ConfigError, match="does not synchronise 'sale'"):
        preview(load_county(county), reader, "sale")
