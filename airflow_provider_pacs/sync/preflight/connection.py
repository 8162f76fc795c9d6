"""A reader that need not be open yet -> can it be reached, is the connection encrypted and to the right
server, which driver, which login.
"""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider_pacs.sync.preflight.context import PreflightContext, in_one_line
from airflow_provider_pacs.sync.preflight.report import Finding, State
from airflow_provider_pacs.sync.runtime.errors import PacsError
from airflow_provider_pacs.sync.schema.columns import optional_query
from airflow_provider_pacs.sync.source.errors import failed_stage
from airflow_provider_pacs.sync.source.port import ConnectionFacts
from airflow_provider_pacs.sync.source.security import weak_settings

_LOGIN = "SELECT ORIGINAL_LOGIN() AS login, DB_NAME() AS db"
_ENCRYPTED = (
    "SELECT c.encrypt_option AS encrypted FROM sys.dm_exec_connections AS c WHERE c.session_id = @@SPID"
)


def check_connection(context: PreflightContext) -> tuple[list[Finding], PacsError | None]:
    """Returns the findings, and why there is no connection to ask on."""
    place = context.source.address_text
    try:
        facts = context.source.facts()
        row = context.source.query(_LOGIN)[0]
    except PacsError as error:
        return list(_refused(place, error)), error
    context.login = str(row["login"])
    return [
        Finding("reachability.source", "reachability", "ok", f"{place} answers."),
        *_encryption(context, facts),
        _driver(facts),
        Finding("login.source", "login", "ok", f"{context.login} is let into database {row['db']}."),
    ], None


def _refused(place: str, error: PacsError) -> Iterator[Finding]:
    """How far the connection came before it failed, from what failed."""
    text = in_one_line(error)
    answers = Finding("reachability.source", "reachability", "ok", f"{place} answers.")
    stage = failed_stage(error)
    if stage in ("tls", "login"):
        yield answers
    yield Finding(f"{stage}.source", stage, "fail", text, error.remedy)
    yield Finding(
        "login.rest",
        "login",
        "unknown",
        "Everything behind the source's login was left out.",
        "Repair the connection, then check again.",
    )


def _encryption(context: PreflightContext, facts: ConnectionFacts) -> Iterator[Finding]:
    weak = weak_settings(facts)
    state: State = "fail" if context.config.source.tls == "strict" else "warn"
    if weak:
        text = "; ".join(setting.text for setting in weak)
        yield Finding("tls.source", "tls", state, f"{text}.", " ".join(setting.remedy for setting in weak))
    else:
        text = (
            f"The certificate's chain, dates and name ({facts.certificate_name}) were checked "
            f"(encrypt={facts.encrypt})."
        )
        yield Finding("tls.source", "tls", "ok", text)
    rows = optional_query(context.source, _ENCRYPTED)
    if not rows:
        grant = f"GRANT VIEW SERVER STATE TO {context.grantee}; (optional)"
        yield Finding(
            "tls.in_force",
            "tls",
            "unknown",
            "The login may not see whether its connection is encrypted.",
            grant,
        )
    elif str(rows[0]["encrypted"]).upper() == "TRUE":
        yield Finding("tls.in_force", "tls", "ok", "The server says that this connection is encrypted.")
    else:
        state = "warn" if facts.encrypt == "no" and state == "warn" else "fail"
        remedy = "Set encrypt=yes, and look for what ends TLS on the way to the server."
        yield Finding(
            "tls.in_force", "tls", state, "The server says that this connection is not encrypted.", remedy
        )


def _driver(facts: ConnectionFacts) -> Finding:
    if not facts.driver:
        return Finding("driver.source", "driver", "unknown", "The driver does not tell its version.")
    if "msodbcsql17" in facts.driver or "msodbcsql-17" in facts.driver:
        remedy = "Install Microsoft's ODBC Driver 18."
        return Finding(
            "driver.source",
            "driver",
            "warn",
            f"{facts.driver}: with Driver 17 only connection strings were tested.",
            remedy,
        )
    return Finding("driver.source", "driver", "ok", f"{facts.driver}.")
