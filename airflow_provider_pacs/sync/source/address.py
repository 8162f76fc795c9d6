"""Where a county's PACS is: a URL, environment variables or named options come in, an ODBC connection string
or a SQLAlchemy URL goes out.

Keywords follow Microsoft's page "DSN and connection string keywords and attributes" of the ODBC driver;
quoting follows the ODBC reference for
SQLDriverConnect: a value in braces ends at the first `}` that is not doubled.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qsl, quote_plus, unquote, urlsplit

from airflow_provider_pacs.sync.runtime.errors import ConfigError

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

DEFAULT_DRIVER = "ODBC Driver 18 for SQL Server"
ENCRYPT = ("yes", "no", "strict")
INTENTS = ("ReadOnly", "ReadWrite")
ISOLATION_LEVELS = ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE", "SNAPSHOT")
AUTHENTICATIONS = {
    "SqlPassword": (True, True),
    "ActiveDirectoryPassword": (True, True),
    "ActiveDirectoryServicePrincipal": (True, True),
    "ActiveDirectoryMsi": (False, False),
    "ActiveDirectoryIntegrated": (False, False),
}
"""Values of `Authentication`, each with: must have a user, must have a password.

The interactive one needs a person and is left out.
"""

_FLAGS = frozenset({"trust_server_certificate", "multi_subnet_failover", "trusted_connection"})
_NUMBERS = frozenset({"login_timeout", "query_timeout"})
_TRUE, _FALSE = frozenset({"yes", "true", "1", "on"}), frozenset({"no", "false", "0", "off"})
_MANDATORY, _OPTIONAL = _TRUE | {"mandatory"}, _FALSE | {"optional"}
"""Driver 18's other words for yes and no."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class SourceAddress:
    r"""A SQL Server database and how to log in to it.

    Attributes:
        host: name or address, also `name\instance`; `tcp:` in front is allowed and means nothing more.
        port: TCP port; None is 1433, or with an instance the port that SQL Server Browser names.
        database: name of the database.
        user: login, client id (ActiveDirectoryServicePrincipal) or object id (ActiveDirectoryMsi, optional).
        password: never shown by `repr`.
        encrypt: `yes`, `no` or `strict` (TDS 8; Driver 18 and SQL Server 2022 or Azure).
        trust_server_certificate: take any certificate; only for tests.
        server_certificate: file with the certificate that the server must show; needs `encrypt=strict`.
        host_name_in_certificate: the name that the certificate carries where it is not `host`.
        odbc_driver: registered name, or a library that `source/drivers.py` allows.
        authentication: a key of `AUTHENTICATIONS`; None is a SQL login.
        application_intent: `ReadOnly` reads from a readable secondary of an availability group (not with
            Change Tracking: error 22117).
        multi_subnet_failover: try all addresses of the host at once.
        isolation_level: one of `ISOLATION_LEVELS`; None leaves the server's default.
        login_timeout: seconds; 0 waits without end.
        query_timeout: seconds that a statement may take to answer; 0 has no limit.
        application_name: what a DBA sees in `sys.dm_exec_sessions.program_name`.
        trusted_connection: Kerberos or Windows login of the process.
        allowed_drivers: drivers beyond the installed ones that the operator allows; no connection can set it.

    Raises:
        ConfigError: an option is unknown, contradicts another, or the driver cannot do it.
    """

    host: str
    port: int | None
    database: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    encrypt: str = "yes"
    trust_server_certificate: bool = False
    server_certificate: str | None = None
    host_name_in_certificate: str | None = None
    odbc_driver: str = DEFAULT_DRIVER
    authentication: str | None = None
    application_intent: str | None = None
    multi_subnet_failover: bool = False
    isolation_level: str | None = None
    login_timeout: int = 15
    query_timeout: int = 0
    application_name: str = "airflow-provider-pacs"
    trusted_connection: bool = False
    allowed_drivers: tuple[str, ...] = field(default=(), repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.host.startswith("tcp:"):
            object.__setattr__(self, "host", self.host[4:])
        for option in fields(self):
            value = getattr(self, option.name)
            if isinstance(value, str) and _CONTROL.search(value):
                raise ConfigError(
                    f"Option {option.name} holds a control character.",
                    remedy="Remove it; often a line end was pasted with the value.",
                )
        self._check_place()
        _one_of("encrypt", self.encrypt, ENCRYPT)
        _one_of("application_intent", self.application_intent, INTENTS)
        _one_of("isolation_level", self.isolation_level, ISOLATION_LEVELS)
        _one_of("authentication", self.authentication, tuple(AUTHENTICATIONS))
        if min(self.login_timeout, self.query_timeout) < 0:
            raise ConfigError(
                "Option login_timeout or query_timeout is negative.", remedy="Give seconds, 0 for no limit."
            )
        if len(self.application_name) > 128:
            raise ConfigError("Option application_name is longer than 128 characters.", remedy="Shorten it.")
        self._check_login()
        self._check_encryption()

    def _check_place(self) -> None:
        """Refuses a missing or impossible host, port or database."""
        if not self.host or not self.database:
            missing = "host" if not self.host else "database"
            raise ConfigError(
                f"The source has no {missing}.",
                remedy=f"Set the {missing} (an Airflow connection's database is its schema).",
            )
        if re.search(r"[,;={}/@\s]", self.host):
            raise ConfigError(
                f"Host {self.host!r} is not a host name.",
                remedy="Give `name` or `name\\instance`; the port has its own field.",
            )
        if self.port is not None and not 0 < self.port < 65536:
            raise ConfigError(
                f"Port {self.port} of {self.host} is not a port.", remedy="Give a number from 1 to 65535."
            )

    def _check_login(self) -> None:
        """Refuses a login that lacks a part, or names two kinds at once."""
        if self.trusted_connection and self.authentication:
            raise ConfigError(
                f"Both trusted_connection and authentication={self.authentication} are set.",
                remedy="Keep one of them.",
            )
        need_user, need_password = (
            AUTHENTICATIONS[self.authentication]
            if self.authentication
            else (not self.trusted_connection,) * 2
        )
        missing = [
            name
            for name, need in (("user", need_user), ("password", need_password))
            if need and not getattr(self, name)
        ]
        if missing:
            raise ConfigError(
                f"The login for {self.text} has no {' and no '.join(missing)}.",
                remedy="Set it, or choose `trusted_connection` (Kerberos) or an `authentication` that needs "
                "none.",
            )

    def _check_encryption(self) -> None:
        """Refuses settings that the driver would ignore or not know, so that nobody believes in protection
        that is not there.
        """
        strict, old = self.encrypt == "strict", self.driver_version == 17
        used = {
            "encrypt=strict": strict,
            "server_certificate": self.server_certificate,
            "host_name_in_certificate": self.host_name_in_certificate,
        }
        newer = ", ".join(name for name, value in used.items() if value)
        if old and newer:
            raise ConfigError(
                f"{self.odbc_driver} does not know {newer}.",
                remedy="Use ODBC Driver 18 for SQL Server, or drop the option.",
            )
        if self.server_certificate and not strict:
            raise ConfigError(
                "server_certificate has an effect only with encrypt=strict.",
                remedy="Set encrypt=strict, or trust the CA here.",
            )
        if strict and self.trust_server_certificate:
            raise ConfigError(
                "encrypt=strict always checks the certificate.",
                remedy="Drop trust_server_certificate, or pin server_certificate.",
            )
        if self.host_name_in_certificate and self.trust_server_certificate:
            raise ConfigError(
                "host_name_in_certificate is not checked with trust_server_certificate.",
                remedy="Keep one of them.",
            )

    @property
    def driver_version(self) -> int | None:
        """17 or 18, by the driver's name or file name; None where neither says so (then options are passed on
        as they are).
        """
        match = re.search(r"ODBC Driver (1[78])\b|msodbcsql-?(1[78])\b", self.odbc_driver)
        return int(match[1] or match[2]) if match else None

    @property
    def text(self) -> str:
        """host:port/database for messages and logs; no login and no secret."""
        return f"{self.host}{f':{self.port}' if self.port else ''}/{self.database}"

    def keywords(self) -> dict[str, str]:
        """Returns the ODBC keywords with their raw values, the secret among them."""
        port = self.port or (None if "\\" in self.host else 1433)
        words: dict[str, str | None] = {
            "Driver": self.odbc_driver,
            "Server": f"tcp:{self.host}" + (f",{port}" if port else ""),
            "Database": self.database,
            "Encrypt": self.encrypt,
            "TrustServerCertificate": "yes" if self.trust_server_certificate else "no",
            "ServerCertificate": self.server_certificate,
            "HostNameInCertificate": self.host_name_in_certificate,
            "ApplicationIntent": self.application_intent,
            "MultiSubnetFailover": "Yes" if self.multi_subnet_failover else None,
            "APP": self.application_name or None,
            # The driver's own reconnect would lose SET options and hide the break; we open a fresh connection
            # instead.
            "ConnectRetryCount": "0",
        }
        if self.trusted_connection:
            words["Trusted_Connection"] = "yes"
        else:
            words |= {
                "Authentication": self.authentication,
                "UID": self.user or None,
                "PWD": self.password or None,
            }
        return {key: value for key, value in words.items() if value is not None}

    def connection_string(self) -> str:
        """Returns the ODBC connection string; whoever holds it holds the password."""
        return ";".join(f"{key}={quote(value)}" for key, value in self.keywords().items()) + ";"

    def sqlalchemy_url(self, driver: Literal["pyodbc", "aioodbc"] = "pyodbc") -> URL:
        """Returns a `mssql+pyodbc` URL, or that of its async sibling.

        Its own text shows `odbc_connect` with the password: print `SourceAddress.text` instead.

        SQLAlchemy 2.0 percent-decodes `odbc_connect` once more and 2.1 does not (its issue 11250), so the
        dialect is asked which it does.
        """
        from sqlalchemy.engine import URL

        probe = URL.create("mssql+pyodbc", query={"odbc_connect": "%41"})
        decodes = str(probe.get_dialect()().create_connect_args(probe)[0][0]).startswith("A")
        text = self.connection_string()
        return URL.create(f"mssql+{driver}", query={"odbc_connect": quote_plus(text) if decodes else text})

    @classmethod
    def from_url(cls, url: str) -> SourceAddress:
        """Reads `mssql://user:p%40ss@host:1433/PACS?encrypt=yes&...`; a named instance is `host%5Cinstance`.

        Raises:
            ConfigError: no such URL; an unknown or repeated option, named with the known ones. The password
                is never in the message.
        """
        remedy = (
            "Write mssql://user:password@host:1433/database?encrypt=yes and percent-encode special "
            "characters of user and password."
        )
        try:
            parts = urlsplit(url)
            port, scheme = parts.port, parts.scheme
        except ValueError:
            raise ConfigError("The source URL cannot be read.", remedy=remedy) from None
        # An unencoded `/`, `?` or `#` in a password moves the rest of it to another part: an `@` there gives
        # that away, and nothing may be echoed.
        if scheme.split("+")[0] not in ("mssql", "pacs") or parts.fragment or "@" in parts.path + parts.query:
            raise ConfigError("The source URL does not have the form of one.", remedy=remedy)
        host = re.sub(r":\d*$", "", parts.netloc.rpartition("@")[2]).strip("[]")
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        if len(dict(pairs)) < len(pairs):
            raise ConfigError("The source URL names an option twice.", remedy="Give each option once.")
        options = named_options(dict(pairs), "The source URL")
        return cls(
            host=unquote(host),
            port=port,
            database=unquote(parts.path.removeprefix("/")),
            user=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            **read_options(options),
        )

    @classmethod
    def from_environment(cls, county: str, environ: Mapping[str, str]) -> SourceAddress | None:
        """Reads PACS_DB_HOST_<COUNTY>_SOURCE and its siblings PORT, NAME, USER, PASSWORD, and any option,
        e.g. PACS_DB_ENCRYPT_<COUNTY>_SOURCE.

        Returns:
            The address, or None where no host is set.

        Raises:
            ConfigError: a host is set but other variables are missing (all are named) or wrong.
        """
        suffix = re.sub(r"[^A-Z0-9]", "_", county.upper()) + "_SOURCE"
        name = {
            part: f"PACS_DB_{part.upper()}_{suffix}"
            for part in ("host", "port", "name", "user", "password", *OPTIONS)
        }
        value = {part: environ.get(variable, "") for part, variable in name.items()}
        if not value["host"]:
            return None
        _refuse_unknown_variables(environ, suffix, name)
        options = read_options({option: value[option] for option in OPTIONS if value[option]})
        other_login = options.get("trusted_connection") or options.get("authentication")
        missing = [
            name[part] for part in ("name", *(() if other_login else ("user", "password"))) if not value[part]
        ]
        if missing:
            raise ConfigError(
                f"{name['host']} is set but {', '.join(missing)} is not.",
                remedy="Set them, or store an Airflow connection.",
            )
        if value["port"] and not value["port"].isdecimal():
            raise ConfigError(f"{name['port']} is not a number.", remedy="Give the TCP port, usually 1433.")
        port = int(value["port"]) if value["port"] else None
        return cls(
            value["host"], port, value["name"], value["user"] or None, value["password"] or None, **options
        )


OPTIONS = tuple(
    option.name
    for option in fields(SourceAddress)
    if option.name not in ("host", "port", "database", "user", "password", "allowed_drivers")
)
"""Names of the options that a URL, an Airflow connection's extras and the environment may carry."""


OPTION_NAMES = {name.replace("_", ""): name for name in OPTIONS} | {
    "driver": "odbc_driver",
    "app": "application_name",
    "appname": "application_name",
    "timeout": "query_timeout",
    "connecttimeout": "login_timeout",
    "connectiontimeout": "login_timeout",
}
"""Spellings without case, blanks, `_` and `-` -> our option: those of ODBC, of SqlClient and of other
hooks.
"""
OTHERS = frozenset({"sqlalchemyscheme"})
"""Extras that other readers of the same connection need and that change nothing about ours."""


def named_options(raw: Mapping[str, Any], holder: str) -> dict[str, Any]:
    """The options under our names, whatever spelling a connection uses: none is dropped in silence, because
    one that was meant to protect would be believed in.

    Args:
        raw: option -> value, e.g. an Airflow connection's extra.
        holder: what messages call where they stand.

    Raises:
        ConfigError: an option that is not known, or one that is there in two spellings.
    """
    named: dict[str, Any] = {}
    for name, value in raw.items():
        plain = re.sub(r"[\s_-]", "", re.sub(r"^extra__\w+?__", "", str(name))).lower()
        if plain in OTHERS:
            continue
        option = OPTION_NAMES.get(plain)
        if not option:
            near = difflib.get_close_matches(plain, OPTION_NAMES, n=1)
            meant = f"Did you mean {OPTION_NAMES[near[0]]}? " if near and OPTION_NAMES[near[0]] else ""
            raise ConfigError(
                f"{holder} has an unknown option {name!r}.",
                remedy=f"{meant}Known options: {', '.join(OPTIONS)}.",
            )
        if option in named:
            raise ConfigError(
                f"{holder} names the option {option} twice, once as {name!r}.",
                remedy="Give each option once.",
            )
        named[option] = value
    return named


def _refuse_unknown_variables(environ: Mapping[str, str], suffix: str, known: Mapping[str, str]) -> None:
    """A variable of the county that nobody reads is a mistake in its name; one of a county whose name ends
    like this one's is not.
    """
    names = {variable[len("PACS_DB_") : -len(suffix) - 1] for variable in known.values()}
    for variable in sorted(environ):
        part = variable[len("PACS_DB_") : -len(suffix) - 1]
        if not (variable.startswith("PACS_DB_") and variable.endswith(f"_{suffix}")) or part in names:
            continue
        if not any(part.startswith(f"{name}_") for name in names):
            raise ConfigError(
                f"The variable {variable} sets no option.",
                remedy=f"Known: {', '.join(sorted(known.values()))}.",
            )


def read_options(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Reads the known options from text or JSON values by name; other names are left alone, empty ones count
    as not given.

    Raises:
        ConfigError: a value is not what the option takes.
    """
    options: dict[str, Any] = {}
    for name in OPTIONS:
        value = raw.get(name)
        text = "" if value is None else str(value).strip()
        if not text:
            continue
        lower = text.lower()
        if name in _FLAGS:
            if lower not in _TRUE | _FALSE:
                raise ConfigError(f"Option {name} is neither yes nor no.", remedy="Write yes or no.")
            options[name] = lower in _TRUE
        elif name in _NUMBERS:
            if not text.isdecimal():
                raise ConfigError(
                    f"Option {name} is not a number of seconds.",
                    remedy="Write a whole number, 0 for no limit.",
                )
            options[name] = int(text)
        elif name == "encrypt":
            options[name] = "yes" if lower in _MANDATORY else "no" if lower in _OPTIONAL else lower
        elif name == "application_intent":
            options[name] = next((intent for intent in INTENTS if intent.lower() == lower), text)
        else:
            options[name] = re.sub(r"[_\s]+", " ", text).upper() if name == "isolation_level" else text
    return options


def quote(value: str) -> str:
    """Returns the value in braces, with `}` doubled: no value can end early and bring in a keyword of its
    own.
    """
    return "{" + value.replace("}", "}}") + "}"


def _one_of(name: str, value: str | None, allowed: tuple[str, ...]) -> None:
    """Raises ConfigError unless the value is None or allowed."""
    if value is not None and value not in allowed:
        hint = (
            " READ UNCOMMITTED is refused: it can miss rows and read them twice."
            if name == "isolation_level"
            else ""
        )
        raise ConfigError(f"Option {name} is {value!r}.", remedy=f"Use one of {', '.join(allowed)}.{hint}")
