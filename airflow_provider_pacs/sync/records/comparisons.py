"""What comparing the source with the target shows: counts and keys, never values."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_pacs.sync.records.plans import Difference


@dataclass(frozen=True, slots=True)
class KeyTotals:
    """How many keys, and the sum of their hashes as decimal text."""

    rows: int
    key_sum: str


@dataclass(frozen=True, slots=True)
class KeyDifference:
    """What a list of all keys of the source shows.

    Attributes:
        gone: live keys of the target that the source no longer has.
        unknown: keys of the source that are neither published, staged nor quarantined.
        duplicated: keys that the source has more than once.
        rows: keys in the list.
    """

    gone: tuple[str, ...]
    unknown: tuple[str, ...]
    duplicated: tuple[str, ...]
    rows: int


@dataclass(frozen=True, slots=True)
class RowDifference:
    """A row that is not the same on both sides.

    Attributes:
        key: the row's source key.
        kind: what differs.
        changed_since_read: the source's image is not the one that this run staged, and what was staged is
            what is
            published: the source moved on, the run did its part.
        unstamped: the row has no change stamp.
    """

    key: str
    kind: Difference
    changed_since_read: bool
    unstamped: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """A staging table with what the source says now, laid beside the published partition.

    Attributes:
        compared: rows of the source that were compared.
        equal: published with the same image.
        quarantined: this image is in quarantine, for another reason than a missing parent.
        waiting: this image is in quarantine because its parent is missing.
        late: newer than the bound, and not published as they are.
        kept: live rows, not pending, whose source row is quarantined, waiting or late.
        pending_deletes: live rows that wait for a person: the source lacks them, or has them under another parent.
        differences: what no term explains.
        live_outside: live rows whose keys are not in the staging table, pending ones left out.
        pending_outside: pending ones among the keys that are not in the staging table.
        quarantined_outside: open quarantine keys that are not in the staging table.
        kept_outside: of these, live and not pending.
    """  # noqa: E501

    compared: int
    equal: int
    quarantined: int
    waiting: int
    late: int
    kept: int
    pending_deletes: int
    differences: tuple[RowDifference, ...]
    live_outside: int
    pending_outside: int
    quarantined_outside: int
    kept_outside: int
