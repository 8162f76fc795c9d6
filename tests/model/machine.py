"""A county under everything that happens to it: hypothesis chooses, the model knows, the oracle checks.

Hypothesis calls the rules below in any order. A run is made as a whole, with or without a crash at one of its
statements, or step by step, so that the source changes between steps and steps are tried again.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar, Literal

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from airflow_provider_pacs.sync import steps
from airflow_provider_pacs.sync.records import Backfill, Certificate
from airflow_provider_pacs.sync.runtime.errors import ConflictError, DataError, PacsError, RetryableError
from tests.model.faults import Fault
from tests.model.oracle import Findings, Oracle, look
from tests.model.source_model import BAD, ENTITIES, SourceModel
from tests.support.county import County, key

GUARD = 3
"""Rows that become tombstones without a person."""
MOST_ROWS = 14
NUMBERS = st.integers(1, MOST_ROWS)
ENTITY = st.sampled_from(ENTITIES)
STAMPS = st.sampled_from(["now", "now", "now", "unmoved", "late", "old", "ahead"])
BACK = {"now": 0, "late": 30 * 60, "old": 5 * 3600, "ahead": -6 * 3600}
KINDS = st.sampled_from(["sync", "sync", "sync", "full", "reconcile", "backfill"])


@dataclass
class Figures:
    """What a test did."""

    examples: int = 0
    rules: int = 0
    runs: int = 0
    traced: bool = bool(os.environ.get("PACS_MODEL_TRACE"))
    crashes: int = 0
    certificates: dict[str, int] = field(default_factory=dict)


@dataclass
class OpenRun:
    """A run that is made step by step."""

    run_id: str
    kind: str
    attempts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ENTITIES, 0))


@dataclass
class Planned:
    """What the model knows of a run: when it was planned, after how many mutations it read."""

    local: datetime
    utc: datetime
    read: dict[str, int]
    must_be_full: dict[str, bool]
    meaning: dict[str, tuple[bool, str]]
    absorbed: dict[str, int] = field(default_factory=dict)


class CountyMachine(RuleBasedStateMachine):
    """See the module."""

    make_county: ClassVar[Callable[[], County]]
    fault: ClassVar[Fault]
    figures: ClassVar[Figures]

    def __init__(self) -> None:
        super().__init__()
        self.county = type(self).make_county()
        self.model = SourceModel(timedelta(minutes=75))
        self.oracle = Oracle(self.county, self.model)
        self.open: OpenRun | None = None
        self.plans: dict[str, Planned] = {}
        self.last_utc: dict[str, datetime] = {}
        self.meaning: dict[str, tuple[bool, str]] = {}
        self.live: dict[str, set[int]] = {entity: set() for entity in ENTITIES}
        self.deleted: dict[tuple[str, int], bool] = {}
        self.compare = False
        self.ahead = timedelta(0)
        type(self).figures.examples += 1

    def teardown(self) -> None:
        self.fault.disarm()
        self.county.close()
        self.county.target.close()

    # The county's people

    def _now(self) -> datetime:
        return self.county.clock.local().replace(microsecond=0)

    def _stamp(self, how: str) -> datetime:
        return self._now() - timedelta(seconds=BACK.get(how, 0))

    def _add(self, entity: str, number: int, parent: int | None, how: str, **values: object) -> None:
        stamp = self._stamp(how)
        whole = {**_DEFAULTS[entity], **values}
        if entity == "property":
            whole["ParcelNumber"] = f"1-{number:05d}"
        self.county.add(entity, number, of=parent, at=stamp.isoformat(" ", "milliseconds"), **whole)
        self.model.write(entity, number, whole, stamp, parent)

    def _change(
        self, entity: str, number: int, how: str, parent: int | None = None, **values: object
    ) -> None:
        row = self.model.rows[entity].get(number)
        if row is None:
            return
        stamp = row.stamp if how == "unmoved" else self._stamp(how)
        sent = dict(values)
        if parent is not None:
            sent["PropertyID"] = key("property", parent)
        self.county.change(entity, number, at=stamp.isoformat(" ", "milliseconds"), **sent)
        self.model.write(
            entity, number, {**row.values, **values}, stamp, row.parent if parent is None else parent
        )

    @initialize(rows=st.integers(3, 9))
    def begin_with(self, rows: int) -> None:
        for number in range(1, rows + 1):
            self._add("property", number, None, "old")
            self._add("owner", number, number, "old")

    @rule(entity=ENTITY, number=NUMBERS, parent=NUMBERS, how=st.sampled_from(["now", "late", "old", "ahead"]))
    def insert(self, entity: str, number: int, parent: int, how: str) -> None:
        self._count()
        if number not in self.model.rows[entity]:
            self._add(entity, number, parent if entity == "owner" else None, how)

    @rule(entity=ENTITY, number=NUMBERS, how=STAMPS, value=st.integers(1, 9))
    def change(self, entity: str, number: int, how: str, value: int) -> None:
        self._count()
        self._change(entity, number, how, **{BAD[entity][0]: value + 0.25})

    @rule(entity=ENTITY, numbers=st.lists(NUMBERS, min_size=1, max_size=6, unique=True), how=STAMPS)
    def turn_bad(self, entity: str, numbers: list[int], how: str) -> None:
        self._count()
        for number in numbers[: 1 if len(numbers) < 5 else 6]:
            self._change(entity, number, how, **{BAD[entity][0]: BAD[entity][1]})

    @rule(entity=ENTITY, how=STAMPS)
    def correct(self, entity: str, how: str) -> None:
        self._count()
        for number, row in list(self.model.rows[entity].items()):
            if self.model.broken(entity, row):
                self._change(entity, number, how, **{BAD[entity][0]: 7.5})

    @rule(entity=ENTITY, numbers=st.lists(NUMBERS, min_size=1, max_size=5, unique=True))
    def remove(self, entity: str, numbers: list[int]) -> None:
        self._count()
        for number in numbers[: 1 if len(numbers) < 4 else 5]:
            if number in self.model.rows[entity]:
                self.county.remove(entity, number)
                self.model.remove(entity, number)

    @rule(numbers=st.lists(NUMBERS, min_size=1, max_size=4, unique=True), parent=NUMBERS, how=STAMPS)
    def move(self, numbers: list[int], parent: int, how: str) -> None:
        self._count()
        for number in numbers:
            self._change("owner", number, how, parent=parent)

    @rule(minutes=st.sampled_from([2, 10, 45, 180, 1500]))
    def clock_goes_on(self, minutes: int) -> None:
        self._count()
        if self.ahead < timedelta(days=40):
            self.county.clock.step(minutes=minutes)
            self.ahead += timedelta(minutes=minutes)

    @rule(minutes=st.sampled_from([1, 30, 180, 1440]))
    def clock_is_set_back(self, minutes: int) -> None:
        self._count()
        self.county.clock.step(minutes=-minutes)

    @rule(what=st.sampled_from(["mapping", "mapping", "overlap", "overlap", "compare"]))
    def configure(self, what: str) -> None:
        self._count()
        if what == "overlap":
            minutes = 0 if self.model.overlap else 75
            self._configure(sync={"overlap_minutes": minutes})
            self.model.look_back(timedelta(minutes=minutes))
        elif what == "compare":
            self.compare = not self.compare
            self._configure(sync={"enable_cdc": not self.compare})
        else:
            self.oracle.city = "State" if self.oracle.city == "City" else "City"
            self._configure()

    def _configure(self, **sections: Any) -> None:
        columns = {"city": "State"} if self.oracle.city == "State" else {}
        self.county.configure(tables={"property": {"columns": columns}}, **sections)

    @rule()
    def week_passes(self) -> None:
        """Tombstones leave the delete guard's window."""
        self._count()
        for entity in ENTITIES:
            if self.plans and self.live[entity] | look(self.county, entity).dead:
                self.county.sql(
                    f"UPDATE {self.county.partition(entity)} SET _deleted_at = _deleted_at - interval '8 days' "
                    "WHERE _deleted_at IS NOT NULL"
                )
        self.deleted = dict.fromkeys(self.deleted, True)

    # The engine

    @rule(kind=KINDS, crash=st.one_of(st.just(0), st.just(0), st.integers(1, 160)), back=st.integers(1, 12))
    def run(self, kind: str, crash: int, back: int) -> None:
        """A whole run in one process; `crash` breaks it at that statement of either end."""
        self._count()
        if kind == "backfill" and _backfilled(back) not in self.meaning:
            return
        request = self._request(kind, back, one_process=True)
        known = self._newest()
        self._remember("next", kind)
        self.fault.arm(crash)
        certificate = None
        try:
            _, certificate = steps.run_all(
                self.county.config, self.county.source, self.county.target, request
            )
        except steps.CertificateError as error:
            certificate = error.certificate
        except PacsError as error:
            self._expected(error, crashed=self.fault.fired)
        finally:
            self.fault.disarm()
        self._adopt(known)
        self.absorb()
        if certificate is not None:
            self._check(certificate)

    @rule(kind=st.sampled_from(["sync", "sync", "reconcile"]))
    def run_through(self, kind: str) -> None:
        """A whole run without a crash."""
        self.run(kind, 0, 1)

    @rule(kind=KINDS, back=st.integers(1, 12))
    def plan(self, kind: str, back: int) -> None:
        """A run step by step begins."""
        self._count()
        if kind == "backfill" and _backfilled(back) not in self.meaning:
            return
        known = self._newest()
        self._remember("next", kind)
        try:
            made = steps.plan(
                self.county.config, self.county.source, self.county.target, self._request(kind, back)
            )
        except PacsError as error:
            self._expected(error, crashed=False)
            self._adopt(known)
            return
        self._adopt(known)
        self.open = OpenRun(made.run_id, made.kind)

    @precondition(lambda self: self.open is not None)
    @rule(entity=ENTITY, again=st.booleans(), crash=st.sampled_from([0, 0, 0, 2, 9, 15]))
    def extract(self, entity: str, again: bool, crash: int) -> None:
        """A try of an extract; also when it succeeded before, as a cleared task does."""
        self._count()
        assert self.open is not None
        if self.open.attempts[entity] and not again:
            return
        self.open.attempts[entity] += 1
        planned = self.plans[self.open.run_id]
        planned.read[entity] = self.model.mutations
        run_id, attempt = self.open.run_id, self.open.attempts[entity]
        self._step(lambda: self.county.extract(run_id, entity, attempt), crash)

    @precondition(lambda self: self.open is not None)
    @rule(entity=ENTITY, crash=st.sampled_from([0, 0, 0, 3, 8]))
    def validate(self, entity: str, crash: int) -> None:
        self._count()
        assert self.open is not None
        run_id = self.open.run_id
        config, target = self.county.config, self.county.target
        self._step(lambda: steps.validate(config, target, run_id=run_id, entity=entity), crash)

    @precondition(lambda self: self.open is not None)
    @rule()
    def stage(self) -> None:
        """Extract and validate all that is left."""
        assert self.open is not None
        for entity in ENTITIES:
            if not self.open.attempts[entity]:
                self.extract(entity, False, 0)
            self.validate(entity, 0)

    @precondition(lambda self: self.open is not None)
    @rule()
    def finish(self) -> None:
        """Publish and certify."""
        self.publish(0)
        self.certify(0)

    @precondition(lambda self: self.open is not None)
    @rule(crash=st.sampled_from([0, 0, 0, 5, 12, 20, 27, 35]))
    def publish(self, crash: int) -> None:
        self._count()
        assert self.open is not None
        run_id = self.open.run_id
        self._step(lambda: self.county.publish(run_id), crash)

    @precondition(lambda self: self.open is not None)
    @rule(crash=st.sampled_from([0, 0, 0, 6, 15, 25, 40]))
    def certify(self, crash: int) -> None:
        """The certificate is checked where this call issued it."""
        self._count()
        assert self.open is not None
        run_id = self.open.run_id
        before = self.county.target.runs.run(run_id).state
        certificate = self._step(lambda: self.county.certify(run_id), crash)
        if certificate is None:
            return
        if before in ("running", "published"):
            self._check(certificate)
        else:
            stored = self.county.target.certifier.of_run(run_id)
            if stored is None or (stored.state, stored.entities) != (certificate.state, certificate.entities):
                raise Findings(f"certified again, it says another thing: {stored} {certificate}")

    @precondition(lambda self: self.open is not None)
    @rule()
    def worker_dies(self) -> None:
        """Nobody goes on with the run that is made step by step."""
        self._count()
        self._abandon()

    @rule(
        decision=st.sampled_from(["approve", "approve", "reject", "stale"]),
        crash=st.sampled_from([0, 0, 0, 40, 90]),
    )
    def decide(self, decision: str, crash: int) -> None:
        """A person decides on a pending set."""
        self._count()
        pending = self.county.target.approvals.pending(self.county.fips) if self.plans else []
        if not pending:
            return
        sets = [(pending[0].pending_id, pending[0].digest if decision != "stale" else "00")]
        if decision == "reject":
            steps.reject(self.county.config, self.county.target, sets=sets, actor="assessor")
            return
        known = self._newest()
        self._remember("next", "approval")
        approved = set(look(self.county, pending[0].entity).pending)
        self.fault.arm(crash)
        done = False
        try:
            steps.approve(
                self.county.config,
                self.county.source,
                self.county.target,
                sets=sets,
                actor="assessor",
                trigger="t",
            )
            done = True
        except steps.CertificateError:
            done = True
        except ConflictError:
            if decision != "stale" and not self.fault.fired:
                raise
        except PacsError as error:
            self._expected(error, crashed=self.fault.fired)
        finally:
            self.fault.disarm()
        self._adopt(known)
        self.absorb(approved={(pending[0].entity, number) for number in approved})
        if done:
            if decision == "stale":
                raise Findings("a decision on another digest was carried out")
            certificate = self.county.target.certifier.latest(self.county.fips, kind="approval")
            assert certificate is not None
            self._check(certificate)

    # What the model makes of it

    def _count(self) -> None:
        figures = type(self).figures
        figures.rules += 1
        if figures.traced:
            name = sys._getframe(1).f_code.co_name
            print(f"{figures.examples}:{figures.rules} {name}", file=sys.stderr)

    def _request(self, kind: str, back: int, *, one_process: bool = False) -> steps.RunRequest:
        if kind == "backfill":
            since, until = self._now() - timedelta(hours=back), self._now() + timedelta(minutes=1)
            window = Backfill(_backfilled(back), str(since), str(until))
            return steps.RunRequest("backfill", "test", window=window, one_process=one_process)
        mode: Literal["auto", "full"] = "auto" if kind == "sync" else "full"
        what: Any = "reconcile" if kind == "reconcile" else "sync"
        return steps.RunRequest(what, "test", mode, one_process=one_process)

    def _remember(self, name: str, kind: str) -> None:
        utc = self.county.clock.instant().utc
        must = {
            entity: kind in ("full", "reconcile")
            or (
                kind == "sync"
                and (
                    utc < self.last_utc.get(entity, utc)
                    or self.meaning.get(entity, self._meaning(entity)) != self._meaning(entity)
                )
            )
            for entity in ENTITIES
        }
        meaning = {entity: self._meaning(entity) for entity in ENTITIES}
        read = dict.fromkeys(ENTITIES, self.model.mutations)
        self.plans[name] = Planned(self._now(), utc, read, must, meaning)

    def _newest(self) -> str | None:
        if not self.county.sql("SELECT to_regclass('pacs_ops.sync_run') AS t")[0]["t"]:
            return None
        rows = self.county.sql(
            "SELECT run_id::text FROM pacs_ops.sync_run WHERE county_id = %s ORDER BY epoch DESC LIMIT 1",
            self.county.fips,
        )
        return str(rows[0]["run_id"]) if rows else None

    def _adopt(self, known: str | None) -> None:
        """What was remembered belongs to the run that was opened since, if one was."""
        planned, newest = self.plans.pop("next"), self._newest()
        if newest is not None and newest != known:
            self.plans[newest] = planned
            type(self).figures.runs += 1
            for row in self.county.target.runs.entities(newest):
                if planned.must_be_full[row.entity] and row.mode == "window":
                    raise Findings(f"{row.entity} must be read whole, and is read by a window: {row.reason}")

    def _expected(self, error: PacsError, *, crashed: bool) -> None:
        """Nothing but a crash that was asked for, or a run of the county that is at work."""
        if crashed:
            type(self).figures.crashes += 1
            return
        if error.code == "PACS-008" and self.open is not None:
            self._abandon()
            return
        raise error

    def _abandon(self) -> None:
        assert self.open is not None
        self.county.sql(
            "UPDATE pacs_ops.sync_run SET heartbeat_at = '-infinity' WHERE run_id = %s", self.open.run_id
        )
        self.open = None

    def _step(self, step: Callable[[], Any], crash: int) -> Any:
        """One step of the open run; out of order, or overtaken, it may refuse."""
        self.fault.arm(crash)
        try:
            return step()
        except (ConflictError, DataError):
            return None
        except RetryableError:
            if not self.fault.fired:
                raise
            type(self).figures.crashes += 1
            return None
        finally:
            self.fault.disarm()
            self.absorb()

    def absorb(self, approved: set[tuple[str, int]] | None = None) -> None:
        """What was published since: cursors, tombstones."""
        kinds: set[str] = set()
        for run_id, planned in list(self.plans.items())[-2:]:
            for row in self.county.target.runs.entities(run_id) if run_id != "next" else ():
                if row.state != "published" or planned.absorbed.get(row.entity) == row.attempt:
                    continue
                planned.absorbed[row.entity] = row.attempt
                if row.read_plan.moves_cursor:
                    self.model.published(
                        row.entity, planned.local, planned.read[row.entity], complete=row.mode == "full"
                    )
                    self.last_utc[row.entity] = planned.utc
                    self.meaning[row.entity] = planned.meaning[row.entity]
                kinds.add(self.county.target.runs.run(run_id).kind)
        for entity in ENTITIES if self.plans else ():
            self._tombstones(entity, kinds, approved or set())
        if self.plans:
            self.oracle.check_rows()

    def _meaning(self, entity: str) -> tuple[bool, str]:
        """What decides a row's image and how it is read: strategy, mapping."""
        return self.compare, self.oracle.city if entity == "property" else ""

    def _tombstones(self, entity: str, kinds: set[str], approved: set[tuple[str, int]]) -> None:
        platform = look(self.county, entity)
        gone = {number for number in self.live[entity] - set(platform.live) if number in platform.dead}
        if lost := self.live[entity] - set(platform.live) - platform.dead:
            raise Findings(f"{entity} {lost} vanished without a tombstone")
        self.live[entity] = set(platform.live)
        for number in platform.live:
            self.deleted.pop((entity, number), None)
        for number in gone:
            let_go = (entity, number) in approved or "approval" in kinds
            self.deleted[entity, number] = let_go
        counted = [each for each, free in self.deleted.items() if each[0] == entity and not free]
        if len(counted) > GUARD:
            raise Findings(f"{len(counted)} rows of {entity} became tombstones, the guard allows {GUARD}")

    def _check(self, certificate: Certificate) -> None:
        figures = type(self).figures
        word = f"{certificate.kind} {certificate.covered} {certificate.state}"
        figures.certificates[word] = figures.certificates.get(word, 0) + 1
        rows = self.county.target.runs.entities(certificate.run_id)
        planned = self.plans[certificate.run_id]
        self.oracle.check(certificate, planned.read, rows, planned.meaning["property"][1])


def _backfilled(back: int) -> str:
    """The entity whose last hours are read again."""
    return "property" if back % 2 else "owner"


_DEFAULTS: dict[str, dict[str, object]] = {
    "property": {
        "Address": "1 Main St",
        "City": "Prosser",
        "State": "WA",
        "ZipCode": "99350",
        "LegalDescription": "LOT 1",
        "Acreage": 0.25,
        "YearBuilt": 1999,
        "IsActive": 1,
    },
    "owner": {"OwnerName": "Ann Lee", "OwnerType": "Individual", "OwnershipPercentage": 50.5},
}
