"""A county comes in; a task that ends when the county's PACS answers goes out."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.configuration import conf
from airflow.sdk import BaseSensorOperator
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_pacs.counties import county_config
from airflow_provider_pacs.hooks.airflow_errors import translate_errors
from airflow_provider_pacs.triggers.connection import PacsConnectionTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_pacs.sync.config import CountyConfig


class PacsConnectionSensor(BaseSensorOperator):
    """Wait until a county's PACS lets us in and answers.

    An absence is waited out, until the sensor's `timeout`; what somebody must change first (login, rights,
    certificate, host name) fails the task at once. There are no template fields.

    Args:
        config: the county: its name, the path of its file, or a config as `load_county` gives it.
        deferrable: wait in the triggerer, without a slot; by default `[operators] default_deferrable`.
    """

    def __init__(
        self, *, config: CountyConfig | str | Path, deferrable: bool | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.config = county_config(config)
        self.deferrable = (
            conf.getboolean("operators", "default_deferrable", fallback=False)
            if deferrable is None
            else deferrable
        )

    def execute(self, context: Context) -> Any:
        if not self.deferrable:
            return super().execute(context)
        if self.poke(context):
            return None
        self.defer(
            trigger=PacsConnectionTrigger(
                county=self.config.county,
                source_connection=self.config.source.connection,
                poll_seconds=self.poke_interval,
            ),
            method_name="execute_complete",
            timeout=timedelta(seconds=self.timeout),
        )

    def poke(self, context: Context) -> bool:
        """One attempt, in this process."""
        from airflow_provider_pacs.hooks.pacs import PacsHook
        from airflow_provider_pacs.sync.runtime.errors import RetryableError

        hook = PacsHook(pacs_conn_id=self.config.source.connection, county=self.config.county)
        with translate_errors(f"{self.config.county}: {self.task_id}"):
            try:
                with hook.get_reader(attempts=1) as reader:
                    reader.query("SELECT 1 AS one")
            except RetryableError as error:
                self.log.info("%s: %s", self.config.county, error.message)
                return False
        return True

    def execute_complete(self, context: Context, event: dict[str, Any]) -> None:
        """What the triggerer found.

        Raises:
            AirflowFailException: trying again can't help.
        """
        if event["status"] != "success":
            raise AirflowFailException(event["message"])
        self.log.info("%s: the source answers", self.config.county)
