"""Where a command finds its two databases, and that no password is printed on the way."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from airflow_provider_pacs.cli import Invocation, main
from airflow_provider_pacs.cli.connections import source_address, target_place
from airflow_provider_pacs.cli.invocation import ConnectionChoice
from airflow_provider_pacs.cli.masking import Secrets
from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.config.stored_connection import stored_connection
from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.source.address import SourceAddress

PASSWORD = "p@ss/w:rd?#[x]&%="
CONFIG = CountyConfig.model_validate({"county": "benton_wa"})
URI = f"mssql://reader:{quote(PASSWORD, safe='')}@sql.example:1434/PACS?encrypt=strict&login_timeout=7"
JSON = {
    "conn_type": "pacs",
    "host": "sql.example",
    "port": 1434,
    "schema": "PACS",
    "login": "reader",
    "password": PASSWORD,
    "extra": {"encrypt": "strict", "login_timeout": 7},
}
WANTED = SourceAddress("sql.example", 1434, "PACS", "reader", PASSWORD, encrypt="strict", login_timeout=7)


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PACS_TARGET_URL", "AIRFLOW_CONN_PACS_BENTON_WA", "AIRFLOW_CONN_TERRAFUSION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("PACS_DB_HOST_BENTON_WA_SOURCE", raising=False)


def asked(source: ConnectionChoice | None = None, target: ConnectionChoice | None = None) -> Invocation:
    none = ConnectionChoice()
    return Invocation(county="benton_wa", source=source or none, target=target or none)


@pytest.mark.parametrize(
    "text",
    [
        URI,
        URI.replace("mssql://", "pacs://"),
        json.dumps(JSON),
        json.dumps({**JSON, "port": "1434", "extra": json.dumps(JSON["extra"])}),
        f"pacs://reader:{quote(PASSWORD, safe='')}@sql.example:1434/PACS?__extra__="
        + quote(json.dumps(JSON["extra"]), safe=""),
    ],
    ids=["uri", "pacs uri", "json", "json with text", "uri with __extra__"],
)
@pytest.mark.parametrize("by_id", [True, False], ids=["--source-conn-id", "the county's connection"])
def test_a_source_is_read_as_airflow_writes_it(
    text: str, by_id: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_OTHER" if by_id else "AIRFLOW_CONN_PACS_BENTON_WA", text)
    choice = ConnectionChoice(conn_id="other" if by_id else None)
    assert source_address(asked(choice), "benton_wa", "pacs_benton_wa") == WANTED


def test_airflow_reads_the_same_from_the_same_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line and the hook must not mean two databases by one connection."""
    from airflow_provider_pacs.hooks.pacs import PacsHook

    for text in (URI, json.dumps(JSON)):
        monkeypatch.setenv("AIRFLOW_CONN_PACS_BENTON_WA", text)
        assert PacsHook("pacs_benton_wa").address() == WANTED
        assert source_address(asked(), "benton_wa", "pacs_benton_wa") == WANTED


