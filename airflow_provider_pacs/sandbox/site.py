"""Prepares a folder for a sandbox PACS: an authority and a server certificate, logins with random passwords, and
the driver's registration.

`endpoint.json` in the folder tells others how to reach it; it holds the passwords, so only its owner may read
it.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import quote, urlencode

from airflow_provider_pacs.sandbox.counties.profiles import GENERIC, KINDS, Kind
from airflow_provider_pacs.sandbox.driver import odbc_environment
from airflow_provider_pacs.sandbox.tsql.engine import Login, SandboxEngine
from airflow_provider_pacs.sandbox.wire.certificates import Certificate, make_authority, make_certificate
from airflow_provider_pacs.sandbox.wire.faults import FaultPlan


class UsageError(Exception):
    """Asked for something that the sandbox does not have; the text says what to do."""


READER, ADMIN = "pacs_reader", "sandbox_admin"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How to reach a running sandbox, as `endpoint.json` has it; `options` are the connection's: the
    certificate is verified in full.
    """

    host: str
    port: int
    database: str
    reader: str
    reader_password: str
    admin: str
    admin_password: str
    environment: dict[str, str]
    process: int
    options: dict[str, str] = field(
        default_factory=lambda: {"encrypt": "yes", "trust_server_certificate": "no"}
    )

    @classmethod
    def read(cls, folder: Path) -> Endpoint:
        """The endpoint of the sandbox that runs in `folder`.

        Raises:
            UsageError: none runs there.
        """
        file = folder / "endpoint.json"
        if not file.exists():
            raise UsageError(
                f"no sandbox runs in {folder}: start one with `pacs sandbox serve --dir {folder}`"
            )
        return cls(**json.loads(file.read_text("utf-8")))

    def write(self, folder: Path) -> None:
        """Replace `endpoint.json` at once, so that nobody reads half of it."""
        fresh = folder / "endpoint.json.new"
        with os.fdopen(
            os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
        ) as file:
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
    database: str
    certificate: Certificate
    faults: FaultPlan
    folder: Path
    reader_password: str
    admin_password: str
    environment: dict[str, str]
    scratch: Path | None = None

    def close(self) -> None:
        """Close the database, and remove it where it was not to be kept."""
        self.engine.close()
        if self.scratch is not None:
            shutil.rmtree(self.scratch)

    def endpoint(self, host: str, port: int) -> Endpoint:
        """How to reach it on `port`."""
        return Endpoint(
            host,
            port,
            self.database,
            READER,
            self.reader_password,
            ADMIN,
            self.admin_password,
            self.environment,
            os.getpid(),
        )


def prepare(
    folder: Path,
    *,
    size: str = "seed",
    profile: str = GENERIC,
    seed: int = 1,
    faults: FaultPlan | None = None,
    keep: bool = False,
) -> Site:
    """Make a sandbox in `folder`: certificates, logins, the driver's registration and the county's data.

    Args:
        folder: where files go; made if it is not there.
        size: a name of the profile's sizes, or `properties=N` and what else the profile takes.
        profile: a name of `KINDS`: whose tables it has.
        seed: another seed gives other data of the same shape.
        faults: shared with the server, so that `EXEC sandbox.fault` reaches it.
        keep: keep the database in the folder; otherwise it lives in memory, or while it runs in the folder
            where it is too big for that.

    Raises:
        ValueError: no such profile, or no such size of it; the text says which there are.
    """
    kind = kind_of(profile)
    big = kind.check(size)
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()  # the settings are used from other working directories
    authority = make_authority()
    ca_file, _ = authority.write(folder, "ca")
    passwords = [f"Sb1!{secrets.token_urlsafe(15)}" for _ in range(2)]
    plan = faults or FaultPlan()
    logins = (Login(READER, passwords[0], (kind.database,)), Login(ADMIN, passwords[1], admin=True))
    scratch = folder / "scratch" if big and not keep else None
    if scratch is not None and scratch.exists():
        shutil.rmtree(scratch)
    engine = SandboxEngine(
        folder / "data" if keep else scratch, logins=logins, fault=lambda rule: _added(plan, rule)
    )
    kind.fill(engine, size, seed)
    return Site(
        engine,
        kind.database,
        make_certificate(authority),
        plan,
        folder,
        passwords[0],
        passwords[1],
        odbc_environment(folder, ca_file),
        scratch,
    )


def kind_of(profile: str) -> Kind:
    """The kind of county of a profile.

    Raises:
        UsageError: the sandbox has none for it.
    """
    if profile not in KINDS:
        raise UsageError(f"the sandbox has no county of profile {profile!r}: use one of {', '.join(KINDS)}")
    return KINDS[profile]


def _added(plan: FaultPlan, rule: str) -> None:
    plan.add(rule)
