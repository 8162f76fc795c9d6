"""A published run comes in; a certificate that both sides agree (or which keys don't) goes out by XCom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_pacs.assets import held_asset
from airflow_provider_pacs.operators.base import PacsOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class PacsReconcileOperator(PacsOperator):
    """Compare source and target, repair under the delete guard, write the certificate.

    There are no template fields.

    Its outlet is the asset `pacs://<county>/held`, which has an event only when deletes were held back: the
    county's approvals DAG waits for it. Fails, after the certificate is written, when entities of the run
    were held back: then a green run means that everything was published.

    Args:
        scope: `delta` (counts and touched keys), `full` (everything), or `auto`: what the run's plan asks
            for.
    """

    def __init__(self, *, scope: Literal["auto", "delta", "full"] = "auto", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scope = scope
        self.outlets = [*self.outlets, held_asset(self.config)]

    def step(self, context: Context) -> dict[str, Any]:
        from airflow_provider_pacs.sync import steps as run

        run_id = self.run_id(context)
        with self.databases() as (source, target):
            certificate = run.reconcile(self.config, source, target, run_id=run_id, scope=self.scope)
        if not certificate.clean:
            self.log.warning("%s: the two sides differ; the certificate names the keys.", self.config.county)
        if (
            certificate.state != "held"
        ):  # Airflow sends an event for every outlet that a successful task has at its end
            self.outlets = [outlet for outlet in self.outlets if outlet != held_asset(self.config)]
        outcome: dict[str, Any] = certificate.as_dict()
        return outcome
