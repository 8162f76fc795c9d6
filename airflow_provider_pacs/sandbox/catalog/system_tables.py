"""Every system table (sys.* and INFORMATION_SCHEMA.*): its declared columns and the function that makes
its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from airflow_provider_pacs.sandbox.catalog import system_rows
from airflow_provider_pacs.sandbox.catalog.declarations import Declarations
from airflow_provider_pacs.sandbox.catalog.sqltypes import make
from airflow_provider_pacs.sandbox.catalog.system_rows import Row
from airflow_provider_pacs.sandbox.catalog.tables import Database
from airflow_provider_pacs.sandbox.model import MAX, Column

Rows = Callable[[Declarations, Database], Iterable[Row]]


@dataclass(frozen=True, slots=True)
class Spec:
    """One system table: its columns and how its rows are made."""

    columns: tuple[Column, ...]
    rows: Rows


def columns(text: str) -> tuple[Column, ...]:
    """`name type, name type!` to columns; `!` marks NOT NULL."""
    result = []
    for part in text.split(","):
        name, kind = part.split()
        base, _, size = kind.rstrip("!").partition("(")
        result.append(
            Column(
                name,
                make(base, [MAX if size == "max)" else int(size.rstrip(")"))] if size else []),
                not kind.endswith("!"),
            )
        )
    return tuple(result)


def _system_views(catalog: Declarations, database: Database) -> Iterator[Row]:
    names = [k.split(".")[1] for k in (*SPECS, *LIVE) if k.startswith("sys.")] + [
        "change_tracking_databases",
        "change_tracking_tables",
        "internal_tables",
        "dm_exec_sessions",
        "dm_exec_connections",
        "dm_tran_database_transactions",
    ]
    return ((name, -1000 - number, 4, "V ", "VIEW") for number, name in enumerate(names))


_OBJECT = (
    "name sysname!, object_id int!, schema_id int!, parent_object_id int!, type char(2)!, type_desc "
    "nvarchar(60), create_date datetime!, "
    "modify_date datetime!, is_ms_shipped bit!"
)
SPECS: dict[str, Spec] = {
    key: Spec(columns(text), rows)
    for key, text, rows in (
        ("sys.schemas", "name sysname!, schema_id int!, principal_id int", system_rows.rows_of_schemas),
        ("sys.tables", f"{_OBJECT}, is_tracked_by_cdc bit!", system_rows.rows_of_tables),
        ("sys.objects", _OBJECT, system_rows.rows_of_objects),
        ("sys.all_objects", _OBJECT, system_rows.rows_of_objects),
        ("sys.views", _OBJECT, system_rows.rows_of_nothing),
        ("sys.procedures", _OBJECT, system_rows.rows_of_nothing),
        ("sys.triggers", "name sysname!, object_id int!, parent_id int!, create_date datetime!, modify_date datetime!, "
         "is_disabled bit!", system_rows.rows_of_triggers),
        ("sys.trigger_events", "object_id int!, type int!, type_desc nvarchar(128)", system_rows.rows_of_trigger_events),
        ("sys.columns", "object_id int!, name sysname, column_id int!, system_type_id tinyint!, user_type_id int!, "
                        "max_length smallint!, "
                        "precision tinyint!, scale tinyint!, "
         "collation_name sysname, is_nullable bit, is_rowguidcol bit!, is_identity bit!, is_computed bit!, "
         "default_object_id int!, "
         "encryption_type int, "
         "encryption_type_desc nvarchar(64), is_masked bit!, is_hidden bit!, generated_always_type tinyint, "
         "generated_always_type_desc nvarchar(60), "
         "column_encryption_key_id int", system_rows.rows_of_columns),
        ("sys.types", "name sysname!, system_type_id int!, user_type_id int!, schema_id int!, max_length smallint!, "
                      "precision tinyint!, scale "
                      "tinyint!, collation_name sysname, "
         "is_nullable bit, is_user_defined bit!, is_assembly_type bit!, default_object_id int!, "
         "rule_object_id int!, is_table_type bit!",
         system_rows.rows_of_types),
        ("sys.indexes", "object_id int!, name sysname, index_id int!, type tinyint!, type_desc nvarchar(60), is_unique "
                        "bit, is_primary_key bit, "
                        "is_unique_constraint bit, "
         "is_disabled bit, has_filter bit, filter_definition nvarchar(max)", system_rows.rows_of_indexes),
        ("sys.index_columns", "object_id int!, index_id int!, index_column_id int!, column_id int!, key_ordinal tinyint!, "
                              "partition_ordinal "
                              "tinyint!, is_descending_key bit, "
         "is_included_column bit", system_rows.rows_of_index_columns),
        ("sys.key_constraints", "name sysname!, object_id int!, schema_id int!, parent_object_id int!, type char(2)!, type_desc "
                                "nvarchar(60), "
                                "unique_index_id int, "
         "is_system_named bit!", system_rows.rows_of_key_constraints),
        ("sys.default_constraints", "object_id int!, name sysname!, schema_id int!, parent_object_id int!, parent_column_id int!, "
                                    "definition "
                                    "nvarchar(max)", system_rows.rows_of_defaults),
        ("sys.check_constraints", "object_id int!, name sysname!, schema_id int!, parent_object_id int!, parent_column_id int!, "
                                  "definition "
                                  "nvarchar(max)", system_rows.rows_of_nothing),
        ("sys.foreign_keys", "name sysname!, object_id int!, schema_id int!, parent_object_id int!, referenced_object_id "
                             "int, is_disabled bit!, "
                             "delete_referential_action tinyint, "
         "update_referential_action tinyint", system_rows.rows_of_foreign_keys),
        ("sys.computed_columns", "object_id int!, name sysname, column_id int!, is_computed bit, is_persisted bit!, definition "
                                 "nvarchar(max)",
        system_rows.rows_of_computed_columns),
        ("sys.identity_columns", "object_id int!, name sysname, column_id int!, is_identity bit, seed_value numeric(38), "
                                 "increment_value "
                                 "numeric(38), last_value numeric(38), "
         "is_not_for_replication bit", system_rows.rows_of_identity_columns),
        ("sys.extended_properties", "class tinyint!, class_desc nvarchar(60), major_id int!, minor_id int!, name sysname!, value "
                                    "nvarchar(4000)",
        system_rows.rows_of_nothing),
        ("sys.sql_modules", "object_id int!, definition nvarchar(max)", system_rows.rows_of_nothing),
        ("sys.sequences", _OBJECT, system_rows.rows_of_nothing),
        ("sys.system_views", "name sysname!, object_id int!, schema_id int!, type char(2)!, type_desc nvarchar(60)", _system_views),
        ("sys.databases", "name sysname!, database_id int!, create_date datetime!, service_broker_guid uniqueidentifier!, "
                          "compatibility_level "
                          "tinyint!, collation_name sysname, "
         "snapshot_isolation_state tinyint, snapshot_isolation_state_desc nvarchar(60), "
         "is_read_committed_snapshot_on bit, is_cdc_enabled bit!, "
         "is_read_only bit!, "
         "state tinyint, state_desc nvarchar(60), recovery_model_desc nvarchar(60), user_access tinyint, "
         "user_access_desc nvarchar(60)",
         system_rows.rows_of_databases),
        ("sys.database_recovery_status", "database_id int!, database_guid uniqueidentifier, family_guid uniqueidentifier, "
                                         "last_log_backup_lsn "
                                         "numeric(25), "
         "recovery_fork_guid uniqueidentifier, first_recovery_fork_guid uniqueidentifier", system_rows.rows_of_recovery),
        ("information_schema.tables", "TABLE_CATALOG sysname, TABLE_SCHEMA sysname, TABLE_NAME sysname!, TABLE_TYPE varchar(10)",
        system_rows.rows_of_i_tables),
        ("information_schema.views", "TABLE_CATALOG sysname, TABLE_SCHEMA sysname, TABLE_NAME sysname!, VIEW_DEFINITION "
                                     "nvarchar(4000), "
                                     "CHECK_OPTION varchar(7), "
         "IS_UPDATABLE varchar(2)!", system_rows.rows_of_nothing),
        ("information_schema.sequences", "SEQUENCE_CATALOG sysname, SEQUENCE_SCHEMA sysname, SEQUENCE_NAME sysname", system_rows.rows_of_nothing),
        ("information_schema.columns", "TABLE_CATALOG sysname, TABLE_SCHEMA sysname, TABLE_NAME sysname!, COLUMN_NAME sysname, "
                                       "ORDINAL_POSITION "
                                       "int, COLUMN_DEFAULT nvarchar(4000), "
         "IS_NULLABLE varchar(3), DATA_TYPE sysname, CHARACTER_MAXIMUM_LENGTH int, CHARACTER_OCTET_LENGTH "
         "int, NUMERIC_PRECISION tinyint, "
         "NUMERIC_SCALE int, DATETIME_PRECISION smallint, "
         "COLLATION_NAME sysname", system_rows.rows_of_i_columns),
        ("information_schema.schemata", "CATALOG_NAME sysname, SCHEMA_NAME sysname!, SCHEMA_OWNER sysname", system_rows.rows_of_i_schemata),
        ("information_schema.table_constraints", "CONSTRAINT_CATALOG sysname, CONSTRAINT_SCHEMA sysname, CONSTRAINT_NAME sysname!, TABLE_CATALOG "
                                                 "sysname, TABLE_SCHEMA sysname, "
         "TABLE_NAME sysname, CONSTRAINT_TYPE varchar(11)", system_rows.rows_of_i_constraints),
        ("information_schema.key_column_usage", "CONSTRAINT_CATALOG sysname, CONSTRAINT_SCHEMA sysname, CONSTRAINT_NAME sysname!, TABLE_CATALOG "
                                                "sysname, TABLE_SCHEMA sysname, "
         "TABLE_NAME sysname, COLUMN_NAME sysname, ORDINAL_POSITION int!", system_rows.rows_of_i_key_usage),
        ("information_schema.referential_constraints", "CONSTRAINT_CATALOG sysname, CONSTRAINT_SCHEMA sysname, CONSTRAINT_NAME sysname!, "
                                                       "UNIQUE_CONSTRAINT_CATALOG sysname, "
         "UNIQUE_CONSTRAINT_SCHEMA sysname, UNIQUE_CONSTRAINT_NAME sysname, MATCH_OPTION varchar(7), "
         "UPDATE_RULE varchar(11), DELETE_RULE "
         "varchar(11)", system_rows.rows_of_i_references),
    )
}  # fmt: skip
OF_THE_SERVER = ("sys.databases", "sys.database_recovery_status")
"""Those that tell the same from every database."""
LIVE: dict[str, Spec] = {
    key: Spec(columns(text), rows)
    for key, text, rows in (
        (
            "sys.database_principals",
            "name sysname!, principal_id int!, type char(1)!, type_desc nvarchar(60), "
            "default_schema_name sysname, owning_principal_id int, is_fixed_role bit!",
            system_rows.rows_of_principals,
        ),
        (
            "sys.database_role_members",
            "role_principal_id int!, member_principal_id int!",
            system_rows.rows_of_role_members,
        ),
        (
            "sys.database_permissions",
            "class tinyint!, class_desc nvarchar(60), major_id int!, minor_id int!, "
            "grantee_principal_id int!, grantor_principal_id int!, permission_name nvarchar(128), state char(1)!, "
            "state_desc nvarchar(60)",
            system_rows.rows_of_permissions,
        ),
    )
}
"""System views whose rows are made when they are read."""
