"""A county's tables -> what a DBA runs so that runs can read Change Data Capture, or PACS's own journal.

Printed for a DBA; this package never sends it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from airflow_provider_pacs.sync.config import CountyConfig, table_maps
from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.preflight.grants import RETENTION_OUTAGES, ROLE, mapped_tables, one_line
from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.schema.joined import render
from airflow_provider_pacs.sync.schema.tsql import literals, quote

_MINUTES_PER_DAY = 24 * 60
_CDC_TABLES = ("change_tables", "captured_columns", "lsn_time_mapping")
_JOURNAL_TABLES = (
    "change_log",
    "change_log_keys",
    "pacs_tables",
    "pacs_columns",
    "chg_log_columns",
    "chg_log_user",
    "pacs_trigger_enable",
)
_LONGEST_INSTANCE = 100
"""Characters of a capture instance's name."""


@dataclass(frozen=True, slots=True)
class FeedScript:
    """What makes a feed readable.

    Attributes:
        notes: what people must know first.
        statements: one statement each.
        optional: beyond the least, with what it gives.
    """

    notes: tuple[str, ...]
    statements: tuple[str, ...]
    optional: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self) -> list[str]:
        """The script, with the notes as comments."""
        more = ["", "-- Optional:", *(f"-- {text}" for text in self.optional)] if self.optional else []
        return [*(f"-- {note}" for note in self.notes), *self.statements, *more]


def capture_script(config: CountyConfig, outage_days: int) -> FeedScript:
    """Change Data Capture for the county's single tables and the columns that are read of them, and the right
    to read it.

    Raises:
        ConfigError: a name is no identifier, or has a line end in it.
    """
    role = quote(ROLE)
    statements = ["EXEC sys.sp_cdc_enable_db;"]
    places: dict[tuple[str, str], dict[str, None]] = {}
    maps = table_maps(config)
    for table in mapped_tables(config):
        if maps[table.entity].joined is None:
            one_line(table.schema), one_line(table.name)
            columns = places.setdefault((table.schema, table.name), {})
            columns |= dict.fromkeys(one_line(column) for column in table.columns)
    if not places:
        raise ConfigError(
            f"{config.county}: its profile reads several tables per entity, and none of them by CDC",
            remedy=f"pacs grants {config.county} --change-tracking, or --change-log",
        )
    for (schema, name), columns in places.items():
        instance = f"{schema}_{name}"[:_LONGEST_INSTANCE]
        statements.append(
            f"EXEC sys.sp_cdc_enable_table @source_schema = N{literals([schema])}, "
            f"@source_name = N{literals([name])}, @role_name = N{literals([ROLE])}, "
            f"@capture_instance = N{literals([instance])}, @supports_net_changes = 0, "
            f"@captured_column_list = N{literals([', '.join(columns)])};"
        )
    minutes = RETENTION_OUTAGES * outage_days * _MINUTES_PER_DAY
    statements.append(f"EXEC sys.sp_cdc_change_job @job_type = N'cleanup', @retention = {minutes};")
    statements += [f"GRANT SELECT ON OBJECT::[cdc].{quote(name)} TO {role};" for name in _CDC_TABLES]
    return FeedScript(
        (
            "Change Data Capture: the server copies every committed change out of its log. Run in the PACS "
            "database after the script above,",
            "the first statement as sysadmin, the others as db_owner. It needs SQL Server Agent, and "
            "Standard edition from 2016 SP1.",
            f"Changes are kept for {RETENTION_OUTAGES * outage_days} days: {RETENTION_OUTAGES} times the "
            f"longest outage, {outage_days} days (--outage-days). The server refuses TRUNCATE TABLE then.",
            "Only the columns that are read are captured; when the mapping reads another one, enable a "
            "second instance with it.",
            "Error 22902 or 22926: it is on already, for the database or a table; leave the statement out.",
        ),
        tuple(statements),
        (
            "GRANT VIEW SERVER STATE TO the login, in master -- shows why a capture process fails, and its "
            "latency",
        ),
    )


def journal_script(config: CountyConfig) -> FeedScript:
    """The right to read PACS's own journal.

    Raises:
        ConfigError: the county's profile knows no journal.
    """
    role, schemas, journalled = quote(ROLE), dict[str, None](), dict[str, None]()
    maps = table_maps(config)
    for entity in (name for name in load_entities() if name in config.sync.entities):
        journal = render(maps[entity]).journal if maps[entity].joined is not None else None
        if journal is not None:
            schemas[journal.schema] = None
            journalled |= {table.table: None for table in journal.tables}
    if not schemas:
        raise ConfigError(
            f"{config.county}: its profile knows no journal", remedy="set source.profile: harris_pacs_9"
        )
    statements = [
        f"GRANT SELECT ON OBJECT::{quote(schema)}.{quote(name)} TO {role};"
        for schema in schemas
        for name in _JOURNAL_TABLES
    ]
    return FeedScript(
        (
            "PACS's own journal (change_log). Run in the PACS database after the script above, as somebody "
            "who may grant.",
            "Nothing is switched on: PACS's triggers write it. Have its audit on for every column that is "
            "read of these tables",
            f"(chg_log_columns.chg_log_audit = 1): {', '.join(journalled)}.",
        ),
        tuple(statements),
    )
