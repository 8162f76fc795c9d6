"""A county whose source has moved comes in; runs of all five steps in this task, as long as changes come, go
out as counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from airflow_provider_pacs.assets import county_asset, pending_asset
from airflow_provider_pacs.operators.base import PacsOperator
from airflow_provider_pacs.triggers.state import followed_of_task

if TYPE_CHECKING:
    from airflow.sdk import Asset, Context

_ON_HOLD = "PACS-011"


class PacsRealtimeOperator(PacsOperator):
    """Synchronise, certify, and go on polling for `realtime.linger_seconds` after the last run.

    There are no template fields.

    Its outlets are the county's assets; those whose rows changed have an event when the task ends. Where
    nothing could be done because another run of the county was at work, or the county is on hold, the task is
    skipped: the trigger reports the county again.

    Args:
        changes: the asset `pacs://<county>/changes`, in whose state the position is kept.
    """

    def __init__(self, *, changes: Asset, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.changes = changes
        self.inlets = [*self.inlets, changes]
        self.outlets = [
            *self.outlets,
            *(county_asset(self.config, entity) for entity in self.config.sync.entities),
            pending_asset(self.config),
        ]

    def step(self, context: Context) -> dict[str, Any]:
        from airflow_provider_pacs.sync import steps
        from airflow_provider_pacs.sync.runtime.errors import ConflictError

        run_id = str(context["run_id"])
        with self.databases() as (source, target):
            state = followed_of_task(context, self.changes, target, self.config.fips)
            try:
                outcome = steps.follow(self.config, source, target, state, trigger=run_id)
            except ConflictError as error:
                if error.code != _ON_HOLD:
                    raise
                raise AirflowSkipException(str(error)) from error
        if outcome.busy and not outcome.runs:
            raise AirflowSkipException(
                f"{self.config.county}: another run of this county is at work; it is tried again"
            )
        self._emit_assets(context, run_id, outcome)
        return outcome.as_dict()

    def _emit_assets(self, context: Context, run_id: str, outcome: Any) -> None:
        """Airflow sends an event for every outlet that a successful task has at its end."""
        county, silent = self.config.county, []
        for entity in self.config.sync.entities:
            asset, rows = county_asset(self.config, entity), outcome.entities.get(entity, 0)
            if rows:
                context["outlet_events"][asset].extra = {"county": county, "entity": entity, "changed": rows}
            else:
                silent.append(asset)
        pending = pending_asset(self.config)
        if outcome.pending:
            context["outlet_events"][pending].extra = {
                "county": county,
                "run_id": run_id,
                "state": "pending",
            }
        else:
            silent.append(pending)
        self.outlets = [outlet for outlet in self.outlets if outlet not in silent]
