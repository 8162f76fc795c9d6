"""A run's id comes in; what its rollback would do, and then what it did, goes out: counts and digests, no
rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from airflow_provider_pacs.operators.approvals import APPROVE, actor_of
from airflow_provider_pacs.operators.base import PacsOperator
from airflow_provider_pacs.sync.runtime.errors import ConfigError, ConflictError

if TYPE_CHECKING:
    from airflow.sdk import Context


class PacsProposeRollbackOperator(PacsOperator):
    """Say what a rollback would do; fail where later runs touched the same rows.

    Template fields:
        run: the run's id.
        onto: `True` to undo every run after it instead.
    """

    template_fields: Sequence[str] = ("run", "onto")

    def __init__(self, *, run: str, onto: str = "False", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.run = run
        self.onto = onto

    def step(self, context: Context) -> dict[str, Any]:
        from airflow_provider_pacs.sync import steps

        if str(self.onto) not in ("True", "False"):
            raise ConfigError(f"{self.config.county}: onto must be True or False")
        with self.target() as target:
            proposal = steps.propose_rollback(
                self.config, target, run_id=str(self.run), onto=str(self.onto) == "True"
            )
        for conflict in proposal.conflicts:
            by = f" (run {conflict.run_id})" if conflict.run_id else ""
            self.log.warning(
                "%s: %s %s: %s%s",
                self.config.county,
                conflict.entity,
                conflict.source_key,
                conflict.reason,
                by,
            )
        if proposal.conflict_count:
            raise ConflictError(
                f"{self.config.county}: {proposal.conflict_count} row(s) stand against the rollback",
                remedy="this task's log lists them; `onto` undoes the later runs too",
            )
        outcome: dict[str, Any] = proposal.as_dict()
        return outcome


class PacsRollbackOperator(PacsOperator):
    """Carry out the decision; the digest that was shown binds it.

    There are no template fields.

    Args:
        propose_task_id: the task that said what would happen.
        decision_task_id: the task whose answer is the decision.
    """

    def __init__(
        self, *, propose_task_id: str = "propose", decision_task_id: str = "decide", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.propose_task_id = propose_task_id
        self.decision_task_id = decision_task_id

    def step(self, context: Context) -> dict[str, Any]:
        from airflow_provider_pacs.sync import steps

        answer = context["ti"].xcom_pull(task_ids=self.decision_task_id)
        proposal = context["ti"].xcom_pull(task_ids=self.propose_task_id)
        if answer["chosen_options"] != [APPROVE]:
            raise AirflowSkipException(f"{self.config.county}: the rollback was rejected")
        with self.target() as target:
            published, certificate = steps.rollback(
                self.config,
                target,
                run_id=proposal["run_id"],
                onto=proposal["onto"],
                digest=proposal["digest"],
                actor=actor_of(answer),
                trigger=str(context["run_id"]),
            )
        return {"certificate": certificate.state, "by": actor_of(answer)} | published.as_dict()
