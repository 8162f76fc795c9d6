"""PacsHook: fields and extras by name, the environment's fallback, what common.sql needs of it, and that it
shows no secret.
"""

from __future__ import annotations

import json
import logging
from typing import Any

import pyodbc
import pytest
from airflow.providers.common.compat.sdk import AirflowNotFoundException, Connection
from airflow.providers.microsoft.mssql.dialects.mssql import MsSqlDialect

from airflow_provider_pacs.hooks import pacs
from airflow_provider_pacs.hooks.pacs import PacsHook
from airflow_provider_pacs.sync.runtime.errors import ConfigError, RetryableError
from airflow_provider_pacs.sync.source import sqlserver
from airflow_provider_pacs.sync.source.address import SourceAddress

SECRET = "Tr0ub4dor}&3"


class FakeCursor:
    description = (("n", int, None, 4, 10, 0, False),)
    rowcount = -1

    def __init__(self, connection: FakeConnection) -> None:
        self.connection = connection

    def execute(self, sql: str, *params: Any) -> FakeCursor:
        self.connection.asked.append((sql, params))
        if "BREAK" in sql:
            raise pyodbc.Error(
                "40001",
                "[40001] [Microsoft][ODBC Driver 18 for SQL Server][SQL Server]Deadlock. (1205) "
                "(SQLExecDirectW)",
            )
        if "dm_exec" in sql:
            raise pyodbc.ProgrammingError(
                "42000",
                "[42000] [Microsoft][ODBC Driver 18 for SQL Server][SQL Server]VIEW SERVER STATE denied. "
                "(300) (S)",
            )
        value = "PACS" if "DB_NAME" in sql else 1
        self.description = (("v", str, None, 4, 10, 0, False),)
        self.rows = [(value,)]
        return self

    def fetchall(self) -> list[Any]:
        return self.rows

    def fetchone(self) -> Any:
        return self.rows[0]

    def nextset(self) -> bool:
        return False

    def close(self) -> None:
        pass


class FakeConnection:
    def __init__(self, text: str, autocommit: bool, timeout: int) -> None:
        self.text, self.autocommit, self.login_timeout = text, autocommit, timeout
        self.timeout = 0
        self.asked: list[Any] = []
        self.commits = 0

    def cursor(self) -> FakeCursor:
        return FakeCursor(self)

    def execute(self, sql: str) -> FakeCursor:
        return self.cursor().execute(sql)

    def add_output_converter(self, sql_type: int, function: Any) -> None:
        pass

    def commit(self) -> None:
        self.commits += 1

    def close(self) -> None:
        pass


def nothing_below_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """No host is looked for and no driver."""
    monkeypatch.setattr(sqlserver, "reach", lambda address: None)
    monkeypatch.setattr(sqlserver, "with_allowed_driver", lambda address: address)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[FakeConnection]:
    made: list[FakeConnection] = []

    def connect(text: str, **options: Any) -> FakeConnection:
        made.append(FakeConnection(text, **options))
        return made[-1]

    monkeypatch.setattr(sqlserver.pyodbc, "connect", connect)
    nothing_below_the_driver(monkeypatch)
    return made


@pytest.fixture
def masked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    secrets: list[str] = []
    monkeypatch.setattr(pacs, "mask_secret", secrets.append)
    return secrets


def store(monkeypatch: pytest.MonkeyPatch, extra: dict[str, Any] | None = None, **fields: Any) -> None:
    arguments = {
        "conn_type": "pacs",
        "host": "db",
        "port": 1433,
        "schema": "PACS",
        "login": "reader",
        "password": SECRET,
        **fields,
    }
    made = Connection(conn_id="pacs_benton_wa", extra=json.dumps(extra or {}), **arguments)
    monkeypatch.setattr(PacsHook, "get_connection", classmethod(lambda cls, conn_id: made))


def nothing_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(cls: type, conn_id: str) -> None:
        raise AirflowNotFoundException(f"The conn_id `{conn_id}` isn't defined")

    monkeypatch.setattr(PacsHook, "get_connection", classmethod(missing))


def hook(**options: Any) -> PacsHook:
    return PacsHook(pacs_conn_id="pacs_benton_wa", **options)


