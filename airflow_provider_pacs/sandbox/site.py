"""A folder -> everything a sandbox PACS needs to run there: a CA and a server certificate, logins with random passwords, the driver's registration.

`endpoint.json` in the folder tells others how to reach it; it holds the passwords, so only its owner may read it.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import quote, urlencode

from airflow_provider_pacs.sandbox.certificates import Certificate, make_authority, make_certificate
from airflow_provider_pacs.sandbox.data import SIZES, Size, build
from airflow_provider_pacs.sandbox.driver import odbc_environment
from airflow_provider_pacs.sandbox.engine import Login, SandboxEngine
from airflow_provider_pacs.sandbox.faults import FaultPlan


class UsageError(Exception):
    """Asked for something that the sandbox does not have; the text says what to do."""


DATABASE = "PACS"
READER, ADMIN = "pacs_reader", "sandbox_admin"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How to reach a running sandbox, as `endpoint.json` has it; `options` are the connection's: the certificate is verified in full."""

    host: str
    port: int
    database: str
    reader: str
    reader_password: str
    admin: str
    admin_password: str
    environment: dict[str, str]
    process: int
    options: dict[str, str] = field(default_factory=lambda: {"encrypt": "yes", "trust_server_certificate": "no"})

    @classmethod
    def read(cls, folder: Path) -> Endpoint:
        """The endpoint of the sandbox that runs in `folder`.

        Raises:
            UsageError: none runs there.
        """
        file = folder / "endpoint.json"
        if not file.exists():
            raise UsageError(f"no sandbox runs in {folder}: start one with `pacs sandbox serve --dir {folder}`")
        return cls(**json.loads(file.read_text("utf-8")))

    def write(self, folder: Path) -> None:
        """Replace `endpoint.json` at once, so that nobody reads half of it."""
        fresh = folder / "endpoint.json.new"
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(asdict(self), file, indent=1)
        fresh.replace(folder / "endpoint.json")

    def url(self, *, admin: bool = False) -> str:
        """`mssql://...` for `pacs --source-url`."""
        user, password = (self.admin, self.admin_password) if admin else (self.reader, self.reader_password)
        return f"mssql://{user}:{quote(password, safe='')}@{self.host}:{self.port}/{self.database}?{urlencode(self.options)}"


@dataclass(frozen=True, slots=True)
class Site:
    """A sandbox that is ready to be served."""

    engine: SandboxEngine
    certificate: Certificate
    faults: FaultPlan
    folder: Path
    reader_password: str
    admin_password: str
    environment: dict[str, str]

    def endpoint(self, host: str, port: int) -> Endpoint:
        """How to reach it on `port`."""
        return Endpoint(host, port, DATABASE, READER, self.reader_password, ADMIN, self.admin_password, self.environment, os.getpid())


def size_of(text: str) -> str | Size:
    """A named size, or rows per table: `properties=N` with `owners=N`, `values=N` and `structures=N` behind commas as wanted.

    Raises:
        UsageError: neither.
    """
    if text in SIZES:
        return text
    rows = dict(part.partition("=")[::2] for part in text.split(","))
    tables = ("properties", "owners", "values", "structures")
    if set(rows) <= set(tables) and all(number.isdigit() for number in rows.values()) and int(rows.get("properties", 0)) > 0:
        return Size(*(int(rows.get(table, 0)) for table in tables))
    raise UsageError(f"unknown sandbox size {text!r}: use one of {', '.join(SIZES)}, or properties=N[,owners=N][,values=N][,structures=N]")


def prepare(folder: Path, *, size: str | Size = "seed", seed: int = 1, faults: FaultPlan | None = None, keep: bool = False) -> Site:
    """Make a sandbox in `folder`: certificates, logins, the driver's registration and the county's data.

    Args:
        folder: where files go; made if it is not there.
        size: a name of `SIZES` or a `Size`.
        seed: another seed gives other data of the same shape.
        faults: shared with the server, so that `EXEC sandbox.fault` reaches it.
        keep: keep the database in the folder; otherwise it lives in memory.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()  # the settings are used from other working directories
    authority = make_authority()
    ca_file, _ = authority.write(folder, "ca")
    passwords = [f"Sb1!{secrets.token_urlsafe(15)}" for _ in range(2)]
    plan = faults or FaultPlan()
    logins = (Login(READER, passwords[0], (DATABASE,)), Login(ADMIN, passwords[1], admin=True))
    engine = SandboxEngine(folder / "data" if keep else None, logins=logins, fault=lambda rule: _added(plan, rule))
    build(engine, size, seed)
    return Site(engine, make_certificate(authority), plan, folder, passwords[0], passwords[1], odbc_environment(folder, ca_file))


def _added(plan: FaultPlan, rule: str) -> None:
    plan.add(rule)
