"""A connection of type `postgres` -> libpq keywords, refused before anything is sent where it is too weak."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from airflow.sdk import Connection

from airflow_provider_pacs.hooks import target as hook
from airflow_provider_pacs.sync.runtime.errors import ConfigError


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """What would be connected to."""
    connections: list[dict[str, str]] = []
    monkeypatch.setattr("airflow_provider_pacs.sync.target.postgres.PostgresTarget", connections.append)
    return connections


def stored(monkeypatch: pytest.MonkeyPatch, extra: str, host: str = "db.example") -> None:
    connection: Any = Connection(conn_id="t", conn_type="postgres", host=host, password="s3cr3t", extra=extra)
    monkeypatch.setattr(hook.BaseHook, "get_connection", lambda conn_id: connection)


def test_strict_refuses_before_anything_is_sent(
    opened: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case E2: `target.tls: strict` and a connection that somebody made weaker."""
    stored(monkeypatch, '{"sslmode": "require"}')
    with pytest.raises(ConfigError, match=r"benton_wa: target\.tls is strict.*sslmode=require"):
        hook.open_target("t", "strict", "benton_wa")
    assert opened == []
    stored(monkeypatch, '{"sslmode": "disable"}', host="/run/postgresql")
    hook.open_target("t", "strict", "benton_wa")
    assert len(opened) == 1


def test_a_weaker_connection_and_a_misspelt_extra_are_told(
    opened: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Cases E2 and D11: named in the log; the extra's value is not."""
    caplog.set_level(logging.WARNING)
    stored(monkeypatch, '{"sslmode": "prefer", "ssl_mode": "verify-full"}')
    hook.open_target("t")
    assert "sslmode=prefer" in caplog.text
    assert "extras that nobody reads: ssl_mode" in caplog.text
    assert "s3cr3t" not in caplog.text
    assert [params["sslmode"] for params in opened] == ["prefer"]
