"""A county comes in; what every PACS task shares goes out: both databases, the run's id, errors in Airflow's
words, one line of counts.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException

from airflow_provider_pacs.counties import county_config
from airflow_provider_pacs.hooks.airflow_errors import translate_errors

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_pacs.sync.config import CountyConfig


class PacsOperator(BaseOperator):
    """One step of a county's run. Subclasses say which, in `step`.

    Connections, entities and limits come from the checked county file and are no template fields: a text from
    the trigger form never reaches a database. Where a subclass has a template field, its docstring says what
    it means.

    Args:
        config: the county: its name, which is looked up in `[pacs] counties_path`; the path of its file; or
            a config as `load_county` gives it.
        plan_task_id: the task whose result names the run.
    """

    template_fields: Sequence[str] = ()
    ui_color = "#e6f1ec"

    def __init__(
        self, *, config: CountyConfig | str | Path, plan_task_id: str = "preflight", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.config = county_config(config)
        self.plan_task_id = plan_task_id
        self._reader: Any = None

    @abstractmethod
    def step(self, context: Context) -> dict[str, Any]:
        """Do the work and give a small dict of counts and states; never rows."""

    def execute(self, context: Context) -> dict[str, Any]:
        with translate_errors(f"{self.config.county}: {self.task_id}"):
            outcome = self.step(context)
        self.log.info(
            "%s: %s done: %s", self.config.county, self.task_id, counts(outcome) or "nothing to count"
        )
        return outcome

    def on_kill(self) -> None:
        """Stop the statement that runs at the source; it would go on burning the
        county's server otherwise.
        """
        cancel = getattr(self._reader, "cancel", None)
        if cancel is not None:
            cancel()

    def run_id(self, context: Context) -> str:
        """Give the id that the plan task gave this run.

        Raises:
            AirflowSkipException: the plan task has not succeeded, so there is nothing to do here.
        """
        plan = context["ti"].xcom_pull(task_ids=self.plan_task_id)
        if not isinstance(plan, dict) or "run_id" not in plan:
            raise AirflowSkipException(
                f"{self.config.county}: {self.plan_task_id} gave no plan, so there is nothing to do here. "
                "See its log."
            )
        return str(plan["run_id"])

    def target(self) -> AbstractContextManager[Any]:
        """Give the county's target database."""
        from airflow_provider_pacs.hooks.target import open_target

        target: AbstractContextManager[Any] = open_target(
            self.config.target.connection, self.config.target.tls, self.config.county
        )
        return target

    @contextmanager
    def databases(self) -> Iterator[tuple[Any, Any]]:
        """Open source and target. The open reader is remembered for `on_kill`."""
        from airflow_provider_pacs.hooks.pacs import PacsHook

        hook = PacsHook(pacs_conn_id=self.config.source.connection, county=self.config.county)
        with ExitStack() as open_ends:
            target = open_ends.enter_context(self.target())
            self._reader = open_ends.enter_context(hook.get_reader(batch_rows=self.config.sync.batch_size))
            try:
                yield self._reader, target
            finally:
                self._reader = None


def retry_settings(config: CountyConfig) -> dict[str, Any]:
    """How long a failed task of the county waits for its next try, in the words of Airflow's operators."""
    return {
        "retry_delay": timedelta(seconds=config.sync.retry_delay_seconds),
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": timedelta(minutes=10),
    }


def counts(outcome: dict[str, Any]) -> str:
    """Say the numbers of an outcome in words: `read 1,200, owner (inserted 3)`.

    Zeros and texts are left out.
    """
    said = []
    for key, value in outcome.items():
        if isinstance(value, dict) and (inner := counts(value)):
            said.append(inner if key == "entities" else f"{key} ({inner})")
        elif isinstance(value, int | float) and not isinstance(value, bool) and value:
            said.append(
                f"{key.replace('_', ' ')} {value:,.1f}"
                if isinstance(value, float)
                else f"{key.replace('_', ' ')} {value:,}"
            )
    return ", ".join(said)
