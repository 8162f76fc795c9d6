"""A login's rights, as SQL Server tells them to the login: which count as more than reading, and what a
server that is silent means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_pacs.sync.profiles import load_tables
from airflow_provider_pacs.sync.runtime.errors import ConfigError, FatalError, RetryableError
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable
from airflow_provider_pacs.sync.schema.permissions import SourcePermissions, read_permissions
from airflow_provider_pacs.sync.schema.tables import SourceTable, source_tables

(OWNER,) = source_tables(ResolvedTable(load_tables("generic")["owner"], {}))
PUBLIC = ["CONNECT", "VIEW ANY COLUMN ENCRYPTION KEY DEFINITION", "VIEW ANY COLUMN MASTER KEY DEFINITION"]
"""What every user of a database has from `public`."""


class Server:
    """Answers the four questions; None: the view is denied."""

    def __init__(
        self,
        roles: Sequence[str] | None = (),
        server: Sequence[str] | None = ("CONNECT SQL", "VIEW ANY DATABASE"),
        database: Sequence[str] | None = PUBLIC,
        table: Sequence[tuple[str, str]] | None = tuple((column, "SELECT") for column in OWNER.columns),
    ) -> None:
        self.roles, self.server, self.database, self.table = roles, server, database, table

    def query(self, sql: str, params: Sequence[object] = ()) -> list[dict[str, Any]]:
        if "IS_SRVROLEMEMBER" in sql:
            asked = [part.split("]")[0] for part in sql.split("AS [")[1:]]
            return [{name: int(name in rows_of(self.roles)) for name in asked}]
        if "'OBJECT'" in sql:
            assert params == (OWNER.quoted,)
            return [
                {"column": column, "permission": permission} for column, permission in rows_of(self.table)
            ]
        return [
            {"permission": permission}
            for permission in rows_of(self.server if "'SERVER'" in sql else self.database)
        ]


def rows_of(answer: Sequence[Any] | None) -> Sequence[Any]:
    if answer is None:
        raise FatalError("the view is denied")
    return answer


def permissions_of(**answers: Any) -> SourcePermissions:
    return read_permissions(Server(**answers), [OWNER])  # type: ignore[arg-type]


def test_what_public_and_column_grants_give_is_reading() -> None:
    """What `pacs grants` prints leaves exactly this behind."""
    permissions = permissions_of(
        table=[
            *((column, "SELECT") for column in OWNER.columns),
            ("", "VIEW DEFINITION"),
            ("", "VIEW CHANGE TRACKING"),
        ]
    )
    assert (
        permissions.beyond_reading,
        permissions.is_known,
        permissions.tables["owner", "dbo.PropertyOwner"].unreadable,
    ) == (
        "",
        True,
        (),
    )


@pytest.mark.parametrize("role", ["sysadmin", "securityadmin", "db_owner", "db_datawriter", "db_ddladmin"])
def test_a_role_alone_is_more_than_reading(role: str) -> None:
    """Also where the permissions themselves are not shown."""
    assert (
        permissions_of(roles=[role], server=None, database=None, table=None).beyond_reading
        == f"member of {role}"
    )


@pytest.mark.parametrize(
    "permission",
    [
        "INSERT",
        "UPDATE",
        "DELETE",
        "ALTER",
        "CONTROL",
        "EXECUTE",
        "TAKE OWNERSHIP",
        "A PERMISSION OF TOMORROW",
    ],
)
def test_a_permission_that_is_not_known_to_read_is_more(permission: str) -> None:
    assert permissions_of(database=[*PUBLIC, permission]).beyond_reading == f"in the database {permission}"
    assert permissions_of(server=["CONNECT SQL", permission]).beyond_reading == f"on the server {permission}"
    assert (
        permissions_of(table=[("", "SELECT"), ("", permission)]).beyond_reading
        == f"on dbo.PropertyOwner {permission}"
    )


@pytest.mark.parametrize("part", ["roles", "server", "database", "table"])
def test_silence_is_unknown_and_no_proof(part: str) -> None:
    permissions = permissions_of(**{part: None})
    assert (permissions.is_known, permissions.beyond_reading) == (False, "")


def test_a_table_that_is_not_told_of_is_unknown_not_unreadable() -> None:
    """fn_my_permissions has no rows for an object that the login may not see."""
    assert permissions_of(table=[]).tables["owner", "dbo.PropertyOwner"].unreadable is None


def test_columns_without_a_grant_are_named() -> None:
    granted = [(column.upper(), "SELECT") for column in OWNER.columns if column != "OwnerName"]
    assert permissions_of(table=granted).tables["owner", "dbo.PropertyOwner"].unreadable == ("OwnerName",)
    assert permissions_of(table=[("", "SELECT")]).tables["owner", "dbo.PropertyOwner"].unreadable == ()
    denied = [
        ("", "SELECT"),
        *granted,
    ]  # a table's grant and a column's DENY: the server lists the columns that are left
    assert permissions_of(table=denied).tables["owner", "dbo.PropertyOwner"].unreadable == ("OwnerName",)


def test_two_entities_that_read_one_table_are_judged_by_their_own_columns() -> None:
    """SourcePermissions that are enough for one are not enough for the other."""
    other = replace(OWNER, entity="property", columns=("OwnerID", "Secret"))
    permissions = read_permissions(Server(), [OWNER, other])  # type: ignore[arg-type]
    assert permissions.tables["owner", "dbo.PropertyOwner"].unreadable == ()
    assert permissions.tables["property", "dbo.PropertyOwner"].unreadable == ("Secret",)
    again = read_permissions(Server(), [other, OWNER])  # type: ignore[arg-type]
    assert again.tables == permissions.tables


@pytest.mark.parametrize("error", [RetryableError("lost"), ConfigError("no such login", code="PACS-002")])
def test_a_broken_connection_is_no_answer(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> list[dict[str, Any]]:
        raise error

    server = Server()
    monkeypatch.setattr(server, "query", broken)
    with pytest.raises(type(error)):
        read_permissions(server, [OWNER])  # type: ignore[arg-type]


def test_the_mapped_table_is_known_without_a_connection() -> None:
    assert isinstance(OWNER, SourceTable)
    assert OWNER.is_personal("OwnerName")
    assert not OWNER.is_personal("OwnerType")
