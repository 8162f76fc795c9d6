"""A planned run and an entity come in; the entity's rows are staged at the target, and their counts go out by
XCom.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_pacs.operators.base import PacsOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class PacsExtractOperator(PacsOperator):
    """Stage one entity of a run. For a county without a change feed: the preflight planned a full load.

    Each try has a staging table of its own, so a retry never meets half a load. What is read was fixed by the
    preflight; this task only does it. There are no template fields.

    Args:
        entity: the entity to stage.
    """

    def __init__(self, *, entity: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.entity = entity

    def step(self, context: Context) -> dict[str, Any]:
        from airflow_provider_pacs.sync import steps

        run_id = self.run_id(context)
        with self.databases() as (source, target):
            staged = steps.extract(
                self.config,
                source,
                target,
                run_id=run_id,
                entity=self.entity,
                attempt=context["ti"].try_number,
            )
        outcome: dict[str, Any] = staged.as_dict()
        return outcome


class PacsChangesOperator(PacsExtractOperator):
    """Stage what changed in one entity since its cursor.

    The same work as its parent; the preflight planned it in mode `auto`.
    """


class PacsRelationshipOperator(PacsExtractOperator):
    """Stage an entity that the profile joins from several tables: the rows of every property in which a
    contributing table changed.

    One read per relation, however many properties changed; the same work as its parent, which the preflight
    planned.
    """
