"""What the JSON says of one property's past: which columns changed, in which run; never a value."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_pacs.monitor.models import Answer
from airflow_provider_pacs.sync.records import Hold, RowChange


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeLine(RowChange):
    """One change of one row, and what the run that published it was. `airflow_path` leads to the run."""

    airflow_path: str | None


class PropertyHistory(Answer):
    """Every change of the rows that a key means, newest first.

    Attributes:
        key: what was asked for: a row's key, the source's key, or a property's parcel number.
        changes: the first of them; `more` where there are others.
        hold: the county's hold, where it is on hold.
    """

    key: str
    changes: list[ChangeLine]
    more: bool
    hold: Hold | None = None
