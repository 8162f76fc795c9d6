"""What keeps a server from being reached, in seconds and by name."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import UTC, datetime

import pyodbc
import pytest

from airflow_provider_pacs.sync.preflight.connection import check_connection
from airflow_provider_pacs.sync.preflight.context import PreflightContext
from airflow_provider_pacs.sync.runtime.errors import ConfigError, PacsError, RetryableError
from airflow_provider_pacs.sync.source import reach as module
from airflow_provider_pacs.sync.source.address import SourceAddress
from airflow_provider_pacs.sync.source.errors import DriverError, UnknownHostError, classify
from airflow_provider_pacs.sync.source.reach import UnreachableError, reach
from airflow_provider_pacs.sync.source.retry import Retry
from airflow_provider_pacs.sync.source.sqlserver import SqlServerReader


def at(host: str, port: int | None) -> SourceAddress:
    return SourceAddress(host, port, "PACS", "reader", "secret", login_timeout=1)


@pytest.fixture
def closed() -> Iterator[int]:
    """A port on which nobody listens, and which nobody else gets meanwhile."""
    with socket.socket() as kept:
        kept.bind(("127.0.0.1", 0))
        yield kept.getsockname()[1]


def test_a_closed_port_is_said(closed: int) -> None:
    """Case D15: not "Login timeout expired"."""
    with pytest.raises(UnreachableError, match=f"DNS knows the host, but port {closed} is closed") as caught:
        reach(at("127.0.0.1", closed))
    assert caught.value.code == "PACS-001"
    assert "listens" in caught.value.remedy


def test_an_open_port_is_enough() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        reach(at("127.0.0.1", listening.getsockname()[1]))


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        (socket.EAI_NONAME, ConfigError, "DNS knows no host 'sql.county.invalid'"),
        (socket.EAI_AGAIN, UnreachableError, "DNS gave no answer"),
    ],
)
def test_a_name_is_unknown_or_dns_is_silent(
    monkeypatch: pytest.MonkeyPatch, number: int, kind: type[PacsError], words: str
) -> None:
    """Case D15: a name that does not exist is a setting to correct; a DNS without an answer may answer
    later.
    """

    def lookup(*args: object, **options: object) -> None:
        raise socket.gaierror(number, "text")

    monkeypatch.setattr(module.socket, "getaddrinfo", lookup)
    for address in (at("sql.county.invalid", 1433), at("sql.county.invalid\\PACS", None)):
        with pytest.raises(kind, match=words):
            reach(address)


def test_a_port_that_swallows_packets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Case D15: the firewall that drops is distinguished from the port that is closed."""

    class Silent(socket.socket):
        def connect(self, place: object) -> None:
            raise TimeoutError("timed out")

    monkeypatch.setattr(module.socket, "socket", Silent)
    with pytest.raises(UnreachableError, match="does not answer within 1 s") as caught:
        reach(at("127.0.0.1", 1433))
    assert "firewall" in caught.value.remedy


def test_a_read_of_what_can_not_be_reached_ends_after_two_attempts(closed: int) -> None:
    """Case D15: seconds, not the driver's time-out five times over."""
    waits: list[float] = []
    retry = Retry(sleep=waits.append)
    with SqlServerReader(at("127.0.0.1", closed), retry=retry) as reader:
        with pytest.raises(RetryableError, match="is closed"):
            reader.query("SELECT 1")
        assert waits == [1.0]
        with pytest.raises(RetryableError, match="is closed"):
            list(reader.stream("SELECT 1"))
        assert waits == [1.0, 1.0]
    assert retry.delay(1, UnreachableError("x")) == 1.0


class Refusing:
    """A source whose connection fails with one error."""

    address_text = "sql.county.invalid:1433/PACS"

    def __init__(self, error: PacsError) -> None:
        self.error = error

    def facts(self) -> None:
        raise self.error


@pytest.mark.parametrize(
    ("error", "finding"),
    [
        (UnknownHostError("DNS knows no host"), "reachability.source"),
        (UnreachableError("port 1433 is closed"), "reachability.source"),
        (DriverError("no such driver"), "driver.source"),
        (
            classify(pyodbc.OperationalError("08001", "[08001] SSL routines::certificate verify failed (1)")),
            "tls.source",
        ),
        (classify(pyodbc.Error("IM002", "[IM002] [unixODBC] Data source name not found")), "driver.source"),
        (ConfigError("Login failed", code="PACS-002"), "login.source"),
    ],
)
def test_a_check_says_how_far_the_connection_came(error: PacsError, finding: str) -> None:
    """Case D15: which of DNS, port, driver, TLS and login it was."""
    source = Refusing(error)
    context = PreflightContext(None, source, error, False, datetime.now(UTC))  # type: ignore[arg-type]
    findings, refused = check_connection(context)
    assert refused is error
    assert [each.id for each in findings if each.state == "fail"] == [finding]
    reached = {each.id: each.state for each in findings}.get("reachability.source")
    assert reached == ("fail" if finding == "reachability.source" else None if "driver" in finding else "ok")
