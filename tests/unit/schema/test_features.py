"""Which feeds a source offers, and what is said of it where the catalog does not answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from airflow_provider_pacs.sync.profiles import load_tables
from airflow_provider_pacs.sync.runtime.errors import FatalError, RetryableError
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable
from airflow_provider_pacs.sync.schema.columns import SourceColumn
from airflow_provider_pacs.sync.schema.features import SourceFeatures, TableFeatures, read_features

DATABASE = {"cdc": True, "snapshots": 1, "committed": False}
TRACKING = {"cleanup": True, "period": 14, "units": 3}


class Catalog:
    """A source of which only these four views answer; None: denied."""

    def __init__(
        self, database: Any = None, tracking: Any = None, tracked: Any = None, captured: Any = None
    ) -> None:
        self.answers = {
            "sys.databases": database,
            "change_tracking_databases": tracking,
            "change_tracking_tables": tracked,
            "is_tracked_by_cdc": captured,
        }

    def query(self, sql: str, params: Sequence[object] = ()) -> list[dict[str, Any]]:
        rows = next(rows for name, rows in self.answers.items() if name in sql)
        if rows is None:
            raise FatalError("permission denied")
        return list(rows)


def resolved(change_type: str | None, **more: str) -> ResolvedTable:
    table = load_tables("generic")["property"]
    columns = {name: SourceColumn(name, "varchar", 16, 0, 0, True) for _, name in table.columns}
    columns["LastModified"] = SourceColumn("LastModified", change_type or "varchar", 8, 0, 0, True)
    return ResolvedTable(
        table, columns | {name: SourceColumn(name, kind, 8, 0, 0, False) for name, kind in more.items()}
    )


def test_everything_is_on() -> None:
    mine = [{"schema_name": "DBO", "table_name": "property"}]
    features = read_features(Catalog([DATABASE], [TRACKING], mine, mine))  # type: ignore[arg-type]
    assert (features.change_tracking, features.retention_minutes, features.cdc) == (True, 14 * 24 * 60, True)
    assert (features.snapshot_isolation, features.read_committed_snapshot) == (True, False)
    assert features.of("dbo", "Property") == TableFeatures(change_tracking=True, cdc=True)
    assert features.of("dbo", "PropertyOwner") == TableFeatures(change_tracking=False, cdc=False)


def test_everything_is_off() -> None:
    features = read_features(Catalog([{"cdc": False, "snapshots": 0, "committed": True}], [], [], []))  # type: ignore[arg-type]
    assert (features.change_tracking, features.cdc, features.snapshot_isolation) == (False, False, False)
    assert features.of("dbo", "Property") == TableFeatures(change_tracking=False, cdc=False)


def test_what_is_denied_is_unknown() -> None:
    """Unknown is not off: a view that is denied must not read like a feature that nobody switched on."""
    assert read_features(Catalog()) == SourceFeatures()  # type: ignore[arg-type]
    assert SourceFeatures().of("dbo", "Property") == TableFeatures(None, None)
    half = read_features(Catalog([DATABASE], [TRACKING], None, []))  # type: ignore[arg-type]
    assert half.of("dbo", "Property") == TableFeatures(None, False)


def test_a_broken_connection_is_not_unknown() -> None:
    class Broken:
        def query(self, sql: str, params: Sequence[object] = ()) -> list[dict[str, Any]]:
            raise RetryableError("gone")

    with pytest.raises(RetryableError):
        read_features(Broken())  # type: ignore[arg-type]