@pytest.mark.parametrize(
    "text",
    [
        f"postgres://writer:{quote(PASSWORD, safe='')}@pg.example:5433/terra?sslmode=verify-full&other=1",
        json.dumps(
            {
                "conn_type": "postgres", "host": "pg.example", "port": 5433, "schema": "terra",
                "login": "writer", "password": PASSWORD, "extra": {"sslmode": "verify-full", "other": 1},
            }
        ),
    ],
    ids=["uri", "json"],
)  # fmt: skip
def test_a_target_is_read_as_airflow_writes_it(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_TERRAFUSION", text)
    assert target_place(asked(), CONFIG) == {
        "host": "pg.example",
        "port": "5433",
        "dbname": "terra",
        "user": "writer",
        "password": PASSWORD,
        "sslmode": "verify-full",
    }


def test_options_come_before_connections_and_connections_before_variables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for part, value in {"HOST": "h", "NAME": "n", "USER": "u", "PASSWORD": "p"}.items():
        monkeypatch.setenv(f"PACS_DB_{part}_BENTON_WA_SOURCE", value)

    def host(choice: ConnectionChoice | None = None) -> str:
        return source_address(asked(choice), "benton_wa", "pacs_benton_wa").host

    assert host() == "h"
    monkeypatch.setenv("AIRFLOW_CONN_PACS_BENTON_WA", URI)
    assert host() == "sql.example"
    assert host(ConnectionChoice(url="mssql://u:p@flag/db")) == "flag"

    monkeypatch.setenv("AIRFLOW_CONN_TERRAFUSION", "postgres://u@h/connection")
    assert target_place(asked(), CONFIG) == {"host": "h", "user": "u", "dbname": "connection"}
    monkeypatch.setenv("PACS_TARGET_URL", "postgresql://u@h/variable")
    assert target_place(asked(), CONFIG) == "postgresql://u@h/variable"
    flag = ConnectionChoice(url="postgresql://u@h/flag")
    assert target_place(asked(target=flag), CONFIG) == "postgresql://u@h/flag"


def test_a_url_comes_from_a_file_or_from_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A password is never needed on the command line, where every user of the machine can see it."""
    file = tmp_path / "source.url"
    file.write_text(f"{URI}\n", "utf-8")
    read = source_address(asked(ConnectionChoice(url_file=str(file))), "benton_wa", "x")
    assert read == WANTED
    monkeypatch.setattr(sys, "stdin", io.StringIO("postgresql://u:secret@h/db\n"))
    target = ConnectionChoice(url_file="-")
    assert target_place(asked(target=target), CONFIG) == "postgresql://u:secret@h/db"


@pytest.mark.parametrize(("text", "says"), [("", "is empty"), ("a\nb", "more than one line"), (None, "read")])
def test_a_file_that_is_no_url_is_named(text: str | None, says: str, tmp_path: Path) -> None:
    file = tmp_path / "url"
    if text is not None:
        file.write_text(text, "utf-8")
    with pytest.raises(ConfigError, match=says) as caught:
        target_place(asked(target=ConnectionChoice(url_file=str(file))), CONFIG)
    assert str(file) in caught.value.message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{not json", "not valid JSON"),
        ('{"conn_type": "pacs", "extra": "[1]"}', "no mapping"),
        ('{"conn_type": "pacs", "port": "x"}', "no number"),
        ("nothing", "not a URI"),
        ("mssql://u:se@cret@h/db", "not a URI"),
        ('{"conn_type": "pacs", "host": "h", "extra": {"Encript": "strict"}}', "unknown option 'Encript'"),
        ('{"conn_type": "mysql", "host": "h"}', "has type 'mysql'"),
        ('{"conn_type": "pacs", "host": "h", "schema": "d", "login": "u"}', "no password"),
    ],
)
def test_a_connection_that_is_none_is_named_without_its_values(
    text: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_PACS_BENTON_WA", text)
    with pytest.raises(ConfigError, match=says) as caught:
        source_address(asked(), "benton_wa", "pacs_benton_wa")
    assert "se@cret" not in str(caught.value)


def test_a_missing_connection_says_which_variable_it_would_be() -> None:
    with pytest.raises(ConfigError, match="'nowhere'") as caught:
        source_address(asked(ConnectionChoice(conn_id="nowhere")), "benton_wa", "x")
    assert "AIRFLOW_CONN_NOWHERE" in caught.value.remedy
    with pytest.raises(ConfigError, match="no source given") as caught:
        source_address(asked(), "benton_wa", "pacs_benton_wa")
    assert "AIRFLOW_CONN_PACS_BENTON_WA" in caught.value.remedy


HOSTILE = [
    "secret/part",
    "secret@part",
    "secret?part",
    "secret#part",
    "secret[part",
    "secret]part",
    "secret%zzpart",
    "secret part",
    "a/secret@part:b",
    "secret\\part'\"",
]


@pytest.mark.parametrize("password", HOSTILE)
@pytest.mark.parametrize(
    "form", ["postgresql://u:{}@127.0.0.1:1/db", "postgresql://u:{}@127.0.0.1:1,127.0.0.1:2/db"]
)
@pytest.mark.parametrize("spelling", ["option", "file", "variable", "json"])
def test_no_part_of_a_target_password_is_printed(
    password: str,
    form: str,
    spelling: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Case E8: a password that is not percent-encoded moves its parts to host, port and database, which
    libpq's messages quote.
    """
    url = form.format(password)
    words = ["audit", "benton_wa", "--counties", str(tmp_path)]
    (tmp_path / "benton_wa.yaml").write_text("county: benton_wa\n", "utf-8")
    if spelling == "variable":
        monkeypatch.setenv("PACS_TARGET_URL", url)
    elif spelling == "file":
        (tmp_path / "url").write_text(url, "utf-8")
        words += ["--target-url-file", str(tmp_path / "url")]
    else:
        words += ["--target-url", url, *(["--json"] if spelling == "json" else [])]
    assert main(words) in (1, 2)
    said = capfd.readouterr()
    assert "PACS-0" in said.out + said.err
    for part in ("secret", "part"):
        assert part not in said.out + said.err


@pytest.mark.parametrize("password", HOSTILE)
def test_no_part_of_a_source_password_is_printed(
    password: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Case E8, the other end: what can't be read as a URL is refused without being quoted."""
    (tmp_path / "benton_wa.yaml").write_text("county: benton_wa\n", "utf-8")
    url = f"mssql://u:{password}@127.0.0.1:1/PACS?encrypt=perhaps"
    assert main(["preview", "benton_wa", "--counties", str(tmp_path), "--source-url", url]) == 2
    said = capfd.readouterr()
    for part in ("secret", "part"):
        assert part not in said.out + said.err


@pytest.mark.parametrize("password", [text for text in HOSTILE if "\\" not in text])
def test_a_target_that_must_be_encoded_is_refused_before_libpq_sees_it(password: str) -> None:
    """Case E8: what libpq never gets, it can't quote; the message says which characters to encode."""
    with pytest.raises(ConfigError, match="not a PostgreSQL URL") as caught:
        target_place(asked(target=ConnectionChoice(url=f"postgresql://u:{password}@h/db")), CONFIG)
    assert "%40" in caught.value.remedy


def test_an_unknown_port_is_not_quoted(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Case E8: where the host was forgotten, the password stands where the port should."""
    (tmp_path / "benton_wa.yaml").write_text("county: benton_wa\n", "utf-8")
    words = ["audit", "benton_wa", "--counties", str(tmp_path), "--target-url", "postgresql://u:secret/db"]
    assert main(words) == 2
    assert "secret" not in capfd.readouterr().err


def test_every_form_of_a_password_is_masked() -> None:
    secrets = Secrets()
    secrets.add("Wr0ng}Sec@ret")
    secrets.add_url("postgresql://u:in/the@middle@h/db?password=in%20query")
    for text in ("Wr0ng}Sec@ret", "Wr0ng}}Sec@ret", "Wr0ng%7DSec%40ret", "middle", "in query", "in%20query"):
        assert secrets.mask(f"a {text} b") == "a *** b"
    assert secrets.mask("host h, database db") == "host h, database db"


def test_a_multi_host_url_and_a_socket_stay_as_they_are() -> None:
    """Case D8 keeps its form: several hosts, each with its port."""
    for url in (
        "postgresql://u:pw@h1:5432,h2:5432/db?target_session_attrs=read-write",
        "postgresql:///db?host=/var/run/postgresql",
        "postgresql://u@[::1]:5432/db",
        "host=/tmp dbname=db user=u",
    ):
        assert target_place(asked(target=ConnectionChoice(url=url)), CONFIG) == url


def test_repr_shows_no_password() -> None:
    stored = stored_connection("c", {"AIRFLOW_CONN_C": json.dumps(JSON)})
    assert stored is not None
    assert stored.password == PASSWORD
    assert PASSWORD not in repr(stored)
