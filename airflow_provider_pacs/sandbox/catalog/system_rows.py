"""The rows of each system table, from the declarations of one database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from airflow_provider_pacs.sandbox.catalog.declarations import Declarations
from airflow_provider_pacs.sandbox.catalog.sqltypes import CHARACTER, TEMPORAL, make
from airflow_provider_pacs.sandbox.catalog.tables import COLLATION, Database, Index, Table, column_bytes

Row = tuple[Any, ...]
TYPE_IDS = {
    "image": 34, "text": 35, "uniqueidentifier": 36, "date": 40, "time": 41, "datetime2": 42, "datetimeoffset": 43, "tinyint": 48, "smallint": 52,
    "int": 56, "smalldatetime": 58, "real": 59, "money": 60, "datetime": 61, "float": 62, "sql_variant": 98, "ntext": 99, "bit": 104, "decimal": 106,
    "numeric": 108, "smallmoney": 122, "bigint": 127, "varbinary": 165, "varchar": 167, "binary": 173, "char": 175, "timestamp": 189,
    "nvarchar": 231, "nchar": 239, "xml": 241, "sysname": 256,
}  # fmt: skip
SCHEMA_IDS = {"dbo": 1, "guest": 2, "INFORMATION_SCHEMA": 3, "sys": 4}


def rows_of_nothing(catalog: Declarations, database: Database) -> Iterator[Row]:
    """An empty system table."""
    return iter(())


def schema_id(catalog: Declarations, database: str, schema: str) -> int:
    """The number of a schema."""
    own = [s for s in catalog.schemas(database) if s not in SCHEMA_IDS]
    return SCHEMA_IDS[schema] if schema in SCHEMA_IDS else 5 + own.index(schema)


def rows_of_schemas(catalog: Declarations, database: Database) -> Iterator[Row]:
    """sys.schemas."""
    for name in catalog.schemas(database.name):
        number = schema_id(catalog, database.name, name)
        yield name, number, number if number < 5 else 1


def rows_of_tables(catalog: Declarations, database: Database) -> Iterator[Row]:
    """sys.tables."""
    for t in catalog.tables(database.name):
        yield (
            t.name,
            t.object_id,
            schema_id(catalog, database.name, t.schema),
            0,
            "U ",
            "USER_TABLE",
            database.created,
            database.created,
            False,
            bool(database.tracking.captures_of(t.object_id)),
        )


TRIGGER_EVENTS = ((1, "INSERT"), (2, "UPDATE"), (3, "DELETE"))
"""type and type_desc of sys.trigger_events."""
_FIRST_TRIGGER = 2000
"""From a table's object_id to those of its triggers."""


def rows_of_triggers(catalog: Declarations, database: Database) -> Iterator[Row]:
    """sys.triggers: three of each table that an application's journal covers."""
    for t, number, event in _triggers(catalog, database):
        name = f"tr_{t.name}_{event.lower()}"
        made = database.created
        yield name, t.object_id + _FIRST_TRIGGER + number, t.object_id, made, made, False


def rows_of_trigger_events(catalog: Declarations, database: Database) -> Iterator[Row]:
    """sys.trigger_events."""
    for t, number, event in _triggers(catalog, database):
        yield t.object_id + _FIRST_TRIGGER + number, number, event


def _triggers(catalog: Declarations, database: Database) -> Iterator[tuple[Table, int, str]]:
    for t in catalog.tables(database.name):
        if t.object_id in database.tracking.journaled:
            for number, event in TRIGGER_EVENTS:
                yield t, number, event


def rows_of_objects(catalog: Declarations, database: Database) -> Iterator[Row]:
    """sys.objects: tables and their keys."""
    yield from (row[:-1] for row in rows_of_tables(catalog, database))
    for name, number, schema, parent, kind, kind_desc, *_ in rows_of_key_constraints(catalog, database):
        yield name, number, schema, parent, kind, kind_desc, database.created, database.created, False


def rows_of_columns(catalog: Declarations, database: Database) -> Iterator[Row]:
    """sys.columns."""
    for t in catalog.tables(database.name):
        for number, c in enumerate(t.columns, start=1):
            type_id = TYPE_IDS["timestamp" if c.type.name == "rowversion" else c.type.name]
            collation = COLLATION if c.type.name in CHARACTER - {"xml"} else None
            default = t.object_id + 200 + number if c.name in t.defaults else 0
            yield (t.object_id, c.name, number, type_id, type_id, *column_bytes(c.type), collation, c.nullable, False, c.name == t.identity,
                   c.name in t.computed, default, None, None, False, False, 0, "NOT_APPLICABLE", None)  # fmt: skip


