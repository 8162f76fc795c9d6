"""Change Data Capture: its state per database, log sequence numbers, and the declared tables of schema cdc."""

from __future__ import annotations

from airflow_provider_pacs.sandbox.catalog.sqltypes import make
from airflow_provider_pacs.sandbox.catalog.tables import Table
from airflow_provider_pacs.sandbox.catalog.tracking import Capture
from airflow_provider_pacs.sandbox.model import Column, SqlType

LSN = SqlType("binary", 10)
_FIRST, _SHIFT, _COMMIT = 42 << 48, 24, 0xFFFFF0
_TABLES = {
    "change_tables": "object_id int!, version int, source_object_id int, capture_instance sysname!, start_lsn binary(10), "
    "end_lsn binary(10), supports_net_changes bit, has_drop_pending bit, role_name sysname, index_name sysname, "
    "filegroup_name sysname, create_date datetime",
    "captured_columns": "object_id int!, column_name sysname!, column_id int, column_type sysname!, column_ordinal int!, "
    "is_computed bit",
    "index_columns": "object_id int!, column_name sysname!, index_ordinal int!, column_id int!",
    "lsn_time_mapping": "start_lsn binary(10)!, tran_begin_time datetime, tran_end_time datetime, tran_id varbinary(10), "
    "tran_begin_lsn binary(10)",
    "ddl_history": "source_object_id int, object_id int, required_column_update bit, ddl_command nvarchar(4000), ddl_lsn "
    "binary(10), ddl_time datetime",
}


def lsn_of(number: int) -> bytes:
    """The LSN of a commit."""
    return (_FIRST + (number << _SHIFT) + _COMMIT).to_bytes(10, "big")


def lsn_text(number: str) -> str:
    """DuckDB text of a commit's LSN."""
    return _hex(f"{_FIRST} + ({number}) * {1 << _SHIFT} + {_COMMIT}")


def place_text(number: str, place: str) -> str:
    """DuckDB text of a change's sequence value within its transaction."""
    return _hex(f"{_FIRST} + ({number}) * {1 << _SHIFT} + ({place})")


def _hex(value: str) -> str:
    return f"unhex(lpad(hex(CAST({value} AS BIGINT)), 20, '0'))"


def _columns(text: str) -> tuple[Column, ...]:
    made = []
    for part in text.split(", "):
        name, kind = part.split(" ")
        base, _, size = kind.rstrip("!").partition("(")
        made.append(Column(name, make(base, [int(size.rstrip(")"))] if size else []), not kind.endswith("!")))
    return tuple(made)


def declared_tables(database: str) -> list[Table]:
    """The tables that sp_cdc_enable_db makes."""
    return [Table(database, "cdc", name, _columns(text)) for name, text in _TABLES.items()]


def change_table(source: Table, capture: Capture) -> Table:
    """The change table of a capture instance."""
    own = [source.column(name) for name in capture.columns]
    return Table(
        source.database,
        "cdc",
        f"{capture.name}_CT",
        (
            Column("__$start_lsn", LSN, False),
            Column("__$end_lsn", LSN),
            Column("__$seqval", LSN, False),
            Column("__$operation", SqlType("int"), False),
            Column("__$update_mask", SqlType("varbinary", 128)),
            *(Column(c.name, SqlType("binary", 8) if c.type.name == "rowversion" else c.type) for c in own),
            Column("__$command_id", SqlType("int")),
        ),
    )


def mask_of(capture: Capture, source: Table, updated: str) -> bytes:
    """The update mask: a bit for each captured column, the first one lowest; `updated` lists column_ids."""
    ids = {int(n) for n in updated.split(",") if n}
    positions = [source.position(name) for name in capture.columns]
    bits = sum(1 << n for n, position in enumerate(positions) if position in ids or not ids)
    return bits.to_bytes((len(positions) + 7) // 8, "big")
