"""A publish that lost a deadlock is begun again, a few times and with jitter; anything else is not."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors

from airflow_provider_pacs.sync.runtime.errors import PacsError, RetryableError
from airflow_provider_pacs.sync.target.postgres.errors import mapped_errors
from airflow_provider_pacs.sync.target.postgres.retry import ATTEMPTS, LONGEST, SHORTEST, retry_on_deadlock


class Work:
    """Fails with the given errors, then answers."""

    def __init__(self, *failures: psycopg.Error) -> None:
        self.failures = list(failures)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        with mapped_errors():
            if self.failures:
                raise self.failures.pop(0)
        return "done"


@pytest.mark.parametrize("kind", [errors.DeadlockDetected, errors.SerializationFailure])
def test_a_deadlock_is_begun_again(kind: type[psycopg.Error]) -> None:
    work, waits = Work(kind("deadlock"), kind("deadlock")), list[float]()
    assert retry_on_deadlock(work, sleep=waits.append) == "done"
    assert (work.calls, len(waits)) == (3, 2)
    assert all(SHORTEST <= wait <= LONGEST for wait in waits)


def test_it_ends() -> None:
    work, waits = Work(*[errors.DeadlockDetected("deadlock")] * 99), list[float]()
    with pytest.raises(RetryableError):
        retry_on_deadlock(work, sleep=waits.append)
    assert (work.calls, len(waits)) == (ATTEMPTS, ATTEMPTS - 1)


@pytest.mark.parametrize(
    "error", [errors.AdminShutdown("bye"), errors.LockNotAvailable("busy"), errors.UniqueViolation("twice")]
)
def test_what_needs_a_fresh_connection_or_somebodys_help_is_not(error: psycopg.Error) -> None:
    work = Work(error)
    with pytest.raises(PacsError):
        retry_on_deadlock(work, sleep=lambda seconds: pytest.fail("waited"))
    assert work.calls == 1