@pytest.mark.parametrize("conn_type", ["pacs", "mssql"])
def test_fields_and_extras_are_read_by_name(
    monkeypatch: pytest.MonkeyPatch, masked: list[str], conn_type: str
) -> None:
    extra = {
        "encrypt": "strict",
        "server_certificate": "/x.pem",
        "multi_subnet_failover": True,
        "login_timeout": 3,
        "sqlalchemy_scheme": "mssql+pyodbc",  # what MsSqlHook itself reads of the same connection
    }
    store(monkeypatch, extra, conn_type=conn_type)
    expected = SourceAddress(
        "db",
        1433,
        "PACS",
        "reader",
        SECRET,
        encrypt="strict",
        server_certificate="/x.pem",
        multi_subnet_failover=True,
        login_timeout=3,
    )
    assert hook().address() == expected
    assert SECRET in masked
    assert expected.connection_string() in masked


@pytest.mark.parametrize("conn_type", ["pacs", "mssql"])
def test_extras_in_the_spelling_of_others_are_understood(
    monkeypatch: pytest.MonkeyPatch, masked: list[str], conn_type: str
) -> None:
    """Case D11: an option that protects is never dropped because another hook or driver spells it otherwise."""
    extra = {
        "Encrypt": "Strict",
        "ApplicationIntent": "readonly",
        "HostNameInCertificate": "sql.county.example",
        "MultiSubnetFailover": "Yes",
        "Login Timeout": "3",
        "extra__mssql__query_timeout": 60,
        "APP": "x",
    }
    store(monkeypatch, extra, conn_type=conn_type)
    address = hook().address()
    assert (address.encrypt, address.application_intent) == ("strict", "ReadOnly")
    assert address.host_name_in_certificate == "sql.county.example"
    assert (address.multi_subnet_failover, address.login_timeout, address.query_timeout) == (True, 3, 60)
    assert address.application_name == "x"


@pytest.mark.parametrize("conn_type", ["pacs", "mssql"])
@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"ColumnEncryption": "Enabled"}, "unknown option 'ColumnEncryption'"),
        ({"tds_version": "7.0"}, "unknown option 'tds_version'"),
        ({"encyrpt": "yes"}, "Did you mean encrypt"),
        ({"encrypt": "strict", "Encrypt": "no"}, "names the option encrypt twice"),
        ({"Encrypt": "sometimes"}, "encrypt is 'sometimes'"),
    ],
)
def test_an_extra_that_nobody_understands_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, masked: list[str], conn_type: str, extra: dict[str, Any], words: str
) -> None:
    """Case D11: whoever set it believes in it."""
    store(monkeypatch, extra, conn_type=conn_type)
    with pytest.raises(ConfigError) as refused:
        hook().address()
    assert words in str(refused.value)
    assert "pacs_benton_wa" in str(refused.value)


def test_drivers_come_from_the_operators_list(monkeypatch: pytest.MonkeyPatch, masked: list[str]) -> None:
    """Case E3: the list is Airflow's configuration, and no connection can add to it."""
    monkeypatch.setenv("AIRFLOW__PACS__ODBC_DRIVERS", "/opt/a.so, Vendor Driver")
    store(monkeypatch, {"odbc_driver": "/opt/a.so"})
    assert hook().address().allowed_drivers == ("/opt/a.so", "Vendor Driver")
    store(monkeypatch, {"allowed_drivers": "/tmp/evil.so"})
    with pytest.raises(ConfigError, match="unknown option 'allowed_drivers'"):
        hook().address()


def test_the_callers_database_and_application_name_win(
    monkeypatch: pytest.MonkeyPatch, masked: list[str]
) -> None:
    store(monkeypatch, {"application_name": "x"})
    address = hook(schema="PACS_TEST", application_name="pacs/benton_wa/run1").address()
    assert (address.database, address.application_name) == ("PACS_TEST", "pacs/benton_wa/run1")


def test_a_wrong_extra_names_the_connection(monkeypatch: pytest.MonkeyPatch, masked: list[str]) -> None:
    store(monkeypatch, {"encrypt": "maybe"})
    with pytest.raises(ConfigError, match=r"pacs_benton_wa.*encrypt"):
        hook().address()
    store(monkeypatch, conn_type="postgres")
    with pytest.raises(ConfigError, match="postgres"):
        hook().address()


