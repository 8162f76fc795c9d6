"""A catalog and one of its databases in; the rows of sys.* and INFORMATION_SCHEMA.* out, one `Spec` per system table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_pacs.sandbox.model import MAX, Column
from airflow_provider_pacs.sandbox.sqltypes import CHARACTER, make

if TYPE_CHECKING:
    from airflow_provider_pacs.sandbox.catalog import Catalog, Database, Table

Row = tuple[Any, ...]
Rows = Callable[["Catalog", "Database"], Iterable[Row]]

TYPE_IDS = {
    "image": 34, "text": 35, "uniqueidentifier": 36, "date": 40, "time": 41, "datetime2": 42, "datetimeoffset": 43, "tinyint": 48, "smallint": 52,
    "int": 56, "smalldatetime": 58, "real": 59, "money": 60, "datetime": 61, "float": 62, "sql_variant": 98, "ntext": 99, "bit": 104, "decimal": 106,
    "numeric": 108, "smallmoney": 122, "bigint": 127, "varbinary": 165, "varchar": 167, "binary": 173, "char": 175, "timestamp": 189,
    "nvarchar": 231, "nchar": 239, "xml": 241, "sysname": 256,
}  # fmt: skip
SCHEMA_IDS = {"dbo": 1, "guest": 2, "INFORMATION_SCHEMA": 3, "sys": 4}


@dataclass(frozen=True, slots=True)
class Spec:
    """One system table: its columns and how its rows are made."""

    columns: tuple[Column, ...]
    rows: Rows


def columns(text: str) -> tuple[Column, ...]:
    """`name type, name type!` to columns; `!` marks NOT NULL."""
    found = []
    for part in text.split(","):
        name, kind = part.split()
        base, _, size = kind.rstrip("!").partition("(")
        found.append(Column(name, make(base, [MAX if size == "max)" else int(size.rstrip(")"))] if size else []), not kind.endswith("!")))
    return tuple(found)


def _nothing(catalog: Catalog, database: Database) -> Iterator[Row]:
    return iter(())


def schema_id(catalog: Catalog, database: str, schema: str) -> int:
    """The number of a schema."""
    own = [s for s in catalog.schemas(database) if s not in SCHEMA_IDS]
    return SCHEMA_IDS[schema] if schema in SCHEMA_IDS else 5 + own.index(schema)


def _schemas(catalog: Catalog, database: Database) -> Iterator[Row]:
    for name in catalog.schemas(database.name):
        number = schema_id(catalog, database.name, name)
        yield name, number, number if number < 5 else 1


def _tables(catalog: Catalog, database: Database) -> Iterator[Row]:
    for t in catalog.tables(database.name):
        yield t.name, t.object_id, schema_id(catalog, database.name, t.schema), 0, "U ", "USER_TABLE", database.created, database.created, False


def _objects(catalog: Catalog, database: Database) -> Iterator[Row]:
    yield from _tables(catalog, database)
    for name, number, schema, parent, kind, kind_desc, *_ in _key_constraints(catalog, database):
        yield name, number, schema, parent, kind, kind_desc, database.created, database.created, False


def _columns(catalog: Catalog, database: Database) -> Iterator[Row]:
    from airflow_provider_pacs.sandbox.catalog import COLLATION, column_bytes

    for t in catalog.tables(database.name):
        for number, c in enumerate(t.columns, start=1):
            type_id = TYPE_IDS["timestamp" if c.type.name == "rowversion" else c.type.name]
            collation = COLLATION if c.type.name in CHARACTER - {"xml"} else None
            default = t.object_id + 200 + number if c.name in t.defaults else 0
            yield (t.object_id, c.name, number, type_id, type_id, *column_bytes(c.type), collation, c.nullable, False, False, False, default, None, None,
                   False, False, 0, "NOT_APPLICABLE", None)  # fmt: skip


def _types(catalog: Catalog, database: Database) -> Iterator[Row]:
    from airflow_provider_pacs.sandbox.catalog import COLLATION, column_bytes

    for name, number in TYPE_IDS.items():
        base = {"sysname": "nvarchar", "timestamp": "rowversion", "sql_variant": "nvarchar"}.get(name, name)
        size = column_bytes(make(base, [38, 38] if base in ("decimal", "numeric") else [128] if name == "sysname" else []))
        yield (
            name,
            TYPE_IDS["nvarchar"] if name == "sysname" else number,
            number,
            4,
            *size,
            COLLATION if "char" in base else None,
            True,
            False,
            False,
            0,
            0,
            False,
        )


def _indexes(catalog: Catalog, database: Database) -> Iterator[Row]:
    for t in catalog.tables(database.name):
        if t.primary_key:
            yield t.object_id, f"PK_{t.name}", 1, 1, "CLUSTERED", True, True, False, False, False, None
        else:
            yield t.object_id, None, 0, 0, "HEAP", False, False, False, False, False, None
        for number, index in enumerate(t.indexes, start=2):
            yield t.object_id, index.name, number, 2, "NONCLUSTERED", index.unique, False, False, False, False, None


def _index_columns(catalog: Catalog, database: Database) -> Iterator[Row]:
    for t in catalog.tables(database.name):
        keys = ([(1, t.primary_key)] if t.primary_key else []) + [(n, i.columns) for n, i in enumerate(t.indexes, start=2)]
        for number, names in keys:
            for place, name in enumerate(names, start=1):
                yield t.object_id, number, place, t.position(name), place, 0, False, False


def _key_constraints(catalog: Catalog, database: Database) -> Iterator[Row]:
    for t in catalog.tables(database.name):
        if t.primary_key:
            schema = schema_id(catalog, database.name, t.schema)
            yield f"PK_{t.name}", t.object_id + 1, schema, t.object_id, "PK", "PRIMARY_KEY_CONSTRAINT", 1, True


def _defaults(catalog: Catalog, database: Database) -> Iterator[Row]:
    for t in catalog.tables(database.name):
        for name, text in t.defaults.items():
            number = t.position(name)
            yield t.object_id + 200 + number, f"DF_{t.name}_{name}", schema_id(catalog, database.name, t.schema), t.object_id, number, text


def _foreign_keys(catalog: Catalog, database: Database) -> Iterator[Row]:
    for t in catalog.tables(database.name):
        for number, fk in enumerate(t.foreign_keys):
            other = catalog.table(database.name, t.schema, fk.table)
            yield (
                fk.name,
                t.object_id + 100 + number,
                schema_id(catalog, database.name, t.schema),
                t.object_id,
                other.object_id if other else 0,
                False,
                0,
                0,
            )


def _databases(catalog: Catalog, database: Database) -> Iterator[Row]:
    from airflow_provider_pacs.sandbox.catalog import COLLATION

    for d in catalog.databases.values():
        yield (d.name, d.database_id, d.created, str(d.guid("broker")), d.compatibility_level, COLLATION, 1 if d.snapshot else 0, "ON" if d.snapshot else "OFF",
               d.read_committed_snapshot, d.cdc, d.read_only, 0, "ONLINE", "FULL", 0, "MULTI_USER")  # fmt: skip


def _recovery(catalog: Catalog, database: Database) -> Iterator[Row]:
    for d in catalog.databases.values():
        yield d.database_id, str(d.guid("database")), str(d.guid("family")), None, str(d.guid("fork")), None


def _i_tables(catalog: Catalog, database: Database) -> Iterator[Row]:
    return ((t.database, t.schema, t.name, "BASE TABLE") for t in catalog.tables(database.name))


def _i_columns(catalog: Catalog, database: Database) -> Iterator[Row]:
    from airflow_provider_pacs.sandbox.catalog import COLLATION, column_bytes

    for t in catalog.tables(database.name):
        for number, c in enumerate(t.columns, start=1):
            text = c.type.name in CHARACTER
            length = 2147483647 if c.type.name == "text" else c.type.length if text else None
            _, precision, scale = column_bytes(c.type)
            yield (t.database, t.schema, t.name, c.name, number, t.defaults.get(c.name), "YES" if c.nullable else "NO", c.type.name, length, length,
                   precision or None, scale if precision else None, COLLATION if text else None)  # fmt: skip


def _constraints(catalog: Catalog, database: Database) -> Iterator[tuple[Table, str, str, tuple[str, ...]]]:
    for t in catalog.tables(database.name):
        if t.primary_key:
            yield t, f"PK_{t.name}", "PRIMARY KEY", t.primary_key
        for fk in t.foreign_keys:
            yield t, fk.name, "FOREIGN KEY", fk.columns


def _i_constraints(catalog: Catalog, database: Database) -> Iterator[Row]:
    return ((t.database, t.schema, name, t.database, t.schema, t.name, kind) for t, name, kind, _ in _constraints(catalog, database))


def _i_key_usage(catalog: Catalog, database: Database) -> Iterator[Row]:
    for t, name, _, keys in _constraints(catalog, database):
        for number, key in enumerate(keys, start=1):
            yield t.database, t.schema, name, t.database, t.schema, t.name, key, number


def _i_references(catalog: Catalog, database: Database) -> Iterator[Row]:
    for t in catalog.tables(database.name):
        for fk in t.foreign_keys:
            yield t.database, t.schema, fk.name, t.database, t.schema, f"PK_{fk.table}", "SIMPLE", "NO ACTION", "NO ACTION"


def _i_schemata(catalog: Catalog, database: Database) -> Iterator[Row]:
    return ((database.name, s, "dbo" if s not in SCHEMA_IDS else s) for s in catalog.schemas(database.name))


def _system_views(catalog: Catalog, database: Database) -> Iterator[Row]:
    names = [k.split(".")[1] for k in SPECS if k.startswith("sys.")] + ["dm_exec_sessions", "dm_exec_connections", "dm_tran_database_transactions"]
    return ((name, -1000 - number, 4, "V ", "VIEW") for number, name in enumerate(names))


def _principals(catalog: Catalog, database: Database) -> Iterator[Row]:
    return iter(
        [
            ("public", 0, "R", "DATABASE_ROLE"),
            ("dbo", 1, "S", "SQL_USER"),
            ("db_owner", 16384, "R", "DATABASE_ROLE"),
            ("db_datareader", 16390, "R", "DATABASE_ROLE"),
        ]
    )


_OBJECT = "name sysname!, object_id int!, schema_id int!, parent_object_id int!, type char(2)!, type_desc nvarchar(60), create_date datetime!, modify_date datetime!, is_ms_shipped bit!"
SPECS: dict[str, Spec] = {
    key: Spec(columns(text), rows)
    for key, text, rows in (
        ("sys.schemas", "name sysname!, schema_id int!, principal_id int", _schemas),
        ("sys.tables", _OBJECT, _tables),
        ("sys.objects", _OBJECT, _objects),
        ("sys.all_objects", _OBJECT, _objects),
        ("sys.views", _OBJECT, _nothing),
        ("sys.procedures", _OBJECT, _nothing),
        ("sys.triggers", "name sysname!, object_id int!, parent_id int!, is_disabled bit!", _nothing),
        ("sys.columns", "object_id int!, name sysname, column_id int!, system_type_id tinyint!, user_type_id int!, max_length smallint!, precision tinyint!, scale tinyint!, "
         "collation_name sysname, is_nullable bit, is_rowguidcol bit!, is_identity bit!, is_computed bit!, default_object_id int!, encryption_type int, "
         "encryption_type_desc nvarchar(64), is_masked bit!, is_hidden bit!, generated_always_type tinyint, generated_always_type_desc nvarchar(60), "
         "column_encryption_key_id int", _columns),
        ("sys.types", "name sysname!, system_type_id int!, user_type_id int!, schema_id int!, max_length smallint!, precision tinyint!, scale tinyint!, collation_name sysname, "
         "is_nullable bit, is_user_defined bit!, is_assembly_type bit!, default_object_id int!, rule_object_id int!, is_table_type bit!", _types),
        ("sys.indexes", "object_id int!, name sysname, index_id int!, type tinyint!, type_desc nvarchar(60), is_unique bit, is_primary_key bit, is_unique_constraint bit, "
         "is_disabled bit, has_filter bit, filter_definition nvarchar(max)", _indexes),
        ("sys.index_columns", "object_id int!, index_id int!, index_column_id int!, column_id int!, key_ordinal tinyint!, partition_ordinal tinyint!, is_descending_key bit, "
         "is_included_column bit", _index_columns),
        ("sys.key_constraints", "name sysname!, object_id int!, schema_id int!, parent_object_id int!, type char(2)!, type_desc nvarchar(60), unique_index_id int, "
         "is_system_named bit!", _key_constraints),
        ("sys.default_constraints", "object_id int!, name sysname!, schema_id int!, parent_object_id int!, parent_column_id int!, definition nvarchar(max)", _defaults),
        ("sys.check_constraints", "object_id int!, name sysname!, schema_id int!, parent_object_id int!, parent_column_id int!, definition nvarchar(max)", _nothing),
        ("sys.foreign_keys", "name sysname!, object_id int!, schema_id int!, parent_object_id int!, referenced_object_id int, is_disabled bit!, delete_referential_action tinyint, "
         "update_referential_action tinyint", _foreign_keys),
        ("sys.computed_columns", "object_id int!, name sysname, column_id int!, is_computed bit, is_persisted bit!, definition nvarchar(max)", _nothing),
        ("sys.identity_columns", "object_id int!, name sysname, column_id int!, is_identity bit, seed_value numeric(38), increment_value numeric(38), last_value numeric(38), "
         "is_not_for_replication bit", _nothing),
        ("sys.extended_properties", "class tinyint!, class_desc nvarchar(60), major_id int!, minor_id int!, name sysname!, value nvarchar(4000)", _nothing),
        ("sys.sql_modules", "object_id int!, definition nvarchar(max)", _nothing),
        ("sys.sequences", _OBJECT, _nothing),
        ("sys.system_views", "name sysname!, object_id int!, schema_id int!, type char(2)!, type_desc nvarchar(60)", _system_views),
        ("sys.database_principals", "name sysname!, principal_id int!, type char(1)!, type_desc nvarchar(60)", _principals),
        ("sys.databases", "name sysname!, database_id int!, create_date datetime!, service_broker_guid uniqueidentifier!, compatibility_level tinyint!, collation_name sysname, "
         "snapshot_isolation_state tinyint, snapshot_isolation_state_desc nvarchar(60), is_read_committed_snapshot_on bit, is_cdc_enabled bit!, is_read_only bit!, "
         "state tinyint, state_desc nvarchar(60), recovery_model_desc nvarchar(60), user_access tinyint, user_access_desc nvarchar(60)", _databases),
        ("sys.database_recovery_status", "database_id int!, database_guid uniqueidentifier, family_guid uniqueidentifier, last_log_backup_lsn numeric(25), "
         "recovery_fork_guid uniqueidentifier, first_recovery_fork_guid uniqueidentifier", _recovery),
        ("sys.change_tracking_databases", "database_id int!, is_auto_cleanup_on bit, retention_period int, retention_period_units tinyint", _nothing),
        ("sys.change_tracking_tables", "object_id int!, is_track_columns_updated_on bit!, min_valid_version bigint, begin_version bigint, cleanup_version bigint", _nothing),
        ("information_schema.tables", "TABLE_CATALOG sysname, TABLE_SCHEMA sysname, TABLE_NAME sysname!, TABLE_TYPE varchar(10)", _i_tables),
        ("information_schema.views", "TABLE_CATALOG sysname, TABLE_SCHEMA sysname, TABLE_NAME sysname!, VIEW_DEFINITION nvarchar(4000), CHECK_OPTION varchar(7), "
         "IS_UPDATABLE varchar(2)!", _nothing),
        ("information_schema.sequences", "SEQUENCE_CATALOG sysname, SEQUENCE_SCHEMA sysname, SEQUENCE_NAME sysname", _nothing),
        ("information_schema.columns", "TABLE_CATALOG sysname, TABLE_SCHEMA sysname, TABLE_NAME sysname!, COLUMN_NAME sysname, ORDINAL_POSITION int, COLUMN_DEFAULT nvarchar(4000), "
         "IS_NULLABLE varchar(3), DATA_TYPE sysname, CHARACTER_MAXIMUM_LENGTH int, CHARACTER_OCTET_LENGTH int, NUMERIC_PRECISION tinyint, NUMERIC_SCALE int, "
         "COLLATION_NAME sysname", _i_columns),
        ("information_schema.schemata", "CATALOG_NAME sysname, SCHEMA_NAME sysname!, SCHEMA_OWNER sysname", _i_schemata),
        ("information_schema.table_constraints", "CONSTRAINT_CATALOG sysname, CONSTRAINT_SCHEMA sysname, CONSTRAINT_NAME sysname!, TABLE_CATALOG sysname, TABLE_SCHEMA sysname, "
         "TABLE_NAME sysname, CONSTRAINT_TYPE varchar(11)", _i_constraints),
        ("information_schema.key_column_usage", "CONSTRAINT_CATALOG sysname, CONSTRAINT_SCHEMA sysname, CONSTRAINT_NAME sysname!, TABLE_CATALOG sysname, TABLE_SCHEMA sysname, "
         "TABLE_NAME sysname, COLUMN_NAME sysname, ORDINAL_POSITION int!", _i_key_usage),
        ("information_schema.referential_constraints", "CONSTRAINT_CATALOG sysname, CONSTRAINT_SCHEMA sysname, CONSTRAINT_NAME sysname!, UNIQUE_CONSTRAINT_CATALOG sysname, "
         "UNIQUE_CONSTRAINT_SCHEMA sysname, UNIQUE_CONSTRAINT_NAME sysname, MATCH_OPTION varchar(7), UPDATE_RULE varchar(11), DELETE_RULE varchar(11)", _i_references),
    )
}  # fmt: skip
