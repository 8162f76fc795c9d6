"""The source breaks in the middle: a part of a result is never taken for the whole (cases 105, 106)."""

from __future__ import annotations

import pytest

from tests.fault.source import IN_COPY
from tests.fault.world import World

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.parametrize(
    "fault",
    [f"drop@rows={IN_COPY}", f"half@rows={IN_COPY}", f"error=1205@rows={IN_COPY}"],
    ids=["drop", "half a packet", "deadlock victim"],
)
def test_breaks_behind_the_first_batch(world: World, fault: str) -> None:
    """Cases 105, 106: rows are out already, so the read is not repeated but fails as a whole, and COPY with
    it.
    """
    with world.disturbed() as target:
        world.sandbox.fault(f"{fault} match=PropertyValue times=1")
        with world.sync(target) as run:
            assert run.wait() == 1, run.output()
            last = run.err.splitlines()[-1]
        assert last.startswith("PACS-001: ")
        [(state, message)] = target.runs()
        assert (state, message) == ("failed", last)
        assert target.rows("SELECT entity FROM pacs_ops.run_entity WHERE state = 'planned'") == [("value",)]
        assert target.rows("SELECT * FROM pacs_ops.sync_state") == []


@pytest.mark.parametrize(
    "fault",
    [
        "drop match=dbo.{3}PropertyValue]",
        "error=1205 match=dbo.{3}PropertyValue]",
        "refuse",
        "error=40613@login",
    ],
    ids=["drop", "deadlock victim", "refused connection", "database away"],
)
def test_breaks_before_the_first_row(world: World, fault: str) -> None:
    """Cases 105, 106: nothing is out yet, so the read begins again on a fresh connection, and the run
    succeeds.
    """
    with world.disturbed() as target:
        world.sandbox.fault(f"{fault} times=1")
        with world.sync(target) as run:
            assert run.wait() == 0, run.output()
            assert (
                fault == "refuse" or "Trying again." in run.err
            )  # a refused connection is tried again by the driver itself already
        assert target.poll() == world.oracle.poll()
        assert target.runs() == [("succeeded", "")]
