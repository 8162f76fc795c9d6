"""The script with which docker-compose.yaml makes the target's login and schemas."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg

from tests.docs.conftest import Reader

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "docker" / "target_login.py"


def test_the_login_is_what_pacs_grants_prints_and_a_second_start_changes_its_password_only(
    new_reader: Callable[[str], Reader],
) -> None:
    """Case F13: the target's login is no superuser, has a password, and owns none of the schemas."""
    reader = new_reader("benton_wa")
    admin = reader.values["PLATFORM_DBA_URL"]
    reader.environment |= {
        "AIRFLOW__PACS__COUNTIES_PATH": str(ROOT / "docker" / "counties"),
        "TARGET_ADMIN_URL": admin,
    }
    secrets = []
    for password in ("first-secret", "second-secret"):
        reader.environment["PACS_TARGET_PASSWORD"] = password
        done = subprocess.run(
            [sys.executable, SCRIPT, "benton_wa"],
            env=reader.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert password not in done.stdout + done.stderr
        with psycopg.connect(admin) as connection:
            row = connection.execute(
                "SELECT rolpassword, rolcanlogin, rolsuper OR rolcreaterole OR rolcreatedb,"
                " pg_has_role(rolname, 'pacs_sync', 'MEMBER'),"
                " has_database_privilege(rolname, current_database(), 'CREATE')"
                " FROM pg_authid WHERE rolname = 'tf_pacs_sync'"
            ).fetchone()
            owners = connection.execute(
                "SELECT DISTINCT nspowner::regrole::text FROM pg_namespace WHERE nspname IN ('pacs', 'pacs_ops')"
            ).fetchall()
        assert row is not None
        assert row[1:] == (True, False, True, False)
        assert owners == [("pacs_owner",)]
        secrets.append(row[0])
    assert secrets[0] != secrets[1]
    assert all(secret.startswith("SCRAM-SHA-256$") for secret in secrets)
