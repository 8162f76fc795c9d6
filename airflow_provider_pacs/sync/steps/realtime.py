"""A county whose source has changed -> runs of all five steps in this process, as long as changes come.

A position is read before a run is planned, so the run's own bounds are never below it: once the run is
published, everything that had moved the position is in the target. A position is stored only then; whoever
was killed before leaves the old one, and the trigger starts a task again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.incremental import LAST_MODIFIED
from airflow_provider_pacs.sync.polling import (
    Followed,
    PollPlan,
    moved,
    poll_query,
    read_position,
)
from airflow_provider_pacs.sync.preflight.followed import followed_entities
from airflow_provider_pacs.sync.preflight.resolve import resolve_tables
from airflow_provider_pacs.sync.records import Certificate, RunOutcome, RunRequest
from airflow_provider_pacs.sync.runtime.errors import ConfigError, DataError, RetryableError
from airflow_provider_pacs.sync.schema.features import read_features
from airflow_provider_pacs.sync.source.port import SourceReader
from airflow_provider_pacs.sync.steps.hold import refuse_held
from airflow_provider_pacs.sync.steps.preconditions import turn_of
from airflow_provider_pacs.sync.steps.run import run_all
from airflow_provider_pacs.sync.target.port import Target

log = logging.getLogger(__name__)

LEASE_SECONDS, RENEW_SECONDS = 60.0, 15.0
"""For how long a task says that it follows the county, and how often it says so again."""
QUICK_SECONDS = 1.0
"""How often a lingering task polls where the answer costs the source nothing."""
BUSY = "PACS-008"


class FollowedState(Protocol):
    """Where a county's `Followed` lives between tasks."""

    def read(self) -> dict[str, Any] | None:
        """What was written last."""

    def write(self, document: dict[str, Any]) -> None:
        """Keep the document."""


