"""A transaction that PostgreSQL gave up to end a deadlock is begun again here: work that may be repeated
comes in, its result goes out.

Exponential backoff with full jitter, as at the source (sync/source/retry.py), but short: the other
transaction is usually done in no time. What else can be tried again (a lost connection, a server that
restarts) needs a fresh connection, and Airflow's retry brings one.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

from airflow_provider_pacs.sync.runtime.errors import RetryableError

T = TypeVar("T")
log = logging.getLogger(__name__)
ATTEMPTS = 5
SHORTEST, LONGEST = 0.1, 5.0
ROLLED_BACK = frozenset({"40001", "40P01"})
"""Serialization failure and deadlock: the server has rolled back, and the connection is sound."""


def retry_on_deadlock(work: Callable[[], T], *, sleep: Callable[[float], None] = time.sleep) -> T:
    """Returns what `work` returns, once PostgreSQL lets it commit.

    Args:
        work: one whole transaction that has the same effect when it is run again.
        sleep: waits; replaced in tests.

    Raises:
        PacsError: the last attempt's error, or the first of another kind.
    """
    for attempt in range(1, ATTEMPTS):
        try:
            return work()
        except RetryableError as error:
            if getattr(error.__cause__, "sqlstate", None) not in ROLLED_BACK:
                raise
            log.warning("%s: %s Beginning the transaction again.", error.code, error.message)
            sleep(random.uniform(SHORTEST, min(LONGEST, SHORTEST * 2.0**attempt)))
    return work()
