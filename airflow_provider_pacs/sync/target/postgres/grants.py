"""A login's name -> the PostgreSQL statements that let it own and fill the platform's schemas.

Printed for a DBA.
"""

from __future__ import annotations

from psycopg import sql

from airflow_provider_pacs.sync.runtime.errors import ConfigError

LOGIN = "tf_pacs_sync"
_ROLES = {
    "pacs_read": "reads schema pacs, by county",
    "pacs_ops_read": "reads runs, verdicts and certificates",
    "pacs_sync": "for a second login that shall write the journal",
}


def target_grants(login: str = LOGIN) -> list[str]:
    """One statement a line; the login then makes the schemas itself, with `pacs migrate` or its first run,
    and owns them.

    Raises:
        ConfigError: the name is longer than PostgreSQL's 63 bytes, or has a line end or NUL in it.
    """
    if not 0 < len(login.encode("utf-8", "surrogatepass")) <= 63 or not login.isprintable():
        raise ConfigError(
            f"not a PostgreSQL role name: {login!r}", remedy="names have 1 to 63 bytes on one line"
        )
    role = sql.Identifier(login)
    tag = "do"
    while tag in login:
        tag += "_"
    dollar = sql.SQL(f"${tag}$")  # it ends the text wherever it stands, also in the middle of a name
    database = sql.SQL(
        "DO {0} BEGIN EXECUTE format('GRANT CONNECT, CREATE ON DATABASE %I TO %I', current_database(), "
        "{1}); END {0};"
    )
    statements = [sql.SQL("CREATE ROLE {} LOGIN;").format(role), database.format(dollar, sql.Literal(login))]
    statements += [_group(name, about) for name, about in _ROLES.items()]
    return [statement.as_string(None) for statement in statements]


def _group(name: str, about: str) -> sql.Composed:
    """A role without login, unless it is there: other databases of the server share it."""
    return sql.SQL(
        "DO $do$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {0}) THEN CREATE ROLE {1} "
        "NOLOGIN; END IF; END $do$;  -- {2}"
    ).format(sql.Literal(name), sql.Identifier(name), sql.SQL(about))