def test_the_environment_stands_in_for_a_connection_that_is_not_stored(
    monkeypatch: pytest.MonkeyPatch, masked: list[str]
) -> None:
    nothing_stored(monkeypatch)
    for part, value in {
        "HOST": "envdb",
        "NAME": "PACS",
        "USER": "u",
        "PASSWORD": SECRET,
        "ENCRYPT": "no",
        "LOGIN_TIMEOUT": "4",
    }.items():
        monkeypatch.setenv(f"PACS_DB_{part}_BENTON_WA_SOURCE", value)
    assert hook().address() == SourceAddress(
        "envdb", None, "PACS", "u", SECRET, encrypt="no", login_timeout=4
    )
    assert PacsHook(pacs_conn_id="other", county="benton_wa").address().host == "envdb"
    assert SECRET in masked
    with pytest.raises(AirflowNotFoundException, match="PACS_DB_HOST_FRANKLIN_WA_SOURCE"):
        PacsHook(pacs_conn_id="pacs_franklin_wa").address()


def test_common_sql_operators_can_use_it(
    monkeypatch: pytest.MonkeyPatch, masked: list[str], opened: list[FakeConnection]
) -> None:
    store(monkeypatch)
    tested = hook()
    assert (tested.placeholder, tested.dialect_name, type(tested.dialect)) == ("?", "mssql", MsSqlDialect)
    assert tested.get_records("SELECT 1", parameters=(1,)) == [(1,)]
    assert tested.get_first("SELECT 1") == (1,)
    assert tested.run("SELECT 1", autocommit=True) is None
    assert opened[0].text == tested.address().connection_string()
    assert [made.autocommit for made in opened] == [False, False, True]
    assert [made.commits for made in opened] == [1, 1, 0]
    with pytest.raises(RetryableError, match="1205"):
        tested.run("BREAK")


def test_the_engine_pools_and_shows_no_secret(
    monkeypatch: pytest.MonkeyPatch,
    masked: list[str],
    caplog: pytest.LogCaptureFixture,
    opened: list[FakeConnection],
) -> None:
    caplog.set_level(logging.DEBUG)
    store(monkeypatch)
    engine = hook().get_sqlalchemy_engine({"pool_size": 2})
    assert (
        SECRET
        not in f"{engine!r} {engine.url!r} {engine.url.render_as_string(hide_password=False)} {caplog.text}"
    )
    assert (engine.dialect.name, engine.dialect.driver, engine.pool._pre_ping) == ("mssql", "pyodbc", True)
    made = engine.pool._creator()  # type: ignore[call-arg]
    assert (made.text, made.autocommit) == (hook().address().connection_string(), False)
    assert hook().sqlalchemy_url.drivername == "mssql+pyodbc"


def test_checking_says_unknown_where_it_may_not_look(
    monkeypatch: pytest.MonkeyPatch, masked: list[str], opened: list[FakeConnection]
) -> None:
    store(monkeypatch)
    answer = hook().check_connection()
    assert (answer["address"], answer["database"], answer["encrypted"], answer["authentication"]) == (
        "db:1433/PACS",
        "PACS",
        "unknown",
        "unknown",
    )
    assert hook().test_connection() == (True, "db:1433/PACS: SQL Server 1, login 1, encryption unknown.")


def test_testing_a_connection_that_fails_says_why(monkeypatch: pytest.MonkeyPatch, masked: list[str]) -> None:
    def connect(text: str, **options: Any) -> None:
        raise pyodbc.InterfaceError(
            "28000",
            "[28000] [Microsoft][ODBC Driver 18 for SQL Server][SQL Server]Login failed for user 'reader'. "
            "(18456) (S)",
        )

    monkeypatch.setattr(sqlserver.pyodbc, "connect", connect)
    nothing_below_the_driver(monkeypatch)
    store(monkeypatch)
    works, text = hook().test_connection()
    assert (works, "PACS-002" in text, "reader" in text, SECRET in text) == (False, True, True, False)
    nothing_stored(monkeypatch)
    assert hook().test_connection()[0] is False
