"""The order of a county's runs: who wants to begin."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_pacs.sync.records.plans import RunKind


@dataclass(frozen=True, slots=True)
class Turn:
    """A run that wants to begin, and how long others count as at work.

    Attributes:
        kind: its kind. A sync takes over from an earlier sync: it reads all that the earlier one would have.
        minutes: a sync that gave no sign of life for so long is over, whatever its record says.
        quiet_minutes: the same for a run of any other kind.
    """

    kind: RunKind
    minutes: int
    quiet_minutes: int
