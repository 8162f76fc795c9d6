"""An engine error comes in, Airflow's word for it goes out: fail now, or try again. The one place that translates."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from airflow_provider_pacs.sync.errors import PacsError, RetryableError


@contextmanager
def told_to_airflow() -> Iterator[None]:
    """Let Airflow retry what may pass next time and fail at once what can't. Code and remedy stay in the message; other errors pass untouched.

    Raises:
        AirflowException: for a RetryableError; the task's retries apply.
        AirflowFailException: for every other PacsError; no retry would help.
    """
    try:
        yield
    except RetryableError as error:
        raise AirflowException(str(error)) from error
    except PacsError as error:
        raise AirflowFailException(str(error)) from error
