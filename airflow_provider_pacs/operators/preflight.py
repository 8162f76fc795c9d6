"""A county and a trigger come in; the plan of one run (its id, its upper bound) goes out by XCom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_pacs.operators.base import PacsOperator
from airflow_provider_pacs.sync.runtime.errors import ConfigError

if TYPE_CHECKING:
    from airflow.sdk import Context


_MODES: dict[str, Literal["auto", "full"]] = {"auto": "auto", "full": "full"}


class PacsPreflightOperator(PacsOperator):
    """Check both ends, take the county's epoch and fix one upper bound for the whole run.

    The report of the check is kept with the run.

    Template fields:
        mode: `auto` (the best that each table allows) or `full` (read everything). Any other text fails the
            task before a database is opened.

    Args:
        mode: how the run reads.
        purpose: the run kind: `sync` reads what changed, `reconcile` compares every row.
    """

    template_fields: Sequence[str] = ("mode",)

    def __init__(
        self, *, mode: str = "auto", purpose: Literal["sync", "reconcile"] = "sync", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.mode = mode
        self.purpose = purpose

    def step(self, context: Context) -> dict[str, Any]:
        from airflow_provider_pacs.sync import steps

        mode = _MODES.get(self.mode)
        if mode is None:
            raise ConfigError(f"{self.config.county}: mode must be auto or full, not {self.mode!r}")
        request = steps.RunRequest(self.purpose, context["run_id"], mode)
        with self.databases() as (source, target):
            report = steps.check(self.config, source, target)
            for finding in report.findings:
                if finding.state in ("fail", "warn"):
                    self.log.warning(
                        "%s: %s: %s %s", self.config.county, finding.id, finding.text, finding.remedy
                    )
            plan = steps.plan(self.config, source, target, request, report=report)
        outcome: dict[str, Any] = plan.as_dict()
        return outcome
