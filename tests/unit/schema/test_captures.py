"""Capture instances: which of a table's changes they pass over, and why one can't be read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from airflow_provider_pacs.sync.runtime.errors import FatalError
from airflow_provider_pacs.sync.schema.captures import (
    CaptureInstance,
    CaptureProgress,
    read_captures,
    read_progress,
)

PROGRESS = {
    "captured_up_to": "2026-11-28 10:00:00.000",
    "seconds": 4,
    "kept_since": "2026-11-25 10:00:00.000",
}


class Server:
    """A server that answers by what a statement mentions; None: denied."""

    def __init__(self, **answers: list[dict[str, Any]] | None) -> None:
        self.answers = answers

    def query(self, sql: str, params: Sequence[object] = ()) -> list[dict[str, Any]]:
        rows = next((rows for name, rows in self.answers.items() if name in sql), None)
        if rows is None:
            raise FatalError("permission denied")
        return rows


def columns(instance: str, **captured: int) -> list[dict[str, Any]]:
    return [
        {"instance": instance, "role": "gate", "name": name, "computed": 0, "captured": on}
        for name, on in captured.items()
    ]


def test_an_instance_misses_what_it_does_not_capture() -> None:
    """Case 77: a computed column changes with any column of its row, and an instance holds NULL in its place."""
    instance = CaptureInstance("v1", uncaptured=("zonecode", "notes"), computed=("total",))
    assert instance.missing(["PropertyID", "City"]) == ()
    assert instance.missing(["PropertyID", "ZoneCode"]) == ("zonecode",)
    assert instance.missing(["Total"]) == ("zonecode", "notes")
    assert CaptureInstance("all", computed=("total",)).missing(["Total"]) == ()


def test_instances_are_read_oldest_first() -> None:
    """Case 51."""
    server = Server(
        change_tables=[*columns("v1", PropertyID=1, ZoneCode=0), *columns("v2", PropertyID=1, ZoneCode=1)],
        fn_cdc_get_min_lsn=[{"readable": 1, "begun": 1}],
        lsn_time_mapping=[PROGRESS],
    )
    captures = read_captures(server, "[dbo].[Property]", lag_minutes=15)  # type: ignore[arg-type]
    assert captures.instances == (CaptureInstance("v1", ("zonecode",)), CaptureInstance("v2"))


@pytest.mark.parametrize(
    ("tried", "seconds", "lack", "remedy", "passing"),
    [
        ({"readable": 0, "begun": 0}, 4, "may not read capture instance v1", "member of role gate", False),
        ({"readable": 1, "begun": 0}, 4, "has not reached the begin of instance v1", "capture job", True),
        ({"readable": 1, "begun": 1}, 901, "stands still", "capture job", True),
        ({"readable": 1, "begun": 1}, None, "not captured anything yet", "capture job", True),
    ],
)
def test_what_keeps_an_instance_from_being_read(
    tried: dict[str, int], seconds: int | None, lack: str, remedy: str, passing: bool
) -> None:
    """Cases 91, 98: outside of the gating role the smallest LSN is zero, and no error."""
    server = Server(
        change_tables=columns("v1", PropertyID=1),
        fn_cdc_get_min_lsn=[tried],
        lsn_time_mapping=[PROGRESS | {"seconds": seconds}],
    )
    captures = read_captures(server, "[dbo].[Property]", lag_minutes=15)  # type: ignore[arg-type]
    assert captures.instances == ()
    assert (lack in captures.lack, remedy in captures.remedy, captures.passing) == (True, True, passing)


def test_what_is_denied_is_not_off() -> None:
    assert read_progress(Server()) is None  # type: ignore[arg-type]
    assert "schema cdc" in read_captures(Server(), "[dbo].[Property]", lag_minutes=15).lack  # type: ignore[arg-type]
    off = read_captures(Server(change_tables=[]), "[dbo].[Property]", lag_minutes=15)  # type: ignore[arg-type]
    assert (off.instances, off.lack) == ((), "")


def test_the_servers_own_error_is_named() -> None:
    """Case 53."""
    server = Server(
        lsn_time_mapping=[PROGRESS | {"seconds": 3600}],
        dm_cdc_log_scan_sessions=[{"errors": 1, "latency": 3, "empty_scans": 0}],
        dm_cdc_errors=[{"number": 2628, "at": "2026-11-28 09:00:00.000"}],
    )
    progress = read_progress(server)  # type: ignore[arg-type]
    assert progress is not None
    assert "with error 2628" in str(progress.stalled(15))
    assert CaptureProgress(None, None).stalled(15) is not None
    assert CaptureProgress("2026-11-28 10:00:00.000", 900).stalled(15) is None
