"""A county whose PACS offers a change feed, and words for what its administrator does to it."""

from __future__ import annotations

from airflow_provider_pacs.sandbox.counties import generic_tables as generic
from tests.support.county import County

INSTANCE = "dbo_Property"


def capture(county: County, *columns: str, instance: str = INSTANCE, table: str = "Property") -> None:
    """Enable a capture instance, of some columns or of all."""
    listed = f", @captured_column_list = N'{', '.join(columns)}'" if columns else ""
    county.pacs(
        f"EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N'{table}', @role_name = NULL, "
        f"@capture_instance = N'{instance}', @supports_net_changes = 0{listed}"
    )


def drop_capture(county: County, instance: str = INSTANCE) -> None:
    """Disable a capture instance."""
    county.pacs(
        "EXEC sys.sp_cdc_disable_table @source_schema = N'dbo', @source_name = N'Property', "
        f"@capture_instance = N'{instance}'"
    )


def start_capturing(county: County) -> None:
    """CDC as it is after the administrator has enabled it for `Property`: whatever was before is gone."""
    if county.engine.catalog.databases[generic.DATABASE.lower()].cdc:  # type: ignore[attr-defined]
        county.pacs("EXEC sys.sp_cdc_disable_db")
    county.pacs("EXEC sys.sp_cdc_enable_db")
    county.pacs("EXEC sandbox.cdc_lag @seconds = 0; EXEC sys.sp_cdc_start_job @job_type = N'capture'")
    capture(county)
