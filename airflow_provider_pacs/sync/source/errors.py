"""The one place where SQL Server's errors become ours: an error of pyodbc or arrow-odbc comes in, a PacsError that says what to do next goes out.

Classified by SQL Server's native number first, then by SQLSTATE, never by the driver's exception class: the classes are wrong (a deadlock is a plain
`pyodbc.Error`, a database that fails over is a `ProgrammingError`). The numbers to try again are those of Entity Framework Core's
SqlServerTransientExceptionDetector and of SqlClient. Neither driver is imported here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from airflow_provider_pacs.sync.errors import ConfigError, DataError, FatalError, PacsError, RetryableError

# fmt: off
TRANSIENT = frozenset({
    20, 64, 121, 233, 601, 615, 617, 669, 921, 926, 927, 941, 952, 982, 988, 997, 1203, 1204, 1205, 1221, 1222, 1232, 2816, 3635, 3941, 3947, 3948, 3950,
    3953, 3957, 3960, 3961, 3966, 3980, 4117, 4184, 4221, 8628, 8645, 8651, 9515, 10053, 10054, 10060, 10922, 10928, 10929, 10930, 10936, 11001, 14906,
    17197, 17889, 18401, 40143, 40189, 40197, 40501, 40540, 40613, 40623, 40642, 40648, 40671, 40675, 40890, 40903, 40918, 41301, 41302, 41305, 41325,
    41339, 41383, 41614, 41619, 41640, 41700, 41701, 41823, 41839, 41840, 42029, 42108, 42109, 45153, 45156, 45157, 45161, 45179, 45182, 45319, 45547,
    49510, 49802, 49918, 49919, 49920, 49977, 49983,
})
"""Deadlock, lock time-out, snapshot conflict, failover, throttling, lost connection."""
NETWORK = frozenset({104, 110, 111, 258})
"""Numbers of the operating system that the driver passes on: reset, timed out, refused, wait time-out."""
TIMED_OUT = frozenset({-2})
"""The statement may have been carried out: safe to try again only because everything we send to the source reads."""
# fmt: on
LOGIN = frozenset({4064, 15404, 18452, 18456, 18470, 18486, 18487, 18488})
SCHEMA = frozenset({207, 208, 229, 230, 262, 297, 300})
"""A name that is not there, or a right that is missing."""
DATABASE = frozenset({916, 4060})
FEED = frozenset({313, 22117})
"""The change feed cannot serve the range or the replica."""
DATA = frozenset({241, 242, 245, 8114, 8115})
STATEMENT = frozenset({102, 156, 195, 8117})
"""The server does not understand what we sent: its version or compatibility level is older than the statement."""

TRANSIENT_STATES = frozenset({"08001", "08004", "08007", "08S01", "HYT01", "40001", "40003", "IMC06"})
TIMED_OUT_STATES = frozenset({"HYT00"})
CONFIG_STATES = frozenset({"28000", "42000", "42S02", "42S22", "IM002", "01000"})
RETRY_CLASSES, DATA_CLASSES = frozenset({"08", "40"}), frozenset({"22", "23"})
THROTTLED = 40501
"""Azure SQL asks for 10 s of peace after this one."""

GRANT = "Compare the login's rights with what `pacs grants` prints, and the table and column names with the county's profile."
REACH = "Check host, port and firewall, and that SQL Server listens on TCP there; an unreachable host is tried again."
CERTIFICATE = (
    "Trust the CA that signed the server's certificate on this machine, renew an expired certificate, "
    "or set host_name_in_certificate to the name that the certificate carries."
)
DRIVER = "Install Microsoft's msodbcsql18 (with unixODBC), or name an installed driver or its library's path in `odbc_driver`."

_CERTIFICATE_TEXT = re.compile(r"certificate|ssl routines|tls alert|ssl_choose_client_version|target principal name", re.IGNORECASE)
_PYODBC_NUMBER = re.compile(r"\((-?\d+)\)(?=\s*(?:\(SQL\w+\)|; \[|$))")
_ARROW_RECORD = re.compile(r"State: (\w{5}), Native error: (-?\d+), Message: ?(.*?)(?=\nState: |$)", re.DOTALL)
_SECRET = re.compile(
    r"\b(pwd|password|uid|accesstoken|access_token|secret|client_secret|token)\b\s*=\s*(\{(?:[^}]|\}\})*\}?|\"[^\"]*\"|'[^']*'|[^;\s]*)", re.IGNORECASE
)
_CONNECTION_STRING = re.compile(r"\b(driver|server|dsn|data source)\s*=\s*(\{(?:[^}]|\}\})*\}?|[^;\s]*)\s*;.*", re.IGNORECASE | re.DOTALL)
_URL_SECRET = re.compile(r"://[^/\s@]*@")
_ORIGIN = re.compile(r"^(?:\s*\[[^\]]*\])+")
_QUOTED = re.compile(r"['\"].*['\"]|['\"].*$")
"""From the first quote to the last, because a value may hold quotes itself."""
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Report:
    """What the driver reported. `state` is '' and `numbers` empty where it said none; numbers are in the driver's order."""

    state: str
    numbers: tuple[int, ...]
    text: str

    @property
    def number(self) -> int | None:
        """The number that decides: 4060 before the 18456 that comes with it, else the first one known."""
        known = [number for number in self.numbers if is_known(number)]
        return 4060 if 4060 in known else known[0] if known else None


