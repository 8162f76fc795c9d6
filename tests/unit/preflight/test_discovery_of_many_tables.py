"""A vendor's database has thousands of tables: the right ones are picked among them, by few comparisons."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_pacs.sync.preflight import discovery
from airflow_provider_pacs.sync.preflight.discovery import discover
from airflow_provider_pacs.sync.schema.inventory import ALL_COLUMNS, UNIQUE_INDEXES

GUID, TEXT, DATE = "uniqueidentifier", "varchar", "datetime"
PARCELS = {
    "ParcelGuid": GUID,
    "ParcelNo": TEXT,
    "SitusAddress": TEXT,
    "City": TEXT,
    "State": TEXT,
    "Zip": TEXT,
    "LegalDesc": TEXT,
    "Acres": "decimal",
    "YearBuilt": "int",
    "ModifiedDate": DATE,
    "ActiveFlag": "bit",
}
OWNERS = {"OwnerGuid": GUID, "ParcelGuid": GUID, "OwnerName": TEXT, "OwnerType": TEXT, "ModifiedDate": DATE}
NOISE = {"ID": "int", "Code": TEXT, "Description": TEXT, "CreatedBy": TEXT, "CreatedDate": DATE, "Sequence": "int"}  # fmt: skip


class Catalog:
    """A source that answers catalog questions, and has no rows."""

    address_text = "sql.example/VENDOR"

    def __init__(self, tables: dict[str, dict[str, str]], keys: dict[str, str]) -> None:
        self.tables, self.keys = tables, keys

    def query(self, sql: str, params: tuple[object, ...] = ()) -> list[dict[str, Any]]:
        if sql == ALL_COLUMNS:
            return [
                {"schema_name": "dbo", "table_name": table, "kind": "U", "name": name, "type_name": kind,
                 "max_length": 20, "precision": 0, "scale": 0, "is_nullable": True}
                for table, columns in self.tables.items()
                for name, kind in columns.items()
            ]  # fmt: skip
        if sql == UNIQUE_INDEXES:
            return [
                {
                    "schema_name": "dbo",
                    "table_name": table,
                    "index_id": 1,
                    "is_primary_key": True,
                    "name": key,
                }
                for table, key in self.keys.items()
            ]
        return [{"n": 0}] if sql.startswith("SELECT COUNT_BIG") else []


def test_the_right_tables_are_picked_among_thousands(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = {f"Setup{number}Code": NOISE for number in range(3_000)}
    source = Catalog(
        {**noise, "Parcel": PARCELS, "ParcelOwner": OWNERS},
        {"Parcel": "ParcelGuid", "ParcelOwner": "OwnerGuid"},
    )
    close, compare = [], discovery._table_score
    monkeypatch.setattr(
        discovery,
        "_table_score",
        lambda entity, table, keys: close.append(table) or compare(entity, table, keys),
    )
    proposal = discover(source)  # type: ignore[arg-type]
    assert {table.entity: table.table for table in proposal.tables} == {
        "property": "Parcel",
        "owner": "ParcelOwner",
    }
    assert proposal.absent == ("structure", "value")
    assert len(close) <= 4 * discovery._CLOSE_LOOKS


def test_two_tables_that_are_as_likely_are_both_named() -> None:
    source = Catalog(
        {"Property": PARCELS, "Parcel": PARCELS, "ParcelOwner": OWNERS},
        {"Property": "ParcelGuid", "Parcel": "ParcelGuid"},
    )
    (table,) = [table for table in discover(source).tables if table.entity == "property"]  # type: ignore[arg-type]
    assert {table.table, table.doubt} == {"Property", "dbo.Parcel is nearly as likely"}
