"""A staged entity comes in; its quality verdict goes out by XCom, or the task fails and the entity keeps its
last good data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_pacs.operators.base import PacsOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class PacsValidateOperator(PacsOperator):
    """Validate one staged entity. A blocking rule fails the task without retries; bad rows go to quarantine.

    There are no template fields.

    Args:
        entity: the entity to validate.
    """

    def __init__(self, *, entity: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.entity = entity

    def step(self, context: Context) -> dict[str, Any]:
        from airflow_provider_pacs.sync import steps

        run_id = self.run_id(context)
        with self.target() as target:
            outcome: dict[str, Any] = steps.validate(
                self.config, target, run_id=run_id, entity=self.entity
            ).as_dict()
        return outcome
