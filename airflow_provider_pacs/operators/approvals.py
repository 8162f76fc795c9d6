"""The county's held sets of deletes come in; what a person decided about them in Airflow's Required Actions
goes out, applied once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from airflow_provider_pacs.operators.base import PacsOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

APPROVE, REJECT = "Approve", "Reject"


class PacsHeldDeletesOperator(PacsOperator):
    """List the county's undecided sets; skip everything after it where there is none.

    There are no template fields.
    """

    def step(self, context: Context) -> dict[str, Any]:
        from airflow_provider_pacs.sync.steps.approve import held_sets

        with self.target() as target:
            found = held_sets(self.config, target)
        if not found:
            raise AirflowSkipException(f"{self.config.county}: nothing is held")
        names = ("held_id", "entity", "row_count", "live_count", "digest", "reason")
        return {"sets": [{name: one[name] for name in names} for one in found]}


class PacsDecideOperator(PacsOperator):
    """Carry out the decision.

    The digests that were shown bind it: a set that changed since is refused, and nothing of it applied.

    There are no template fields.

    Args:
        held_task_id: the task that listed the sets.
        decision_task_id: the task whose answer is the decision.
    """

    def __init__(
        self, *, held_task_id: str = "held", decision_task_id: str = "decide", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.held_task_id = held_task_id
        self.decision_task_id = decision_task_id

    def step(self, context: Context) -> dict[str, Any]:
        from airflow_provider_pacs.sync.steps import approve

        answer = context["ti"].xcom_pull(task_ids=self.decision_task_id)
        sets = context["ti"].xcom_pull(task_ids=self.held_task_id)["sets"]
        held = [(one["held_id"], one["digest"]) for one in sets]
        actor = _actor(answer)
        if answer["chosen_options"] != [APPROVE]:
            with self.target() as target:
                decided = approve.reject(self.config, target, held=held, actor=actor)
        else:
            with self.databases() as (source, target):
                decided = approve.approve(
                    self.config, source, target, held=held, actor=actor, trigger=str(context["run_id"])
                )
        return {"by": actor, "sets": [one.as_dict() for one in decided]}


def _actor(answer: dict[str, Any]) -> str:
    """Who answered, as Airflow recorded it."""
    user = answer.get("responded_by_user") or {}
    return str(user.get("name") or user.get("id") or "unknown") if isinstance(user, dict) else str(user)
