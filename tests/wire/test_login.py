"""Microsoft's driver logs in through TLS, and refuses what it must refuse."""

from __future__ import annotations

import datetime as dt
import logging
import socket

import pyodbc
import pytest

from airflow_provider_pacs.sandbox.wire.certificates import Certificate, make_authority, make_certificate
from airflow_provider_pacs.sandbox.wire.serve import SandboxServer
from tests.wire.scripted import AUTHORITY, DIRECTORY, PASSWORD, ScriptedEngine, connect


def test_connects_with_full_verification(server: SandboxServer) -> None:
    assert connect(server.port).execute("SELECT 1").fetchval() == 1
    assert connect(server.port, Server=f"localhost,{server.port}").execute("SELECT 1").fetchval() == 1


def test_login_only_encryption(server: SandboxServer) -> None:
    assert connect(server.port, Encrypt="no").execute("SELECT 1").fetchval() == 1


def test_tds_8_strict(server: SandboxServer) -> None:
    assert (
        connect(server.port, Encrypt="strict").execute("SELECT TOP 20000 numbers").fetchall()[-1][1]
        == "19999"
    )


def test_clear_text_server(engine: ScriptedEngine) -> None:
    with SandboxServer(engine) as clear:
        assert connect(clear.port, Encrypt="no").execute("SELECT 1").fetchval() == 1
        with pytest.raises(pyodbc.OperationalError):
            connect(clear.port)


@pytest.mark.parametrize(
    ("certificate", "reason"),
    [
        (make_certificate(None), "self-signed"),
        (make_certificate(make_authority("Another CA")), "unable to get local issuer"),
        (make_certificate(AUTHORITY, names=("pacs.example.org",)), "name|mismatch"),
        (
            make_certificate(AUTHORITY, days=30, valid_from=dt.datetime.now(dt.UTC) - dt.timedelta(days=60)),
            "expired",
        ),
    ],
    ids=["self-signed", "untrusted", "wrong name", "expired"],
)
def test_bad_certificates_are_refused(engine: ScriptedEngine, certificate: Certificate, reason: str) -> None:
    with SandboxServer(engine, certificate=certificate) as bad:
        with pytest.raises(pyodbc.Error, match=reason) as refused:
            connect(bad.port, Server=f"localhost,{bad.port}")
        assert refused.value.args[0] == "08001"
        assert connect(bad.port, TrustServerCertificate="yes").execute("SELECT 1").fetchval() == 1
    assert len(engine.sessions) == 1


def test_wrong_password(server: SandboxServer) -> None:
    with pytest.raises(pyodbc.InterfaceError, match=r"18456") as refused:
        connect(server.port, PWD="wrong")
    assert refused.value.args[0] == "28000"


def test_missing_database(server: SandboxServer) -> None:
    with pytest.raises(pyodbc.Error, match=r"4060"):
        connect(server.port, Database="nowhere")


def test_password_is_never_logged(server: SandboxServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    connect(server.port).execute("SELECT 1")
    with pytest.raises(pyodbc.Error):
        connect(server.port, PWD="an0therSecret")
    assert "login of 'sa'" in caplog.text
    assert PASSWORD not in caplog.text
    assert "an0therSecret" not in caplog.text


def test_port_can_be_probed(server: SandboxServer) -> None:
    socket.create_connection(("127.0.0.1", server.port)).close()
    assert connect(server.port).execute("SELECT 1").fetchval() == 1


def test_key_is_private() -> None:
    _, key = AUTHORITY.write(DIRECTORY, "private")
    assert key.stat().st_mode & 0o077 == 0
    assert "PRIVATE" not in repr(AUTHORITY)
    assert Certificate.read(DIRECTORY, "private") == AUTHORITY
