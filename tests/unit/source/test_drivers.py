"""Which ODBC driver may be loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.source import drivers
from airflow_provider_pacs.sync.source.address import DEFAULT_DRIVER, SourceAddress
from airflow_provider_pacs.sync.source.bulk import BulkQuery, BulkResult
from airflow_provider_pacs.sync.source.drivers import allowed_driver, packaged_driver, with_allowed_driver
from airflow_provider_pacs.sync.source.sqlserver import open_connection

EVIL = "/tmp/evil.so"


@pytest.mark.parametrize(
    "wanted",
    [EVIL, "../tmp/evil.so", "evil.so", "C:\\evil.dll", "libmsodbcsql-18.6.so.2.1", "/opt/allowed.so/../e"],
)
def test_a_library_that_nobody_allowed_is_refused(wanted: str) -> None:
    """Case E3: a path, and a bare file name, which the driver manager would load from its search path."""
    with pytest.raises(ConfigError) as refused:
        allowed_driver(wanted, ["/opt/allowed.so"], [DEFAULT_DRIVER])
    assert refused.value.remedy


def test_a_refused_library_is_never_opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Case E3: neither client gets as far as the driver manager."""
    library = tmp_path / "evil.so"
    library.write_bytes(b"")
    address = SourceAddress("127.0.0.1", 1, "PACS", "u", "p", odbc_driver=str(library))
    for load in (
        lambda: open_connection(address),
        lambda: BulkResult(BulkQuery(address, "SELECT 1", (), 10)),
    ):
        with pytest.raises(ConfigError, match="path that nobody allowed"):
            load()


def test_what_is_installed_or_listed_is_taken_as_it_is() -> None:
    """Case E3: by name, or from the operator's list."""
    assert allowed_driver("FreeTDS", [], ["FreeTDS"]) == "FreeTDS"
    assert allowed_driver("/opt/a.so", ["/opt/a.so"], []) == "/opt/a.so"
    address = SourceAddress("db", 1433, "PACS", "u", "p", odbc_driver="/opt/a.so")
    assert (
        with_allowed_driver(address, {"AIRFLOW__PACS__ODBC_DRIVERS": "x,/opt/a.so"}).odbc_driver
        == "/opt/a.so"
    )


def test_microsofts_package_needs_nothing_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Case E3: with `airflow-provider-pacs[driver]` the default driver is the package's, unless one is
    installed.
    """
    library = packaged_driver()
    assert library is not None
    assert library.exists()
    assert allowed_driver(DEFAULT_DRIVER, [], []) == str(library)
    assert allowed_driver(DEFAULT_DRIVER, [], [DEFAULT_DRIVER]) == DEFAULT_DRIVER
    monkeypatch.setattr(drivers, "packaged_driver", lambda: None)
    with pytest.raises(ConfigError, match=f"'{DEFAULT_DRIVER}' is not installed"):
        allowed_driver(DEFAULT_DRIVER, [], ["FreeTDS"])


def test_the_packages_library_loads_without_a_driver_manager_file() -> None:
    """Case E3: in a process without any odbcinst.ini, the driver answers (that nobody listens)."""
    code = (
        "import pyodbc\n"
        "from airflow_provider_pacs.sync.source.address import SourceAddress\n"
        "from airflow_provider_pacs.sync.source.drivers import with_allowed_driver\n"
        "address = with_allowed_driver(SourceAddress('127.0.0.1', 1, 'PACS', 'u', 'p', login_timeout=1))\n"
        "try:\n    pyodbc.connect(address.connection_string(), timeout=1)\n"
        "except pyodbc.Error as error:\n    print(error.args[0])\n"
    )
    environment = {"ODBCSYSINI": "/nonexistent", "PATH": "/usr/bin:/bin"}
    answer = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert answer.stdout.strip() in {"08001", "HYT00"}
