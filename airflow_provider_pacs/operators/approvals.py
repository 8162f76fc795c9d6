"""The county's pending deletes come in; what a person decided about them in Airflow's Required Actions goes
out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from airflow_provider_pacs.operators.base import PacsOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

APPROVE, REJECT = "Approve", "Reject"


class PacsPendingDeletesOperator(PacsOperator):
    """List the county's undecided sets; skip everything after it where there is none.

    There are no template fields.
    """

    def step(self, context: Context) -> dict[str, Any]:
        from airflow_provider_pacs.sync import steps

        with self.target() as target:
            sets = steps.pending_deletes(self.config, target)
        if not sets:
            raise AirflowSkipException(f"{self.config.county}: nothing is pending")
        return {"sets": [pending.as_dict() for pending in sets]}


class PacsDecideOperator(PacsOperator):
    """Carry out the decision.

    The digests that were shown bind it: a set that changed since is refused, and nothing of it applied.

    There are no template fields.

    Args:
        pending_task_id: the task that listed the sets.
        decision_task_id: the task whose answer is the decision.
    """

    def __init__(
        self, *, pending_task_id: str = "pending", decision_task_id: str = "decide", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.pending_task_id = pending_task_id
        self.decision_task_id = decision_task_id

    def step(self, context: Context) -> dict[str, Any]:
        from airflow_provider_pacs.sync import steps

        answer = context["ti"].xcom_pull(task_ids=self.decision_task_id)
        listed = context["ti"].xcom_pull(task_ids=self.pending_task_id)["sets"]
        sets = [(pending["pending_id"], pending["digest"]) for pending in listed]
        actor = actor_of(answer)
        if answer["chosen_options"] != [APPROVE]:
            with self.target() as target:
                decided = steps.reject(
                    self.config, target, sets=sets, actor=actor, trigger=str(context["run_id"])
                )
        else:
            with self.databases() as (source, target):
                decided = steps.approve(
                    self.config, source, target, sets=sets, actor=actor, trigger=str(context["run_id"])
                )
        return {"by": actor, "sets": [decision.as_dict() for decision in decided]}


def actor_of(answer: dict[str, Any]) -> str:
    """Who answered, as Airflow recorded it."""
    user = answer.get("responded_by_user") or {}
    return str(user.get("name") or user.get("id") or "unknown") if isinstance(user, dict) else str(user)
