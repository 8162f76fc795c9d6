"""The staged and checked entities of a run come in; they are published in one transaction, and asset events
go out for those that were.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_pacs.assets import county_asset
from airflow_provider_pacs.operators.base import PacsOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class PacsPublishOperator(PacsOperator):
    """Apply a run to the target, parents first, in one transaction.

    A run that is already published stays as it is. There are no template fields.

    Meant for `trigger_rule="all_done"`: entities whose checks failed are blocked and the others published.
    Its outlets are the county's assets. An entity that was blocked gives no event, so nobody downstream
    wakes up for old data.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.outlets = [
            *self.outlets,
            *(county_asset(self.config, entity) for entity in self.config.sync.entities),
        ]

    def step(self, context: Context) -> dict[str, Any]:
        from airflow_provider_pacs.sync import steps

        run_id = self.run_id(context)
        with self.target() as target:
            outcome: dict[str, Any] = steps.publish(self.config, target, run_id=run_id).as_dict()
        if outcome["changed"] == 0:
            self.log.info("%s: nothing changed: no row was written.", self.config.county)
        self._emit_assets(context, run_id, outcome["entities"])
        return outcome

    def _emit_assets(self, context: Context, run_id: str, entities: dict[str, Any]) -> None:
        for entity in self.config.sync.entities:
            asset, outcome = county_asset(self.config, entity), entities.get(entity, {})
            if outcome.get("state") == "published":
                numbers = {key: value for key, value in outcome.items() if isinstance(value, int | float)}
                context["outlet_events"][asset].extra = {
                    "county": self.config.county,
                    "entity": entity,
                    "run_id": run_id,
                    **numbers,
                }
            else:  # Airflow sends an event for every outlet that a successful task has at its end
                self.outlets = [outlet for outlet in self.outlets if outlet != asset]
