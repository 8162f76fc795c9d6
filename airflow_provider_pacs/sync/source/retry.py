"""When to try a read again: an attempt's error comes in, the seconds to wait (or the error, when it was the
last) go out.

Exponential backoff with full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter"), 1 to 60 s;
every attempt has a fresh connection. Tenacity does the loop.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from tenacity import RetryCallState, Retrying, stop_after_attempt

from airflow_provider_pacs.sync.runtime.errors import ConfigError, PacsError, RetryableError
from airflow_provider_pacs.sync.source.errors import THROTTLED, read_report
from airflow_provider_pacs.sync.source.reach import UnreachableError

T = TypeVar("T")
SHORTEST, LONGEST = 1.0, 60.0
SHORTEST_THROTTLED = 10.0
"""Azure SQL asks for at least 10 s after error 40501."""
FAILOVER_TRIES = 2
"""How often error 4060 (cannot open database) is tried again where the database may be failing over."""

UNREACHABLE_TRIES = 2
"""How often a server whose port is closed is asked: a service that starts again is back in a moment, any
other absence is for the task's own retries, minutes apart.
"""


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and how long.

    Attributes:
        attempts: all attempts, the first included.
        failover: the server is Azure SQL or an availability group, where 4060 can pass.
        sleep: waits; replaced in tests.
        uniform: draws between two bounds; replaced in tests.
    """

    attempts: int = 5
    failover: bool = False
    sleep: Callable[[float], None] = time.sleep
    uniform: Callable[[float, float], float] = random.uniform

    def run(self, work: Callable[[], T], *, before_retry: Callable[[PacsError], None]) -> T:
        """Returns what `work` returns, once it does.

        Args:
            work: one attempt.
            before_retry: called with the error before the wait, to drop the connection; it may raise to end
                the matter.

        Raises:
            PacsError: the last attempt's error, or the first that trying again cannot help.
        """
        retrying = Retrying(
            retry=lambda state: self._worth_it(_error(state), state.attempt_number),
            stop=stop_after_attempt(self.attempts),
            wait=lambda state: self.delay(state.attempt_number, _error(state)),
            before_sleep=lambda state: before_retry(_error(state)),
            sleep=self.sleep,
            reraise=True,
        )
        return retrying(work)

    def delay(self, attempt: int, error: BaseException) -> float:
        """Returns the seconds to wait after the given attempt (from 1)."""
        ceiling = SHORTEST if isinstance(error, UnreachableError) else min(LONGEST, SHORTEST * 2.0**attempt)
        wait = self.uniform(SHORTEST, ceiling)
        return max(wait, SHORTEST_THROTTLED) if _number(error) == THROTTLED else wait

    def _worth_it(self, error: BaseException, attempt: int) -> bool:
        if isinstance(error, UnreachableError):
            return attempt < UNREACHABLE_TRIES
        if isinstance(error, RetryableError):
            return True
        return (
            isinstance(error, ConfigError)
            and self.failover
            and _number(error) == 4060
            and attempt <= FAILOVER_TRIES
        )


def _error(state: RetryCallState) -> Any:
    """What the attempt raised; None where it raised nothing."""
    return state.outcome.exception() if state.outcome is not None else None


def _number(error: BaseException) -> int | None:
    return read_report(error.__cause__).number if error.__cause__ is not None else None
