"""The one place where SQL Server's errors become ours: an error of pyodbc or arrow-odbc comes in, a PacsError
that says what to do next goes out.

Classified by SQL Server's native number first, then by SQLSTATE, never by the driver's exception class: the
classes are wrong (a deadlock is a plain `pyodbc.Error`, a database that fails over is a `ProgrammingError`).
The numbers to try again are those of Entity Framework Core's SqlServerTransientExceptionDetector and of
SqlClient. Neither driver is imported here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from airflow_provider_pacs.sync.runtime.errors import (
    ConfigError,
    DataError,
    FatalError,
    PacsError,
    RetryableError,
)
from airflow_provider_pacs.sync.runtime.secrets import mask_credentials
from airflow_provider_pacs.sync.source.systems import trust_a_ca

# fmt: off
TRANSIENT = frozenset({
    20, 64, 121, 233, 601, 615, 617, 669, 921, 926, 927, 941, 952, 982, 988, 997, 1203, 1204, 1205, 1221, 1222, 1232, 2816, 3635, 3941, 3947,  # noqa: E501
    3948, 3950, 3953, 3957, 3960, 3961, 3966, 3980, 4117, 4184, 4221, 8628, 8645, 8651, 9515, 10922, 10928, 10929, 10930, 10936, 14906, 17197,  # noqa: E501
    17889, 18401, 40143, 40189, 40197, 40501, 40540, 40613, 40623, 40642, 40648, 40671, 40675, 40890, 40903, 40918, 41301, 41302, 41305, 41325,  # noqa: E501
    41339, 41383, 41614, 41619, 41640, 41700, 41701, 41823, 41839, 41840, 42029, 42108, 42109, 45153, 45156, 45157, 45161, 45179, 45182, 45319,  # noqa: E501
    45547, 49510, 49802, 49918, 49919, 49920, 49977, 49983,
})
"""Deadlock, lock time-out, snapshot conflict, failover, throttling."""
# fmt: on
NETWORK = frozenset({104, 110, 111, 258, 10053, 10054, 10060, 11001})
"""Numbers of the operating system and of Winsock that the driver passes on: reset, aborted, refused, timed
out, unknown host.
"""
TIMED_OUT = frozenset({-2})
"""The statement may have been carried out: safe to try again only because everything we send to the source
reads.
"""
LOGIN = frozenset({4064, 15404, 18452, 18456, 18470, 18486, 18487, 18488})
SCHEMA = frozenset({207, 208, 229, 230, 262, 297, 300})
"""A name that is not there, or a right that is missing."""
DATABASE = frozenset({916, 4060})
FEED = frozenset({313, 22117})
"""The change feed cannot serve the range or the replica."""
FEED_IS_OFF = frozenset({22105})
"""The table is not tracked (any more)."""
KEYS = frozenset(range(33000, 34000))
"""Certificates and keys inside the server."""
DATA = frozenset({241, 242, 245, 8114, 8115})
STATEMENT = frozenset({102, 156, 195, 8117})
"""The server does not understand what we sent: its version or compatibility level is older than the
statement.
"""

TRANSIENT_STATES = frozenset({"08001", "08004", "08007", "08S01", "40001", "40003", "HYT01", "IMC06"})
TIMED_OUT_STATES = frozenset({"HYT00"})
CANCELLED_STATES = frozenset({"HY008"})
LOGIN_STATES = frozenset({"28000"})
SCHEMA_STATES = frozenset({"42000", "42S02", "42S22"})
DRIVER_STATES = frozenset({"IM002", "IM003", "01000"})
THROTTLED = 40501
"""Azure SQL asks for 10 s of peace after this one."""

GRANT = (
    "Grant the login what `pacs grants COUNTY` prints, and compare the table and column names with the "
    "county's profile: `pacs check COUNTY`."
)
REACH = (
    "Check host, port and firewall, and that SQL Server listens on TCP there; an unreachable host is "
    "tried again."
)
CERTIFICATES = (
    (
        re.compile(r"expired|not yet valid", re.IGNORECASE),
        "Have the server's certificate renewed, and check the clocks of both machines.",
    ),
    (
        re.compile(r"name does not match|name mismatch|principal name", re.IGNORECASE),
        "Connect by a name that the server's certificate carries, or set host_name_in_certificate to it.",
    ),
    (
        re.compile(r"issuer|self.signed|unknown ca|not trusted", re.IGNORECASE),
        trust_a_ca(),
    ),
)
CERTIFICATE = (
    "Check that both ends share a TLS version and that this machine trusts the server's certificate, its "
    f"name and its dates. {trust_a_ca()}"
)
DRIVER = (
    "Install the driver with `pip install 'airflow-provider-pacs[driver]'` or Microsoft's msodbcsql18 (with "
    "unixODBC), or name an installed driver in `odbc_driver`."
)


Stage = Literal["reachability", "driver", "tls", "login"]
"""The steps in which a connection comes about."""


class DriverError(ConfigError):
    """There is no such driver, or it may not be loaded."""


class UnknownHostError(ConfigError):
    """DNS knows no host of that name."""


@dataclass(frozen=True, slots=True)
class ErrorRule:
    """What an error becomes: the class, the remedy, the code (None for the class's own), whether quoted
    text is a name and may stay, and how far a connection had come that fails so.
    """

    kind: type[PacsError]
    remedy: str = ""
    code: str | None = None
    names: bool = False
    stage: Stage = "login"


_SIGN_IN = ErrorRule(
    ConfigError,
    "Check user, password and default database of the login, and that the server lets it in.",
    "PACS-002",
    names=True,
)
BY_NUMBER: tuple[tuple[frozenset[int], ErrorRule], ...] = (
    (TRANSIENT | TIMED_OUT, ErrorRule(RetryableError)),
    (NETWORK, ErrorRule(RetryableError, REACH)),
    (LOGIN, _SIGN_IN),
    (SCHEMA, ErrorRule(ConfigError, GRANT, "PACS-003", names=True)),
    (
        DATABASE,
        ErrorRule(ConfigError, "Check the database's name, and that the login has a user in it.", names=True),
    ),
    (
        FEED_IS_OFF,
        ErrorRule(
            ConfigError,
            "Change Tracking was switched off during the run: the next run reads the table another way.",
            names=True,
        ),
    ),
    (
        FEED,
        ErrorRule(
            ConfigError,
            "Load the entity in full again; read Change Tracking from the primary (no application_intent).",
            names=True,
        ),
    ),
    (
        KEYS,
        ErrorRule(
            ConfigError, "Check the keys and certificates of the database with its administrator.", names=True
        ),
    ),
    (DATA, ErrorRule(DataError, "Map the column with the type it really has.")),
    (
        STATEMENT,
        ErrorRule(
            FatalError,
            "SQL Server 2012 or later is needed; if it is that, report the number and the entity.",
            names=True,
        ),
    ),
)
BY_STATE: tuple[tuple[frozenset[str], ErrorRule], ...] = (
    (TRANSIENT_STATES | TIMED_OUT_STATES | {"08", "40"}, ErrorRule(RetryableError, REACH)),
    (CANCELLED_STATES, ErrorRule(RetryableError, "The statement was cancelled; start it again.")),
    (LOGIN_STATES | {"28"}, _SIGN_IN),
    (SCHEMA_STATES | {"42"}, ErrorRule(ConfigError, GRANT, "PACS-003")),
    (DRIVER_STATES, ErrorRule(ConfigError, DRIVER, names=True, stage="driver")),
    (frozenset({"22", "23"}), ErrorRule(DataError)),
)

_CERTIFICATE_TEXT = re.compile(
    r"certificate|ssl routines|tls alert|ssl_choose_client_version|target principal name", re.IGNORECASE
)
_PYODBC_NUMBER = re.compile(r"\((-?\d+)\)(?=\s*(?:\(SQL\w+\)|; \[|$))")
_ARROW_RECORD = re.compile(
    r"State: (\w{5}), Native error: (-?\d+), Message: ?(.*?)(?=\nState: |$)", re.DOTALL
)
_ORIGIN = re.compile(r"^(?:\s*\[[^\]]*\])+")
_QUOTED = re.compile(r"['\"].*['\"]|['\"].*$")
"""From the first quote to the last, because a value may hold quotes itself."""
_UNQUOTED = re.compile(r"((?:\bkey value is|\bvalue\s*[=:])\s*).*", re.IGNORECASE)
"""Errors 2627 and 232 among others write a row's value without quotes."""
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class DriverMessage:
    """What the driver reported. `state` is '' and `numbers` empty where it said none; numbers are in the
    driver's order.
    """

    state: str
    numbers: tuple[int, ...]
    text: str

    @property
    def number(self) -> int | None:
        """The number that decides: 4060 before the 18456 that comes with it, else the first one known."""
        known = [number for number in self.numbers if any(number in numbers for numbers, _ in BY_NUMBER)]
        return 4060 if 4060 in known else known[0] if known else None


def read_report(error: BaseException) -> DriverMessage:
    """Reads SQLSTATE, native numbers and message text out of an error of either driver."""
    arrow = _ARROW_RECORD.findall(str(error))
    if arrow:
        return DriverMessage(
            arrow[0][0], tuple(int(number) for _, number, _ in arrow if number != "0"), arrow[0][2].strip()
        )
    args = error.args
    if _origin(error) == "pyodbc" and args and isinstance(args[0], str):
        text = str(args[1]) if len(args) > 1 else args[0]
        numbers = tuple(int(number) for number in _PYODBC_NUMBER.findall(text) if number != "0")
        first = re.split(r"\(-?\d+\)\s*(?:\(SQL\w+\)|; \[|$)", text, maxsplit=1)[0]
        return DriverMessage(args[0] if re.fullmatch(r"\w{5}", args[0]) else "", numbers, first.strip())
    return DriverMessage("", (), str(error))


def scrub(text: str, *, names: bool) -> str:
    """Returns the text short, without secrets and connection strings; without anything quoted unless `names`
    (then only names are quoted in it).
    """
    text = " ".join(_ORIGIN.sub("", mask_credentials(text)).split())
    if not names:
        text = _UNQUOTED.sub(r"\1…", _QUOTED.sub("'…'", text))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def classify(error: BaseException, *, where: str = "", driver: str = "") -> PacsError:
    """Returns the PacsError for an error, with the error as its `__cause__`.

    The cause's own text is scrubbed in place, because a traceback prints it: SQL Server quotes row values in
    conversion errors.

    Args:
        error: an error of pyodbc or arrow-odbc; a PacsError is returned as it is; anything else is fatal,
            except lost connections.
        where: host:port/database, named in the message.
        driver: the ODBC driver asked for, named where it is missing.
    """
    if isinstance(error, PacsError):
        return error
    report = read_report(error)
    rule = _decide(report, error)
    if rule.stage == "driver":
        lib = re.search(r"open lib '([^']*)'", report.text)
        what = f"The ODBC driver {driver or (lib[1] if lib else 'of the connection')!r} is not installed"
    else:
        what = scrub(report.text, names=rule.names) or type(error).__name__
    numbers = f"SQL Server error {report.number}, " if report.number is not None else ""
    origin = f" ({numbers}SQLSTATE {report.state})" if report.state else ""
    mapped = rule.kind(
        f"{f'{where}: ' if where else ''}{what.rstrip('.')}{origin}.",
        remedy=rule.remedy,
        code=rule.code,
    )
    _scrub_in_place(error, report, scrub(report.text, names=rule.names))
    mapped.__cause__ = error
    return mapped


def failed_stage(error: PacsError) -> Stage:
    """How far a connection came that ended with this error."""
    if isinstance(error, RetryableError | UnknownHostError):
        return "reachability"
    if isinstance(error, DriverError):
        return "driver"
    cause = error.__cause__
    return _decide(read_report(cause), cause).stage if cause is not None else "login"


def _scrub_in_place(error: BaseException, report: DriverMessage, text: str) -> None:
    """Replaces a driver's error text by the scrubbed one, in the driver's own form so that it classifies as
    before.
    """
    if _origin(error) == "pyodbc":
        error.args = (report.state, f"[{report.state}] {text} ({report.number or 0})")
    elif _origin(error) == "arrow_odbc":
        error.args = (
            f"State: {report.state}, Native error: {report.number or 0}, Message: {text}"
            if report.state
            else text,
        )


def _decide(report: DriverMessage, error: BaseException) -> ErrorRule:
    """Returns the verdict: certificate trouble by its text, then by number, by SQLSTATE, by the class of
    SQLSTATE, by Python's own exception.
    """
    if (
        report.number not in TRANSIENT | NETWORK
        and report.state[:2] in ("08", "HY", "IM", "01")
        and _CERTIFICATE_TEXT.search(report.text)
    ):
        remedy = next(
            (remedy for pattern, remedy in CERTIFICATES if pattern.search(report.text)), CERTIFICATE
        )
        return ErrorRule(ConfigError, remedy, names=True, stage="tls")
    for numbers, rule in BY_NUMBER:
        if report.number in numbers:
            return rule
    if report.state == "HYT00" and "login" not in report.text.lower():
        return ErrorRule(RetryableError, "Raise query_timeout, or read when the server is less busy.")
    for key in (report.state, report.state[:2]):
        for states, rule in BY_STATE:
            if key in states:
                return rule
    if isinstance(error, ImportError):
        return ErrorRule(ConfigError, DRIVER, names=True, stage="driver")
    # The driver's words, without a SQLSTATE of their own, for a connection that broke during login or for a
    # host that speaks another protocol.
    if isinstance(error, (ConnectionError, TimeoutError)) or "Protocol error in TDS stream" in report.text:
        return ErrorRule(RetryableError, REACH)
    return ErrorRule(FatalError)


def _origin(error: BaseException) -> str:
    """Returns `pyodbc` or `arrow_odbc` where the error is theirs, by name so that neither is imported; ''
    otherwise.
    """
    roots = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    return "pyodbc" if "pyodbc" in roots else "arrow_odbc" if "arrow_odbc" in roots else ""


@contextmanager
def mapped_errors(where: str = "", driver: str = "") -> Iterator[None]:
    """Turns the drivers' errors in the block into PacsErrors; every other error passes unchanged.

    Raises:
        PacsError: as `classify` says.
    """
    try:
        yield
    except Exception as error:
        if not _origin(error):
            raise
        raise classify(error, where=where, driver=driver) from error
