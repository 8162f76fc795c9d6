"""A pending set -> what the page shows before somebody decides on it."""

from __future__ import annotations

from airflow_provider_pacs.monitor.models_actions import PendingRow, PendingSetDetail, Share
from airflow_provider_pacs.sync.target.postgres.read import OpsReader


def pending_set(reader: OpsReader, county_id: str, pending_id: int) -> PendingSetDetail | None:
    """One undecided set of the county, with a sample of its rows and their breakdown."""
    breakdown = reader.pending_breakdown(county_id, pending_id)
    if breakdown is None:
        return None
    deletes = breakdown.deletes
    return PendingSetDetail(
        pending_id=deletes.pending_id,
        entity=deletes.entity,
        row_count=deletes.row_count,
        live_count=deletes.live_count,
        reason=deletes.reason,
        digest=deletes.digest,
        created_at=deletes.created_at,
        sample=[PendingRow(source_key=key, parcel_number=parcel) for key, parcel in breakdown.sample],
        shares=[Share(column=column, value=value, rows=rows) for column, value, rows in breakdown.shares],
        children=[Share(column="entity", value=entity, rows=rows) for entity, rows in breakdown.children],
    )
