"""An engine error comes in, Airflow's word for it goes out: fail now, or try again.

The one place that translates.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowTaskTimeout

from airflow_provider_pacs.sync.runtime.errors import PacsError, RetryableError
from airflow_provider_pacs.sync.runtime.secrets import describe_foreign


@contextmanager
def translate_errors(step: str = "this task") -> Iterator[None]:
    """Let Airflow retry what may pass next time and fail at once what can't.

    Code and remedy stay in the message. Airflow's own exceptions pass untouched; of every other only the
    class and the place reach the task's log, because its text may quote a row.

    Args:
        step: what runs, named where it takes too long.

    Raises:
        AirflowException: for a RetryableError, and for an error that is neither ours nor Airflow's; the
            task's retries apply.
        AirflowFailException: for every other PacsError; no retry would help.
        AirflowTaskTimeout: Airflow's own, which interrupts the step at its execution_timeout, with our code.
            Of the same class, so that Airflow stops the statement (`on_kill`) and retries.
    """
    try:
        yield
    except RetryableError as error:
        raise AirflowException(str(error)) from error
    except AirflowTaskTimeout as error:
        late = RetryableError(
            f"{step} took longer than its time limit and was stopped",
            remedy="raise sync.timeout_minutes in the county's file, or find out what slows the source down.",
            code="PACS-005",
        )
        raise AirflowTaskTimeout(str(late)) from error
    except PacsError as error:
        raise AirflowFailException(str(error)) from error
    except Exception as error:
        if type(error).__module__.startswith("airflow."):
            raise
        raise AirflowException(f"{step}: {describe_foreign(error)}") from None
