"""A published run comes in; a certificate that both sides agree (or which keys don't) goes out by XCom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_pacs.operators.base import PacsOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class PacsReconcileOperator(PacsOperator):
    """Compare source and target, repair under the delete guard, write the certificate. There are no template fields.

    Fails, after the certificate is written, when entities of the run were held back: then a green run means that everything was published.

    Args:
        scope: `delta` (counts and touched keys), `full` (everything), or `auto`: what the run's plan asks for.
    """

    def __init__(self, *, scope: Literal["auto", "delta", "full"] = "auto", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scope = scope

    def step(self, context: Context) -> dict[str, Any]:
        from airflow_provider_pacs.sync import run

        run_id = self.run_id(context)
        with self.databases() as (source, target):
            certificate = run.reconcile(self.config, source, target, run_id=run_id, scope=self.scope)
        if not certificate.clean:
            self.log.warning("%s: the two sides differ; the certificate names the keys.", self.config.county)
        return {**certificate.as_dict(), "clean": certificate.clean}