def is_known(number: int) -> bool:
    """Whether the native number has a class here; 33xxx are SQL Server's errors about certificates and keys."""
    return any(number in numbers for numbers in (TRANSIENT, NETWORK, TIMED_OUT, LOGIN, SCHEMA, DATABASE, FEED, DATA, STATEMENT)) or _is_key_error(number)


def read_report(error: BaseException) -> Report:
    """Reads SQLSTATE, native numbers and message text out of an error of either driver."""
    arrow = _ARROW_RECORD.findall(str(error))
    if arrow:
        return Report(arrow[0][0], tuple(int(number) for _, number, _ in arrow if number != "0"), arrow[0][2].strip())
    args = error.args
    if _origin(error) == "pyodbc" and args and isinstance(args[0], str):
        text = str(args[1]) if len(args) > 1 else args[0]
        numbers = tuple(int(number) for number in _PYODBC_NUMBER.findall(text) if number != "0")
        first = re.split(r"\(-?\d+\)\s*(?:\(SQL\w+\)|; \[|$)", text, maxsplit=1)[0]
        return Report(args[0] if re.fullmatch(r"\w{5}", args[0]) else "", numbers, first.strip())
    return Report("", (), str(error))


def scrub(text: str, *, names: bool) -> str:
    """Returns the text short, without secrets and connection strings; without anything quoted unless `names` (then only names are quoted in it)."""
    text = _CONNECTION_STRING.sub("<connection string>", text)
    text = _URL_SECRET.sub("://", _SECRET.sub(r"\1=***", text))
    text = " ".join(_ORIGIN.sub("", text).split())
    if not names:
        text = _QUOTED.sub("'…'", text)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def classify(error: BaseException, *, where: str = "", driver: str = "") -> PacsError:
    """Returns the PacsError for an error, with the error as its `__cause__`.

    The cause's own text is scrubbed in place, because a traceback prints it: SQL Server quotes row values in conversion errors.

    Args:
        error: an error of pyodbc or arrow-odbc; a PacsError is returned as it is; anything else is fatal, except lost connections.
        where: host:port/database, named in the message.
        driver: the ODBC driver asked for, named where it is missing.
    """
    if isinstance(error, PacsError):
        return error
    report = read_report(error)
    kind, code, remedy, names = _decide(report, error)
    if remedy is DRIVER:
        lib = re.search(r"open lib '([^']*)'", report.text)
        what = f"The ODBC driver {driver or (lib[1] if lib else 'of the connection')!r} is not installed"
    else:
        what = scrub(report.text, names=names) or type(error).__name__
    numbers = f"SQL Server error {report.number}, " if report.number is not None else ""
    origin = f" ({numbers}SQLSTATE {report.state})" if report.state else ""
    mapped = kind(f"{where}: {what.rstrip('.')}{origin}." if where else f"{what.rstrip('.')}{origin}.", remedy=remedy, code=code)
    _scrub_in_place(error, report, scrub(report.text, names=names))
    mapped.__cause__ = error
    return mapped


