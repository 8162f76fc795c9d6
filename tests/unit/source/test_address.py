"""SourceAddress: connection strings for both drivers, hostile values, URL, environment, secrets."""

from __future__ import annotations

import dataclasses
import pickle
from urllib.parse import quote as percent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.source.address import OPTIONS, SourceAddress, read_options

DRIVER_17 = "ODBC Driver 17 for SQL Server"
SECRET = "Tr0ub4dor&3"
HOSTILE = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=40) | st.text(
    "{}[];='\" \\Pwd", min_size=1, max_size=40
)


def address(**options: object) -> SourceAddress:
    address_options: dict[str, object] = {
        "host": "pacs.benton.local",
        "port": 1433,
        "database": "PACS",
        "user": "reader",
        "password": SECRET,
    }
    return SourceAddress(**{**address_options, **options})  # type: ignore[arg-type]


def parse_odbc(text: str) -> dict[str, str]:
    """The grammar of SQLDriverConnect, written anew: keyword=value or keyword={value with }} for }}; a
    keyword twice is an error here.
    """
    pairs: dict[str, str] = {}
    at = 0
    while at < len(text):
        keyword, at = text[at : text.index("=", at)], text.index("=", at) + 1
        assert text[at] == "{", "every value is in braces"
        value, at = "", at + 1
        while True:
            end = text.index("}", at)
            value += text[at:end]
            at = end + 1
            if text[at : at + 1] != "}":
                break
            value, at = value + "}", at + 1
        assert text[at] == ";"
        at += 1
        assert keyword.lower() not in {known.lower() for known in pairs}
        pairs[keyword] = value
    return pairs


def test_everything_that_protects_is_said_even_by_default() -> None:
    assert parse_odbc(address().connection_string()) == {
        "Driver": "ODBC Driver 18 for SQL Server",
        "Server": "tcp:pacs.benton.local,1433",
        "Database": "PACS",
        "Encrypt": "yes",
        "TrustServerCertificate": "no",
        "APP": "airflow-provider-pacs",
        "ConnectRetryCount": "0",
        "UID": "reader",
        "PWD": SECRET,
    }


@pytest.mark.parametrize(
    "driver", ["ODBC Driver 18 for SQL Server", DRIVER_17, "/opt/lib/libmsodbcsql-18.6.so.2.1", "FreeTDS"]
)
@pytest.mark.parametrize("encrypt", ["yes", "no"])
def test_encryption_is_explicit_for_every_driver(driver: str, encrypt: str) -> None:
    words = parse_odbc(address(odbc_driver=driver, encrypt=encrypt).connection_string())
    assert (words["Encrypt"], words["TrustServerCertificate"]) == (encrypt, "no")


def test_driver_18_knows_all_options() -> None:
    words = parse_odbc(
        address(
            encrypt="strict",
            server_certificate="/etc/ssl/pacs.pem",
            host_name_in_certificate="sql01.benton.local",
            application_intent="ReadOnly",
            multi_subnet_failover=True,
            application_name="nightly",
        ).connection_string()
    )
    expected = {
        "Encrypt": "strict",
        "ServerCertificate": "/etc/ssl/pacs.pem",
        "HostNameInCertificate": "sql01.benton.local",
        "ApplicationIntent": "ReadOnly",
        "MultiSubnetFailover": "Yes",
        "APP": "nightly",
    }
    assert expected.items() <= words.items()


def test_trusted_connection_sends_no_login() -> None:
    words = parse_odbc(address(trusted_connection=True, user=None, password=None).connection_string())
    assert words["Trusted_Connection"] == "yes"
    assert not {"UID", "PWD", "Authentication"} & set(words)


