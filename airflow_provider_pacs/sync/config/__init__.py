"""A county's YAML file becomes a `CountyConfig`: every problem at once, with file, field and line."""

from airflow_provider_pacs.sync.config.county import (
    CountyConfig,
    county_files,
    load_county,
    require_entity,
    table_maps,
    washington_fips,
)

__all__ = ["CountyConfig", "county_files", "load_county", "require_entity", "table_maps", "washington_fips"]
