"""Gives the target's login what `pacs grants <county> --target` prints, and its password; makes the schemas.

Runs once per start of docker-compose.yaml, as the superuser of a database that is this installation's own. On
any other server a DBA reads what `pacs grants` prints and runs that.

    python docker/target_login.py COUNTY [LOGIN]

The superuser's connection is $TARGET_ADMIN_URL, the login's password $PACS_TARGET_PASSWORD.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import psycopg
from psycopg import sql


def granted(county: str, *login: str) -> tuple[str, list[str]]:
    """The login and the statements that `pacs grants` prints for the target."""
    command = ["pacs", "grants", county, "--target", "--json"]
    command += [f"--target-login={name}" for name in login]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    target = json.loads(done.stdout)["target"]
    return target["login"], target["statements"]


def main(*arguments: str) -> None:
    """Make the login unless it is there, set its password, and bring the schemas up to date."""
    login, statements = granted(*arguments)
    with psycopg.connect(os.environ["TARGET_ADMIN_URL"]) as connection:
        known = connection.execute(
            "SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = %s", (login,)
        ).fetchone()
        for statement in [] if known else statements:
            connection.execute(statement)
        password = sql.Literal(os.environ["PACS_TARGET_PASSWORD"])
        connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(login), password))
    environment = {**os.environ, "PACS_TARGET_URL": os.environ["TARGET_ADMIN_URL"]}
    subprocess.run(["pacs", "migrate", arguments[0]], env=environment, check=True)
    print(f"target_login: {login} {'was there' if known else 'is made'}; its password is set")


if __name__ == "__main__":
    main(*sys.argv[1:])
