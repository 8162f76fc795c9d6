"""A published run comes in; the certificate that both sides agree, or which keys don't, goes out by XCom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_pacs.assets import pending_asset
from airflow_provider_pacs.operators.base import PacsOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class PacsCertifyOperator(PacsOperator):
    """Compare source and target and issue the run's certificate. Writes no row.

    There are no template fields.

    Fails, after the certificate is stored, where it says `blocked` or `drift`: a green run means `clean`, or
    `pending` where a person must decide. Its outlet is the asset `pacs://<county>/pending`, which has an
    event only for `pending`: the county's approvals DAG waits for it.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.outlets = [*self.outlets, pending_asset(self.config)]

    def step(self, context: Context) -> dict[str, Any]:
        from airflow_provider_pacs.sync import steps

        run_id = self.run_id(context)
        with self.databases() as (source, target):
            certificate = steps.certify(self.config, source, target, run_id=run_id)
        asset = pending_asset(self.config)
        if certificate.state == "pending":
            context["outlet_events"][asset].extra = {
                "county": self.config.county,
                "run_id": run_id,
                "state": certificate.state,
            }
        else:  # Airflow sends an event for every outlet that a successful task has at its end
            self.outlets = [outlet for outlet in self.outlets if outlet != asset]
        outcome: dict[str, Any] = certificate.as_dict()
        return outcome
