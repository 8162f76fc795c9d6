"""A missed deadline comes in, a line in the triggerer's log goes out; Airflow's home page lists it by
itself.
"""

from __future__ import annotations

import logging
from typing import Any

log = logging.getLogger(__name__)


async def log_missed_deadline(county: str, minutes: int, **kwargs: Any) -> None:
    """Say which county is late. Runs in the triggerer and stops nothing: the run goes on."""
    late = kwargs.get("context", {}).get("dag_run", {})
    run_id = (
        late.get("dag_run_id") or late.get("run_id")
        if isinstance(late, dict)
        else getattr(late, "run_id", None)
    )
    log.warning("%s: run %s is not finished %s minutes after it was queued", county, run_id, minutes)
