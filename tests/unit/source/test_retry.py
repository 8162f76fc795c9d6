"""When a read is tried again, how long is waited, and that a driver thread can be interrupted."""

from __future__ import annotations

import gc
import threading
import time
import weakref

import pyodbc
import pytest

from airflow_provider_pacs.sync.runtime.errors import ConfigError, DataError, PacsError, RetryableError
from airflow_provider_pacs.sync.source import sqlserver
from airflow_provider_pacs.sync.source.address import SourceAddress
from airflow_provider_pacs.sync.source.driver_thread import DriverThread
from airflow_provider_pacs.sync.source.errors import classify
from airflow_provider_pacs.sync.source.retry import Retry
from airflow_provider_pacs.sync.source.sqlserver import SqlServerReader, read_datetimeoffset

ADDRESS = SourceAddress("db", 1433, "PACS", "reader", "secret")


def error(number: int, state: str = "42000") -> Exception:
    return pyodbc.Error(
        state,
        f"[{state}] [Microsoft][ODBC Driver 18 for SQL Server][SQL Server]Text. ({number}) (SQLExecDirectW)",
    )


class Attempts:
    """Fails as often as it has errors, then returns 7."""

    def __init__(self, *errors: PacsError) -> None:
        self.errors = list(errors)
        self.waits: list[float] = []
        self.dropped: list[PacsError] = []

    def __call__(self) -> int:
        if self.errors:
            raise self.errors.pop(0)
        return 7

    def run(self, **options: object) -> int:
        return Retry(sleep=self.waits.append, **options).run(self, before_retry=self.dropped.append)  # type: ignore[arg-type]


def test_each_retry_drops_the_connection_first() -> None:
    attempts = Attempts(*(classify(error(1205)) for _ in range(4)))
    assert attempts.run() == 7
    assert len(attempts.waits) == len(attempts.dropped) == 4


def test_the_last_error_is_raised() -> None:
    attempts = Attempts(*(RetryableError(str(number)) for number in range(9)))
    with pytest.raises(RetryableError, match="4"):
        attempts.run()
    assert len(attempts.waits) == 4


@pytest.mark.parametrize(
    "final",
    [ConfigError("x"), DataError("x"), classify(error(18456)), classify(error(208)), classify(error(4060))],
)
def test_what_cannot_help_is_not_tried_again(final: PacsError) -> None:
    attempts = Attempts(final)
    with pytest.raises(type(final)):
        attempts.run()
    assert not attempts.waits


def test_a_database_that_may_be_failing_over_is_tried_twice_more() -> None:
    attempts = Attempts(*(classify(error(4060)) for _ in range(5)))
    with pytest.raises(ConfigError):
        attempts.run(failover=True)
    assert len(attempts.waits) == 2


def test_backoff_is_full_jitter_between_1_and_60_seconds() -> None:
    drawn: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        drawn.append((low, high))
        return low

    retry = Retry(uniform=uniform)
    for attempt in range(1, 9):
        assert retry.delay(attempt, RetryableError("x")) == 1
    assert drawn == [(1.0, high) for high in (2, 4, 8, 16, 32, 60, 60, 60)]
    assert retry.delay(1, classify(error(40501))) == 10


def test_connecting_is_tried_again_and_each_time_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, object]] = []

    def connect(text: str, **options: object) -> None:
        calls.append({"text": text, **options})
        raise error(10054, "08S01")

    monkeypatch.setattr(sqlserver.pyodbc, "connect", connect)
    monkeypatch.setattr(sqlserver, "reach", lambda address: None)
    monkeypatch.setattr(sqlserver, "with_allowed_driver", lambda address: address)
    waits: list[float] = []
    with (
        SqlServerReader(ADDRESS, retry=Retry(sleep=waits.append)) as reader,
        pytest.raises(RetryableError) as caught,
    ):
        reader.query("SELECT 1")
    assert (len(calls), len(waits)) == (5, 4)
    assert calls[0] == {"text": ADDRESS.connection_string(), "autocommit": True, "timeout": 15}
    assert "secret" not in str(caught.value)
    assert "db:1433/PACS" in str(caught.value)


def test_a_lane_hands_over_results_and_errors() -> None:
    driver = DriverThread()
    assert driver.call(lambda: 7) == 7
    assert driver.call(threading.get_ident) == driver.call(threading.get_ident) != threading.get_ident()
    with pytest.raises(KeyError):
        driver.call(lambda: {}["x"])
    driver.stop()
    with pytest.raises(RetryableError, match="cancelled"):
        driver.call(lambda: 7)


def test_a_stopped_driver_thread_does_not_wait_for_the_driver() -> None:
    driver, blocked = DriverThread(), threading.Event()
    threading.Timer(0.1, driver.stop).start()
    started = time.monotonic()
    with pytest.raises(RetryableError, match="cancelled"):
        driver.call(lambda: blocked.wait(30))
    assert time.monotonic() - started < 5
    blocked.set()


def test_datetimeoffset_keeps_seven_digits_and_its_sign() -> None:
    raw = (
        bytes.fromhex("e807 0b00 0300 0100 3b00 3b00".replace(" ", ""))
        + (999_999_900).to_bytes(4, "little")
        + bytes.fromhex("0000e2ff")
    )
    assert read_datetimeoffset(raw) == "2024-11-03 01:59:59.9999999 -00:30"


def test_what_a_failed_call_had_open_is_let_go_at_once() -> None:
    """A connection that a failed call opened must not stay at the source until garbage is collected."""

    class Opened:
        pass

    kept: list[weakref.ref[Opened]] = []

    def fails() -> None:
        opened = Opened()
        kept.append(weakref.ref(opened))
        raise ValueError(str(opened))

    driver = DriverThread()
    gc.disable()
    try:
        try:
            driver.call(fails)
        except ValueError:
            pass
        driver.call(lambda: None)  # the thread has turned to something else
        assert kept[0]() is None
    finally:
        gc.enable()
        driver.stop()
