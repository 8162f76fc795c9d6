"""Registers Microsoft's ODBC driver from its Python package, without installing it in the system."""

from __future__ import annotations

import importlib
import platform
from pathlib import Path
from typing import Final

DRIVER_NAME: Final = "ODBC Driver 18 for SQL Server"

_SYSTEMS = ("debian_ubuntu", "rhel", "suse", "alpine")
_MACHINES = {"amd64": "x86_64", "aarch64": "arm64"}


def driver_library() -> Path:
    """The driver's shared library in the wheel `mssql-python-odbc`.

    Raises:
        FileNotFoundError: the wheel has none for this system.
        ModuleNotFoundError: the wheel is not installed.
    """
    root = Path(importlib.import_module("mssql_python_odbc").get_libs_dir()) / "linux"
    machine = platform.machine().lower()
    for system in sorted(_SYSTEMS, key=lambda name: name != _system()):
        result = sorted(
            (root / system / _MACHINES.get(machine, machine) / "lib").glob("libmsodbcsql-18*.so*")
        )
        if result:
            return result[-1]
    raise FileNotFoundError(f"no {DRIVER_NAME} below {root} for {machine}")


def odbc_environment(directory: Path, ca_file: Path | None = None) -> dict[str, str]:
    """Write `odbcinst.ini` to `directory` and say which variables make the driver known by its production
    name.

    Set them before the driver manager is used for the first time in a process.

    Args:
        directory: made if it does not exist.
        ca_file: PEM of an authority that the driver shall trust, so that
            `Encrypt=yes;TrustServerCertificate=no` verifies the sandbox. The driver's OpenSSL reads
            SSL_CERT_FILE; it also holds for every other user of OpenSSL in the process.
    """
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "odbcinst.ini").write_text(
        f"[{DRIVER_NAME}]\nDescription=Microsoft {DRIVER_NAME}\nDriver={driver_library()}\n", encoding="utf-8"
    )
    environment = {"ODBCSYSINI": str(directory), "ODBCINSTINI": "odbcinst.ini"}
    if ca_file:
        environment["SSL_CERT_FILE"] = str(ca_file)
    return environment


def _system() -> str:
    release = Path("/etc/os-release")
    text = release.read_text(encoding="utf-8") if release.exists() else ""
    fields = dict(line.partition("=")[::2] for line in text.splitlines())
    like = f"{fields.get('ID', '')} {fields.get('ID_LIKE', '')}".replace('"', "").split()
    if "suse" in like or "opensuse" in like or "sles" in like:
        return "suse"
    if "alpine" in like:
        return "alpine"
    return "rhel" if {"rhel", "fedora", "centos"} & set(like) else "debian_ubuntu"
