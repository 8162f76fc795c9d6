"""Real processes to disturb: a source in one state, targets with `pacs` runs into them, and the oracle, a
target that nobody disturbed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow_provider_pacs.sync.entities import default_entities
from tests.fault.observer import Poll
from tests.fault.processes import Run, until
from tests.fault.source import Sandbox
from tests.fault.target import Postgres, Target


class World:
    """A source in one state, targets to disturb, and what an undisturbed target looks like."""

    def __init__(self, postgres: Postgres, sandbox: Sandbox, empty: str) -> None:
        self.postgres, self.sandbox, self._empty = postgres, sandbox, empty
        self.start: str = empty
        self.oracle: Target = self.target()
        self.whole: set[Poll] = set()
        """What a reader may see: the target before a run, after it, and after a reconcile.
        """

    def learn(self, *, night: bool) -> None:
        """Make the undisturbed target; with `night`, tests begin from the target before a night's changes,
        and the oracle has them.
        """
        if night:
            self.undisturbed(self.oracle)
            self.start = self.postgres.create(self.oracle.database)
            self.sandbox.pacs("sandbox", "mutate", "--dir", str(self.sandbox.folder / "sandbox"))
        self.whole.add(Target(self.postgres, self.start).poll())
        for command in ("sync", "reconcile"):
            self.sandbox.pacs(command, "benton_wa", "--target-url", self.oracle.url)
            self.whole.add(self.oracle.poll())

    def target(self) -> Target:
        return Target(self.postgres, self.postgres.create(self.start))

    def undisturbed(self, target: Target, county: str = "benton_wa") -> None:
        """The next clean run, and a reconcile."""
        for command in ("sync", "reconcile"):
            self.sandbox.pacs(command, county, "--target-url", target.url)

    def sync(self, target: Target, *flags: str, county: str = "benton_wa") -> Run:
        return self._run(target, "airflow_provider_pacs.cli", "sync", county, *flags)

    def step(self, target: Target, name: str, *rest: str, county: str = "benton_wa") -> Run:
        return self._run(target, "tests.fault.steps", str(self.sandbox.counties), county, name, *rest)

    def _run(self, target: Target, *arguments: str) -> Run:
        return Run(
            list(arguments), self.sandbox.environment | {"PACS_TARGET_URL": target.url}, self.sandbox.folder
        )

    @contextmanager
    def disturbed(self, *, restarts: bool = False) -> Iterator[Target]:
        """A target for the block; afterwards the oracle: a clean run makes it equal an undisturbed one, and
        its reader saw whole states only.
        """
        target = self.target()
        with target.observer(survives_restarts=restarts) as observer:
            yield target
            self.sandbox.clear_faults()
            self.undisturbed(target)
        self.assert_equal(target)
        assert set(observer.seen) <= self.whole, f"{len(observer.seen)} states seen in {observer.polls} looks"
        assert not observer.errors
        until("every run of this test has left the target", target.is_left_alone)
        self.postgres.drop(target.database)

    def assert_equal(self, target: Target, county: str = "53005") -> None:
        mine, theirs = target.data(county), self.oracle.data()
        assert {name: len(data.splitlines()) for name, data in mine.items()} == {
            name: len(data.splitlines()) for name, data in theirs.items()
        }
        assert mine == theirs
        assert target.certificates(county) == [
            (name, "all_rows", "clean") for name in sorted(default_entities())
        ]