def rows_of_types(catalog: Declarations, database: Database) -> Iterator[Row]:
    """sys.types."""
    for name, number in TYPE_IDS.items():
        base = {"sysname": "nvarchar", "timestamp": "rowversion", "sql_variant": "nvarchar"}.get(name, name)
        size = column_bytes(
            make(base, [38, 38] if base in ("decimal", "numeric") else [128] if name == "sysname" else [])
        )
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


def _numbered(t: Table) -> Iterator[tuple[int, Index, bool]]:
    """A table's indexes with their index_id, and which one is the primary key: the clustered one is 1, the
    others follow from 2.
    """
    clustered = next((i for i in t.indexes if i.clustered), None)
    number = 1 if clustered is None else 2
    if clustered is not None:
        yield 1, clustered, False
    if t.primary_key:
        yield number, Index(t.key, t.primary_key, True, clustered is None, True), True
    for place, index in enumerate((i for i in t.indexes if i is not clustered), start=max(2, number + 1)):
        yield place, index, False


def rows_of_indexes(catalog: Declarations, database: Database) -> Iterator[Row]:
    """sys.indexes."""
    for t in catalog.tables(database.name):
        result = list(_numbered(t))
        if not any(i.clustered for _, i, _ in result):
            yield t.object_id, None, 0, 0, "HEAP", False, False, False, False, False, None
        for number, i, key in result:
            kind = (1, "CLUSTERED") if i.clustered else (2, "NONCLUSTERED")
            yield (
                t.object_id,
                i.name,
                number,
                *kind,
                i.unique,
                key,
                i.constraint and not key,
                False,
                False,
                None,
            )


def rows_of_index_columns(catalog: Declarations, database: Database) -> Iterator[Row]:
    """sys.index_columns."""
    for t in catalog.tables(database.name):
        for number, index, _ in _numbered(t):
            for place, name in enumerate(index.columns, start=1):
                yield t.object_id, number, place, t.position(name), place, 0, False, False


def rows_of_key_constraints(catalog: Declarations, database: Database) -> Iterator[Row]:
    """sys.key_constraints."""
    for t in catalog.tables(database.name):
        schema = schema_id(catalog, database.name, t.schema)
        for number, i, key in _numbered(t):
            if i.constraint:
                kind = ("PK", "PRIMARY_KEY_CONSTRAINT") if key else ("UQ", "UNIQUE_CONSTRAINT")
                yield (
                    i.name,
                    t.object_id + (1 if key else number),
                    schema,
                    t.object_id,
                    *kind,
                    number,
                    not t.key_name,
                )


def rows_of_computed_columns(catalog: Declarations, database: Database) -> Iterator[Row]:
    """sys.computed_columns; without the definition."""
    return (
        (t.object_id, name, t.position(name), True, False, None)
        for t in catalog.tables(database.name)
        for name in t.computed
    )


def rows_of_identity_columns(catalog: Declarations, database: Database) -> Iterator[Row]:
    """sys.identity_columns."""
    return (
        (t.object_id, t.identity, t.position(t.identity), True, 1, 1, None, False)
        for t in catalog.tables(database.name)
        if t.identity
    )


def rows_of_defaults(catalog: Declarations, database: Database) -> Iterator[Row]:
    """sys.default_constraints."""
    for t in catalog.tables(database.name):
        for name, text in t.defaults.items():
            number = t.position(name)
            yield (
                t.object_id + 200 + number,
                f"DF_{t.name}_{name}",
                schema_id(catalog, database.name, t.schema),
                t.object_id,
                number,
                text,
            )


def rows_of_foreign_keys(catalog: Declarations, database: Database) -> Iterator[Row]:
    """sys.foreign_keys."""
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


def rows_of_databases(catalog: Declarations, database: Database) -> Iterator[Row]:
    """sys.databases, the same from every database."""
    for d in catalog.databases.values():
        yield (d.name, d.database_id, d.created, str(d.guid("broker")), d.compatibility_level, COLLATION, 1 if d.snapshot else 0,
        "ON" if d.snapshot else "OFF",
               d.read_committed_snapshot, d.cdc, d.read_only, 0, "ONLINE", "FULL", 0, "MULTI_USER")  # fmt: skip


def rows_of_recovery(catalog: Declarations, database: Database) -> Iterator[Row]:
    """sys.database_recovery_status."""
    for d in catalog.databases.values():
        yield d.database_id, str(d.guid("database")), str(d.guid("family")), None, str(d.guid("fork")), None


def rows_of_i_tables(catalog: Declarations, database: Database) -> Iterator[Row]:
    """INFORMATION_SCHEMA.TABLES."""
    return ((t.database, t.schema, t.name, "BASE TABLE") for t in catalog.tables(database.name))


