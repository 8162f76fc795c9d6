"""Which ODBC driver may be loaded: the name that a connection asks for -> a name or a library that is
allowed.

A driver is code that runs in the worker and in the web server, and a connection is written by more people
than may install code there. So a driver is taken by the name under which the driver manager has it, from
Microsoft's package `mssql-python-odbc` where that is installed, or from a list that the operator keeps in
`[pacs] odbc_drivers`; never from any other path. The driver manager itself would load what it does not know
as a library.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from airflow_provider_pacs.sync.source.address import DEFAULT_DRIVER, SourceAddress
from airflow_provider_pacs.sync.source.errors import DRIVER, DriverError
from airflow_provider_pacs.sync.source.systems import system_name

ALLOWED_VARIABLE = "AIRFLOW__PACS__ODBC_DRIVERS"
_PACKAGE = "mssql_python_odbc"
_MACHINES = {"amd64": "x86_64", "aarch64": "arm64"}
_LIBRARIES = ("libmsodbcsql-18*.so*", "libmsodbcsql.18.dylib", "msodbcsql18.dll")


def with_allowed_driver(address: SourceAddress, environ: Mapping[str, str] = os.environ) -> SourceAddress:
    """The address with the driver that may be loaded for it.

    Raises:
        DriverError: it is neither installed nor allowed.
    """
    allowed = (*address.allowed_drivers, *listed(environ.get(ALLOWED_VARIABLE, "")))
    return replace(address, odbc_driver=allowed_driver(address.odbc_driver, allowed, installed_drivers()))


def listed(text: str) -> tuple[str, ...]:
    """The setting `odbc_drivers`: names and paths, separated by commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def allowed_driver(wanted: str, allowed: Iterable[str], installed: Iterable[str]) -> str:
    """What the connection string says as its driver.

    Args:
        wanted: the name that the connection asks for.
        allowed: the operator's list.
        installed: what the driver manager knows.

    Raises:
        DriverError: it is neither installed nor allowed.
    """
    names = tuple(installed)
    if wanted in names or wanted in tuple(allowed):
        return wanted
    library = packaged_driver()
    if library is not None and wanted in (DEFAULT_DRIVER, str(library)):
        return str(library)
    if any(mark in wanted for mark in "/\\"):
        raise DriverError(
            "Option odbc_driver is a path that nobody allowed: a driver is code that runs here.",
            remedy=f"name an installed driver ({', '.join(names) or 'none is installed'}), or have the path "
            "listed in [pacs] odbc_drivers",
        )
    raise DriverError(
        f"The ODBC driver {wanted!r} is not installed (installed: {', '.join(names) or 'none'}).",
        remedy=DRIVER,
    )


def installed_drivers() -> tuple[str, ...]:
    """The names that the driver manager knows; none where there is no driver manager."""
    try:
        import pyodbc
    except ImportError:
        return ()
    return tuple(pyodbc.drivers())


def packaged_driver() -> Path | None:
    """The library in the package `mssql-python-odbc`; None where it is not installed or has none for this
    system.
    """
    if importlib.util.find_spec(_PACKAGE) is None:
        return None
    root = Path(importlib.import_module(_PACKAGE).get_libs_dir())
    machine = platform.machine().lower()
    libraries = [
        library
        for pattern in _LIBRARIES
        for library in root.rglob(pattern)
        if _MACHINES.get(machine, machine) in library.parts
    ]
    return min(
        libraries, key=lambda library: (system_name() not in library.parts, str(library)), default=None
    )