def _scrub_in_place(error: BaseException, report: Report, text: str) -> None:
    """Replaces a driver's error text by the scrubbed one, in the driver's own form so that it classifies as before."""
    if _origin(error) == "pyodbc":
        error.args = (report.state, f"[{report.state}] {text} ({report.number or 0})")
    elif _origin(error) == "arrow_odbc":
        error.args = (f"State: {report.state}, Native error: {report.number or 0}, Message: {text}" if report.state else text,)


def _decide(report: Report, error: BaseException) -> tuple[type[PacsError], str | None, str, bool]:
    """Returns the class, its code (None for the class's own), the remedy, and whether quoted text in the message is a name and may stay."""
    number, state = report.number, report.state
    if state[:2] in ("08", "HY", "IM", "01") and number not in TRANSIENT and _CERTIFICATE_TEXT.search(report.text):
        return ConfigError, None, CERTIFICATE, True
    by_number = _by_number(number)
    if by_number:
        return by_number
    if state in ("IM002", "IM003", "01000") or "Can't open lib" in report.text:
        return ConfigError, None, DRIVER, True
    if state == "HYT00" and "login" not in report.text.lower():
        return RetryableError, None, "Raise query_timeout, or read when the server is less busy.", False
    if state in TRANSIENT_STATES | TIMED_OUT_STATES or state[:2] in RETRY_CLASSES or "Protocol error in TDS stream" in report.text:
        return RetryableError, None, REACH, False
    if state == "HY008":
        return RetryableError, None, "The statement was cancelled; start it again.", False
    if state[:2] == "28":
        return ConfigError, "PACS-002", "Check user and password of the connection.", True
    if state[:2] == "42":
        return ConfigError, "PACS-003", GRANT, False
    if state[:2] in DATA_CLASSES:
        return DataError, None, "", False
    if isinstance(error, ImportError):
        return ConfigError, None, DRIVER, True
    if isinstance(error, (ConnectionError, TimeoutError)):
        return RetryableError, None, REACH, False
    return FatalError, None, "", False


def _by_number(number: int | None) -> tuple[type[PacsError], str | None, str, bool] | None:
    """Returns what `_decide` returns, or None where the number says nothing."""
    if number is None:
        return None
    if number in TRANSIENT | NETWORK | TIMED_OUT:
        return RetryableError, None, REACH if number in NETWORK | {11001, 10060} else "", False
    if number in LOGIN:
        return ConfigError, "PACS-002", "Check user, password and default database of the login, and that it is enabled on this server.", True
    if number in SCHEMA:
        return ConfigError, "PACS-003", GRANT, True
    if number in DATABASE:
        return ConfigError, None, "Check the database's name, and that the login has a user in it.", True
    if number in FEED:
        return ConfigError, None, "Load the entity in full again; with Change Tracking, read from the primary replica (no application_intent).", True
    if number in DATA:
        return DataError, None, "Map the column with the type it really has.", False
    if number in STATEMENT:
        return FatalError, None, "SQL Server 2012 or later is needed; if it is that, report the number and the entity.", True
    return (ConfigError, None, "Check the keys and certificates of the database with its administrator.", True) if _is_key_error(number) else None


def _is_key_error(number: int) -> bool:
    return 33000 <= number <= 33999


def _origin(error: BaseException) -> str:
    """Returns `pyodbc` or `arrow_odbc` where the error is theirs, by name so that neither is imported; '' otherwise."""
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