def rows_of_i_columns(catalog: Declarations, database: Database) -> Iterator[Row]:
    """INFORMATION_SCHEMA.COLUMNS."""
    for t in catalog.tables(database.name):
        for number, c in enumerate(t.columns, start=1):
            text = c.type.name in CHARACTER
            length = 2147483647 if c.type.name == "text" else c.type.length if text else None
            _, precision, scale = column_bytes(c.type)
            digits = (
                (None, None, scale)
                if c.type.name in TEMPORAL
                else (precision or None, scale if precision else None, None)
            )
            yield (t.database, t.schema, t.name, c.name, number, t.defaults.get(c.name), "YES" if c.nullable else "NO", c.type.name, length, length,
                   *digits, COLLATION if text else None)  # fmt: skip


def rows_of_constraints(
    catalog: Declarations, database: Database
) -> Iterator[tuple[Table, str, str, tuple[str, ...]]]:
    """Primary, unique and foreign keys: table, name, kind, columns."""
    for t in catalog.tables(database.name):
        for _, i, key in _numbered(t):
            if i.constraint:
                yield t, i.name, "PRIMARY KEY" if key else "UNIQUE", i.columns
        for fk in t.foreign_keys:
            yield t, fk.name, "FOREIGN KEY", fk.columns


def rows_of_i_constraints(catalog: Declarations, database: Database) -> Iterator[Row]:
    """INFORMATION_SCHEMA.TABLE_CONSTRAINTS."""
    return (
        (t.database, t.schema, name, t.database, t.schema, t.name, kind)
        for t, name, kind, _ in rows_of_constraints(catalog, database)
    )


def rows_of_i_key_usage(catalog: Declarations, database: Database) -> Iterator[Row]:
    """INFORMATION_SCHEMA.KEY_COLUMN_USAGE."""
    for t, name, _, keys in rows_of_constraints(catalog, database):
        for number, key in enumerate(keys, start=1):
            yield t.database, t.schema, name, t.database, t.schema, t.name, key, number


def rows_of_i_references(catalog: Declarations, database: Database) -> Iterator[Row]:
    """INFORMATION_SCHEMA.REFERENTIAL_CONSTRAINTS."""
    for t in catalog.tables(database.name):
        for fk in t.foreign_keys:
            other = catalog.table(t.database, t.schema, fk.table)
            yield (
                t.database,
                t.schema,
                fk.name,
                t.database,
                t.schema,
                other.key if other else None,
                "SIMPLE",
                "NO ACTION",
                "NO ACTION",
            )


def rows_of_i_schemata(catalog: Declarations, database: Database) -> Iterator[Row]:
    """INFORMATION_SCHEMA.SCHEMATA."""
    return ((database.name, s, "dbo" if s not in SCHEMA_IDS else s) for s in catalog.schemas(database.name))


def _principal_id(database: Database, name: str) -> int:
    principals = database.principals
    if name.lower() in principals.users:
        return principals.users[name.lower()].number
    return principals.roles[name.lower()].number if name.lower() in principals.roles else 1


def rows_of_principals(catalog: Declarations, database: Database) -> Iterator[Row]:
    """sys.database_principals."""
    yield "dbo", 1, "S", "SQL_USER", "dbo", None, False
    for user in database.principals.users.values():
        yield user.name, user.number, "S", "SQL_USER", user.default_schema, 1, False
    for role in database.principals.roles.values():
        fixed = role.number >= 16384
        yield role.name, role.number, "R", "DATABASE_ROLE", None, _principal_id(database, role.owner), fixed


def rows_of_role_members(catalog: Declarations, database: Database) -> Iterator[Row]:
    """sys.database_role_members."""
    for role in database.principals.roles.values():
        for member in sorted(role.members):
            yield role.number, _principal_id(database, member)


def rows_of_permissions(catalog: Declarations, database: Database) -> Iterator[Row]:
    """sys.database_permissions."""
    for granted in database.principals.permissions:
        target = granted.securable
        table = catalog.table(database.name, target.schema, target.name) if target.name else None
        if target.name and table is None:
            continue  # its object is gone
        major = table.object_id if table else 0
        schemas = {s.lower(): s for s in catalog.schemas(database.name)}
        if target.level == 1:
            major = schema_id(catalog, database.name, schemas[target.schema])
        minor = table.position(target.column) if table and target.column else 0
        kind = ((0, "DATABASE"), (3, "SCHEMA"), (1, "OBJECT_OR_COLUMN"), (1, "OBJECT_OR_COLUMN"))[
            target.level
        ]
        who = _principal_id(database, granted.principal)
        yield *kind, major, minor, who, 1, granted.action, granted.state[0], granted.state