@pytest.mark.parametrize(
    ("authentication", "user", "password", "sent"),
    [
        ("ActiveDirectoryMsi", None, None, set()),
        ("ActiveDirectoryMsi", "6f1c-object-id", None, {"UID"}),
        ("ActiveDirectoryIntegrated", None, None, set()),
        ("ActiveDirectoryServicePrincipal", "client-id", "client-secret", {"UID", "PWD"}),
        ("ActiveDirectoryPassword", "a@b.gov", "p", {"UID", "PWD"}),
        ("SqlPassword", "reader", "p", {"UID", "PWD"}),
    ],
)
@pytest.mark.parametrize("driver", ["ODBC Driver 18 for SQL Server", DRIVER_17])
def test_entra_logins(
    authentication: str, user: str | None, password: str | None, sent: set[str], driver: str
) -> None:
    words = parse_odbc(
        address(
            authentication=authentication, user=user, password=password, odbc_driver=driver
        ).connection_string()
    )
    assert words["Authentication"] == authentication
    assert {"UID", "PWD"} & set(words) == sent


@pytest.mark.parametrize(
    ("host", "port", "server"),
    [
        ("db", None, "tcp:db,1433"),
        ("db", 14330, "tcp:db,14330"),
        ("tcp:db", 1433, "tcp:db,1433"),
        ("db\\PACS", None, "tcp:db\\PACS"),
        ("db\\PACS", 5000, "tcp:db\\PACS,5000"),
        ("::1", 1433, "tcp:::1,1433"),
    ],
)
def test_server(host: str, port: int | None, server: str) -> None:
    assert parse_odbc(address(host=host, port=port).connection_string())["Server"] == server


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"host": ""}, "host"),
        ({"database": ""}, "database"),
        ({"host": "db,1433"}, "db,1433"),
        ({"host": "db;Encrypt=no"}, "not a host name"),
        ({"port": 0}, "0"),
        ({"port": 70000}, "70000"),
        ({"user": None}, "no user"),
        ({"password": ""}, "no password"),
        ({"encrypt": "maybe"}, "encrypt"),
        ({"odbc_driver": DRIVER_17, "encrypt": "strict"}, "encrypt=strict"),
        (
            {"odbc_driver": "/opt/libmsodbcsql-17.10.so", "host_name_in_certificate": "x"},
            "host_name_in_certificate",
        ),
        ({"server_certificate": "/x.pem"}, "server_certificate"),
        ({"encrypt": "strict", "trust_server_certificate": True}, "strict"),
        ({"host_name_in_certificate": "x", "trust_server_certificate": True}, "host_name_in_certificate"),
        ({"application_intent": "readonly"}, "application_intent"),
        ({"isolation_level": "READ UNCOMMITTED"}, "isolation_level"),
        ({"isolation_level": "SNAPSHOT; DROP TABLE x"}, "isolation_level"),
        ({"authentication": "ActiveDirectoryInteractive"}, "authentication"),
        ({"authentication": "ActiveDirectoryMsi", "trusted_connection": True}, "trusted_connection"),
        ({"login_timeout": -1}, "login_timeout"),
        ({"application_name": "x" * 129}, "application_name"),
        ({"password": "a\nb"}, "password"),
        ({"database": "a\0b"}, "database"),
    ],
)
def test_what_cannot_work_is_refused_with_a_remedy(options: dict[str, object], names: str) -> None:
    with pytest.raises(ConfigError) as caught:
        address(**options)
    assert names in caught.value.message
    assert caught.value.remedy
    assert SECRET not in str(caught.value)


@given(password=HOSTILE, user=HOSTILE, database=HOSTILE, name=HOSTILE)
def test_no_value_can_bring_in_a_keyword(password: str, user: str, database: str, name: str) -> None:
    words = parse_odbc(
        address(password=password, user=user, database=database, application_name=name).connection_string()
    )
    assert (words["PWD"], words["UID"], words["Database"], words["APP"]) == (password, user, database, name)
    assert (words["Encrypt"], words["TrustServerCertificate"], len(words)) == ("yes", "no", 9)