@dataclass(frozen=True, slots=True)
class FollowOutcome:
    """What one task did.

    Attributes:
        runs: runs that were published.
        rows: rows that they inserted, updated or deleted.
        polls: how often the position was asked.
        busy: a position was left for later because another run of the county was at work.
        pending: deletes of a run wait for a person.
        entities: rows that were written, by entity that was published.
    """

    runs: int = 0
    rows: int = 0
    polls: int = 0
    busy: bool = False
    pending: bool = False
    entities: dict[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def follow(
    config: CountyConfig,
    source: SourceReader,
    target: Target,
    state: FollowedState,
    *,
    trigger: str,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    sleep: Callable[[float], None] = time.sleep,
) -> FollowOutcome:
    """Bring the target in step with the source, and go on doing so while changes come.

    Ends `realtime.linger_seconds` after the last run, when business hours end, or after half of the task's
    time limit.

    Args:
        config: the county.
        source: an open reader.
        target: an open target.
        state: where the position is kept.
        trigger: Airflow's run id, for the runs' records.
        now: our clock, UTC; for tests.
        sleep: waits; for tests.

    Raises:
        ConfigError: no entity of the county can be followed.
        DataError: a run's certificate is neither clean nor pending; the position counts as handled, because
            the same rows would give the same certificate.
        ConflictError: PACS-011, the county is on hold.
        RetryableError: an end can't be reached now.
    """
    target.migrate()  # the order of runs is asked before a run is planned
    plan = poll_plan(config, source)
    return _Follower(config, source, target, state, plan, trigger, now, sleep).run()


def poll_plan(config: CountyConfig, source: SourceReader) -> PollPlan:
    """What a poll of the county asks, by how its entities are read.

    Raises:
        ConfigError: no entity can be followed; or the tables are not as mapped.
    """
    choices = resolve_tables(config, source, read_features(source))
    entities, left_out = followed_entities(config, source, choices)
    if not entities:
        raise ConfigError(
            f"{config.county}: no entity can be followed: "
            + "; ".join(f"{name}: {reason}" for name, reason in left_out.items()),
            remedy=f"`pacs check {config.county}` says what the database's administrator must switch on; "
            "until then set realtime.enabled: false",
        )
    return PollPlan(entities, left_out, config.realtime.sweep_minutes)


class _Follower:
    """One task's work."""

    def __init__(
        self,
        config: CountyConfig,
        source: SourceReader,
        target: Target,
        state: FollowedState,
        plan: PollPlan,
        trigger: str,
        now: Callable[[], datetime],
        sleep: Callable[[float], None],
    ) -> None:
        self.config, self.source, self.target, self.state = config, source, target, state
        self.plan, self.trigger, self.now, self.sleep = plan, trigger, now, sleep
        self.followed = self._known()
        self.outcome = FollowOutcome()
        self.again_at: datetime | None = None
        self._renewed_at: datetime | None = None

    def _known(self) -> Followed:
        """What the task before stored, with this task's plan."""
        document = self.state.read()
        if document is None:
            return Followed(self.plan)
        try:
            return replace(Followed.from_json(document), plan=self.plan)
        except ConfigError as error:
            log.warning("%s: %s", self.config.county, error.message)
            return Followed(self.plan)

    def run(self) -> FollowOutcome:
        """Poll and synchronise until nothing has come for a while."""
        ends_at = self._ends_at()
        quiet_since = self.now()
        try:
            while True:
                self.renew()
                position = self._position()
                if self._is_due(position):
                    if self._synchronise(position):
                        quiet_since = self.now()
                        continue
                quiet_until = quiet_since + timedelta(seconds=self.config.realtime.linger_seconds)
                if self.again_at is not None:
                    quiet_until = max(quiet_until, self.again_at + timedelta(seconds=1))
                if self.now() >= min(quiet_until, ends_at):
                    return self.outcome
                self.sleep(self._pace())
        finally:
            self._store(lease_until=None)

    def renew(self) -> None:
        """Say that this task follows the county; called often, does it every few seconds."""
        now = self.now()
        if self._renewed_at is None or now - self._renewed_at >= timedelta(seconds=RENEW_SECONDS):
            self._renewed_at = now
            self._store(lease_until=now + timedelta(seconds=LEASE_SECONDS))

    def _ends_at(self) -> datetime:
        now = self.now()
        limit = now + timedelta(minutes=self.config.sync.timeout_minutes) / 2
        closes = self.config.business_hours.closes_at(now)
        return limit if closes is None else min(limit, closes)

    def _pace(self) -> float:
        """Seconds until the next poll: a look at stamps may scan a table, other positions cost nothing."""
        scans = any(each.strategy == LAST_MODIFIED for each in self.plan.entities)
        poll = float(self.config.realtime.poll_seconds)
        return poll if scans else min(poll, QUICK_SECONDS)

    def _position(self) -> dict[str, str]:
        query = poll_query(self.plan)
        (row,) = self.source.query(query.sql, query.params)
        self.outcome = replace(self.outcome, polls=self.outcome.polls + 1)
        return read_position(self.plan, list(row.values()))

    def _is_due(self, position: dict[str, str]) -> bool:
        if self.again_at is not None and self.now() >= self.again_at:
            return True
        return self.again_at is None and bool(moved(self.followed.position, position))

    def _synchronise(self, position: dict[str, str]) -> bool:
        """One run; False where another run of the county is at work."""
        self.followed = replace(self.followed, changed_at=self.now())
        request = RunRequest("realtime", self.trigger, one_process=True)
        # Asked here as well as in the plan: a run that is refused there is a failure in the journal.
        refuse_held(self.config, self.target, request.kind)
        if self.target.runs.in_the_way(self.config.fips, turn_of(self.config, request.kind)) is not None:
            self.outcome = replace(self.outcome, busy=True)
            return False
        try:
            outcome, certificate = run_all(
                self.config,
                self.source,
                self.target,
                request,
                on_message=self._message,
                on_progress=lambda *_: self.renew(),
            )
        except RetryableError as error:
            if error.code != BUSY:
                raise
            log.info("%s: %s", self.config.county, error.message)
            self.outcome = replace(self.outcome, busy=True)
            return False
        except DataError:
            self._handled(position)
            raise
        self._count(outcome, certificate)
        if self._is_settled(certificate):
            self.again_at = None
            self._handled(position)
        else:
            self.again_at = self.now() + timedelta(seconds=max(self.config.sync.lag_seconds, 1))
        return True

    def _count(self, outcome: RunOutcome, certificate: Certificate) -> None:
        before = self.outcome
        written = {
            each.entity: before.entities.get(each.entity, 0) + each.changed
            for each in outcome.entities
            if each.state == "published"
        }
        self.outcome = replace(
            before,
            runs=before.runs + 1,
            rows=before.rows + sum(each.changed for each in outcome.entities),
            busy=False,
            pending=before.pending or certificate.state == "pending",
            entities=before.entities | written,
        )

    def _is_settled(self, certificate: Certificate) -> bool:
        """Whether the run read all that its position stands for: a stamp that is newer than the run's bound,
        which an open writer holds back, is read by another run.
        """
        stamped = {each.entity for each in self.plan.entities if each.strategy == LAST_MODIFIED}
        return not any(each.newer for each in certificate.entities if each.entity in stamped)

    def _handled(self, position: dict[str, str]) -> None:
        now = self.now()
        self._renewed_at = now
        self._store(position=position, handled_at=now, lease_until=now + timedelta(seconds=LEASE_SECONDS))

    def _store(self, **changes: Any) -> None:
        self.followed = replace(self.followed, **changes)
        self.state.write(self.followed.as_json())

    def _message(self, text: str) -> None:
        self.renew()
        log.info("%s: %s", self.config.county, text)
