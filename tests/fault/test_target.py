"""PostgreSQL crashes and comes back (cases 104, 109)."""

from __future__ import annotations

import json

import pytest

from tests.fault.processes import until
from tests.fault.target import Target
from tests.fault.test_kill import HOLD_PUBLISH, INSIDE_COPY, in_copy
from tests.fault.world import World

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_restarted_while_copy_is_active(world: World) -> None:
    """Case 109: the run fails as one that is worth trying again; nothing was published."""
    with world.disturbed(restarts=True) as target, in_copy(world, target, f"{INSIDE_COPY} seconds=45") as run:
        world.postgres.restart()  # COPY breaks; the run sees it once the source goes on
        assert run.wait() == 1, run.output()
        assert run.err.splitlines()[-1].startswith("PACS-001: ")
        assert target.poll() == Target(world.postgres, world.start).poll()


def test_restarted_while_the_publish_transaction_is_open(night: World) -> None:
    """Case 109: rows and cursors are where they were."""
    with night.disturbed(restarts=True) as target:
        before = target.poll()
        cursors = target.rows("SELECT entity, watermark FROM pacs_ops.sync_state ORDER BY entity")
        with target.locked(HOLD_PUBLISH), night.sync(target) as run:
            until("publish stores a cursor", lambda: target.waits_in("pacs_ops.sync_state"), alive=run)
            night.postgres.restart()
            assert run.wait() == 1, run.output()
            assert run.err.splitlines()[-1].startswith("PACS-001: ")
        assert target.poll() == before
        assert target.rows("SELECT entity, watermark FROM pacs_ops.sync_state ORDER BY entity") == cursors


@pytest.mark.parametrize("validated", [True, False])
def test_restarted_between_extract_and_publish(night: World, validated: bool) -> None:
    """Cases 104, 109: the crash empties the unlogged staging tables.

    No cursor may pass rows that were never published.
    """
    with night.disturbed(restarts=True) as target:
        before = target.poll()
        cursors = target.rows("SELECT entity, watermark FROM pacs_ops.sync_state ORDER BY entity")
        with night.step(target, "prepare") as step:
            assert step.wait() == 0, step.output()
            run_id = json.loads(step.out)["run_id"]
        night.postgres.restart()
        if not validated:
            target.rows(
                "UPDATE pacs_ops.run_entity SET state = 'staged' WHERE run_id = %s RETURNING 1", run_id
            )
            with night.step(target, "validate", run_id) as step:
                assert step.wait() == 1
                assert "lost its staged rows" in step.err
        with night.step(target, "publish", run_id) as step:
            assert step.wait() == 0, step.output()
            assert json.loads(step.out)["state"] == "failed"
        assert target.poll() == before
        assert target.rows("SELECT entity, watermark FROM pacs_ops.sync_state ORDER BY entity") == cursors