@settings(deadline=None)
@given(password=HOSTILE)
def test_sqlalchemy_hands_the_same_string_to_the_driver(password: str) -> None:
    source = address(password=password + "+%41 ")
    url = source.sqlalchemy_url()
    (text,), _ = url.get_dialect()().create_connect_args(url)
    assert text.startswith(source.connection_string().rstrip(";"))


@given(user=HOSTILE, password=HOSTILE, database=HOSTILE)
def test_a_url_carries_every_value(user: str, password: str, database: str) -> None:
    url = f"mssql://{percent(user, safe='')}:{percent(password, safe='')}@db%5CPACS:1444/{percent(database, safe='')}?encrypt=no&login_timeout=3"
    assert SourceAddress.from_url(url) == SourceAddress(
        "db\\PACS", 1444, database, user, password, encrypt="no", login_timeout=3
    )


def test_a_url_takes_every_option() -> None:
    source = SourceAddress.from_url(
        "mssql+pyodbc://[::1]:1433/PACS?trusted_connection=yes&trust_server_certificate=1&multi_subnet_failover=on"
        "&application_intent=ReadOnly&isolation_level=read_committed&query_timeout=600&odbc_driver=ODBC+Driver+17+for+SQL+Server&application_name=x"
    )
    assert (source.host, source.text) == ("::1", "::1:1433/PACS")
    assert (source.trusted_connection, source.trust_server_certificate, source.multi_subnet_failover) == (
        True,
        True,
        True,
    )
    assert (source.application_intent, source.isolation_level, source.query_timeout) == (
        "ReadOnly",
        "READ COMMITTED",
        600,
    )
    assert source.driver_version == 17


def test_an_unknown_option_is_named_with_the_known_ones() -> None:
    with pytest.raises(ConfigError) as caught:
        SourceAddress.from_url(f"mssql://u:{SECRET}@h/d?encyrpt=yes")
    assert "encyrpt" in caught.value.message
    assert all(option in caught.value.remedy for option in OPTIONS)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "part", ["zq/zq", "12/zq", "zq?zq", "12?zq&x", "zq#zq", "12#zq", "zq:zq", "zq@zq", "[zq", "zq zq", "zq]"]
)
@pytest.mark.parametrize(
    "tail", ["@h:1433/d?encrypt=perhaps", "@h:1433/d?nope=1", "@h:99999/d", "@h/", "@/d", "@h,1/d"]
)
def test_a_broken_url_never_shows_the_password(part: str, tail: str) -> None:
    with pytest.raises(ConfigError) as caught:
        SourceAddress.from_url(f"mssql://user:{part}{tail}")
    shown = (
        f"{caught.value} {caught.value.__cause__} "
        f"{caught.value.__context__ if not caught.value.__suppress_context__ else ''}"
    )
    assert "zq" not in shown


@pytest.mark.parametrize(
    "url",
    ["", "PACS", "postgresql://u:p@h/d", "mssql:///", "mssql://h", "mssql://u:p@h/d?encrypt=yes&encrypt=no"],
)
def test_what_is_no_source_url(url: str) -> None:
    with pytest.raises(ConfigError):
        SourceAddress.from_url(url)


ENVIRON = {
    "PACS_DB_HOST_BENTON_WA_SOURCE": "db",
    "PACS_DB_PORT_BENTON_WA_SOURCE": "14330",
    "PACS_DB_NAME_BENTON_WA_SOURCE": "PACS",
    "PACS_DB_USER_BENTON_WA_SOURCE": "reader",
    "PACS_DB_PASSWORD_BENTON_WA_SOURCE": SECRET,
}


def test_the_environment_of_a_county() -> None:
    expected = SourceAddress("db", 14330, "PACS", "reader", SECRET)
    assert SourceAddress.from_environment("benton_wa", ENVIRON) == expected
    assert SourceAddress.from_environment("Benton-WA", ENVIRON) == expected
    assert SourceAddress.from_environment("franklin_wa", ENVIRON) is None
    strict = SourceAddress.from_environment(
        "benton_wa", {**ENVIRON, "PACS_DB_ENCRYPT_BENTON_WA_SOURCE": "strict"}
    )
    assert strict == dataclasses.replace(expected, encrypt="strict")


