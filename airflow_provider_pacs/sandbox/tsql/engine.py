"""The engine of the sandbox PACS: logins to sessions, and the procedures of its own."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from airflow_provider_pacs.sandbox.model import ResultSet, RowCount, SqlError
from airflow_provider_pacs.sandbox.tsql import cdc_procedures, restore
from airflow_provider_pacs.sandbox.tsql.procedure_results import argument, one_row
from airflow_provider_pacs.sandbox.tsql.server import START, Login, Procedure, Server
from airflow_provider_pacs.sandbox.tsql.session import SqlSession

__all__ = ["START", "Login", "Procedure", "SandboxEngine", "argument", "one_row"]


class SandboxEngine(Server):
    """The engine of the sandbox PACS (the port's `Engine`); its arguments are those of `Server`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.procedures |= cdc_procedures.OWN
        for name, procedure in cdc_procedures.PROCEDURES.items():
            self.procedures |= {name: procedure, f"sys.{name}": procedure}
        self.procedures |= {
            "sandbox.clock_advance": _clock_advance,
            "sandbox.clock_set": _clock_set,
            "sandbox.fault": _fault,
            "sandbox.backup": restore.backup,
            "sandbox.restore": restore.restore,
            "sandbox.secondary": restore.secondary,
            "sandbox.change_tracking_cleanup": restore.change_tracking_cleanup,
            "sp_flush_ct_internal_table_on_demand": restore.flush,
            "sys.sp_flush_ct_internal_table_on_demand": restore.flush,
        }

    def login(self, user: str, password: str, database: str, host: str, application: str) -> SqlSession:
        """Opens a session (see the port)."""
        known = self._logins.get(user.lower())
        if known is None or not hmac.compare_digest(known.password.encode(), password.encode()):
            raise SqlError(18456, f"Login failed for user '{user}'.", severity=14)
        wanted = self.catalog.databases.get((database or "master").lower())
        if wanted is None or not known.may_open(wanted.name):
            raise SqlError(
                4060,
                f'Cannot open database "{database}" requested by the login. The login failed.',
                severity=11,
            )
        self._admit_listed(known, wanted.name)
        with self._lock:
            spid, self._next_spid = self._next_spid, self._next_spid + 1
            session = SqlSession(self, known, wanted.name, self.con.cursor(), spid, host, application)
            self._sessions[spid] = session
        return session


def _clock_advance(session: SqlSession, args: dict[str, Any]) -> Iterator[ResultSet | RowCount]:
    try:
        session.engine.clock.advance(float(argument(args, "seconds")))
    except ValueError as error:
        raise SqlError(50000, f"{error}; sandbox.clock_set sets it to any moment") from error
    yield one_row({"now": session.engine.clock.local().isoformat(" ", "microseconds")})


def _clock_set(session: SqlSession, args: dict[str, Any]) -> Iterator[ResultSet | RowCount]:
    try:
        moment, fold = (
            datetime.fromisoformat(str(argument(args, "local"))),
            int(args.get("fold", args.get("1", 0))),
        )
    except ValueError as error:
        raise SqlError(
            241, "Conversion failed when converting date and/or time from character string."
        ) from error
    session.engine.clock.set(moment, fold)
    yield one_row({"now": session.engine.clock.local().isoformat(" ", "microseconds")})


def _fault(session: SqlSession, args: dict[str, Any]) -> Iterator[ResultSet | RowCount]:
    rule = str(argument(args, "rule"))
    if session.engine.fault is None:
        raise SqlError(
            2812,
            "Could not find stored procedure 'sandbox.fault'. (Sandbox: this engine has no fault handler)",
        )
    try:
        session.engine.fault(rule)
    except ValueError as error:
        raise SqlError(50000, str(error)) from error
    yield one_row({"rule": rule})