def test_missing_variables_are_all_named() -> None:
    with pytest.raises(ConfigError) as caught:
        SourceAddress.from_environment(
            "benton_wa", {"PACS_DB_HOST_BENTON_WA_SOURCE": "db", "PACS_DB_PASSWORD_BENTON_WA_SOURCE": SECRET}
        )
    assert "PACS_DB_NAME_BENTON_WA_SOURCE, PACS_DB_USER_BENTON_WA_SOURCE" in caught.value.message
    assert SECRET not in str(caught.value)
    with pytest.raises(ConfigError, match="PACS_DB_PORT_BENTON_WA_SOURCE"):
        SourceAddress.from_environment("benton_wa", {**ENVIRON, "PACS_DB_PORT_BENTON_WA_SOURCE": "abc"})


@pytest.mark.parametrize(
    ("name", "value"),
    [("trust_server_certificate", "perhaps"), ("login_timeout", "3s"), ("query_timeout", "-1")],
)
def test_an_option_of_the_wrong_kind_is_named(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=name):
        read_options({name: value})


def test_json_values_of_extras_are_read() -> None:
    raw = {
        "trust_server_certificate": True,
        "multi_subnet_failover": False,
        "login_timeout": 7,
        "encrypt": True,
        "isolation_level": "",
        "x": {},
    }
    assert read_options(raw) == {
        "trust_server_certificate": True,
        "multi_subnet_failover": False,
        "login_timeout": 7,
        "encrypt": "yes",
    }


def test_the_password_is_never_shown() -> None:
    source = address()
    assert SECRET not in f"{source!r} {source} {source.text}"
    assert source.text == "pacs.benton.local:1433/PACS"
    assert pickle.loads(pickle.dumps(source)) == source


@pytest.mark.parametrize(
    ("spelled", "option", "value"),
    [
        ("Encrypt=Mandatory", "encrypt", "yes"),
        ("Encrypt=optional", "encrypt", "no"),
        ("encrypt=STRICT", "encrypt", "strict"),
        ("TrustServerCertificate=yes", "trust_server_certificate", True),
        ("ApplicationIntent=READONLY", "application_intent", "ReadOnly"),
    ],
)
def test_a_url_in_odbcs_spelling_means_the_same(spelled: str, option: str, value: object) -> None:
    """Case D11."""
    assert getattr(SourceAddress.from_url(f"mssql://u:p@h/d?{spelled}"), option) == value


def test_an_option_in_two_spellings_is_refused() -> None:
    """Case D11: one of them would win in silence."""
    with pytest.raises(ConfigError, match="names the option encrypt twice"):
        SourceAddress.from_url("mssql://u:p@h/d?encrypt=strict&Encrypt=no")


def test_a_variable_that_sets_no_option_is_refused() -> None:
    """Case D11: the environment's names are no safer from slips than a connection's."""
    with pytest.raises(ConfigError, match="PACS_DB_ENCRYPTION_BENTON_WA_SOURCE sets no option"):
        SourceAddress.from_environment(
            "benton_wa", {**ENVIRON, "PACS_DB_ENCRYPTION_BENTON_WA_SOURCE": "strict"}
        )
    others = {"PACS_DB_HOST_NEW_BENTON_WA_SOURCE": "x", "PACS_DB_ENCRYPTION_OTHER_SOURCE": "x"}
    assert SourceAddress.from_environment("benton_wa", {**ENVIRON, **others}) is not None


def test_nothing_outside_can_allow_a_driver() -> None:
    """Case E3."""
    assert "allowed_drivers" not in OPTIONS
    with pytest.raises(ConfigError, match="unknown option 'allowed_drivers'"):
        SourceAddress.from_url("mssql://u:p@h/d?allowed_drivers=/tmp/evil.so")
