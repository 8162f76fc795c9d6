"""What must hold before a run claims its county: nobody else is at work, and the login, the clocks and the
connections are as the county's file demands.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.entities import EntityColumn
from airflow_provider_pacs.sync.incremental import LAST_MODIFIED
from airflow_provider_pacs.sync.preflight.resolve import ReadChoice
from airflow_provider_pacs.sync.preflight.target import promoted_lacking
from airflow_provider_pacs.sync.records import RunKind, Turn
from airflow_provider_pacs.sync.runtime.errors import ConfigError, RetryableError
from airflow_provider_pacs.sync.schema.permissions import read_permissions
from airflow_provider_pacs.sync.schema.stamping import check_stamping_clock
from airflow_provider_pacs.sync.schema.tables import source_tables
from airflow_provider_pacs.sync.source.port import SourceReader
from airflow_provider_pacs.sync.target.port import Target

log = logging.getLogger(__name__)

QUIET_MINUTES = 10
"""A reconcile, backfill or approval that gave no sign of life for this long is over, whatever its record
says.
"""
WAIT_SECONDS, LOOK_SECONDS = 30.0, 0.2
"""How long a sync waits in its process for another run of the county to end, and how often it looks."""


def turn_of(config: CountyConfig, kind: RunKind) -> Turn:
    """A run in the order of the county's runs."""
    minutes = config.sync.timeout_minutes
    return Turn(kind, minutes, min(QUIET_MINUTES, minutes))


def let_others_finish(config: CountyConfig, target: Target, kind: RunKind) -> None:
    """Runs of a county wait for each other: nobody overtakes a run of another kind that is at work.

    A sync takes over from an earlier sync: the later one reads all that the earlier one would have. Nobody
    waits for a sync here: it can take hours, and whoever asked tries again.

    Raises:
        RetryableError: PACS-008, the other run is still at work.
    """
    deadline = time.monotonic() + WAIT_SECONDS
    while (active := target.runs.in_the_way(config.fips, turn_of(config, kind))) is not None:
        if active.kind == "sync" or time.monotonic() > deadline:
            raise RetryableError(
                f"{config.county}: a {active.kind} of this county is at work (run {active.run_id})",
                remedy="try again when it has ended; the next sync takes over from one that was killed",
                code="PACS-008",
            )
        time.sleep(LOOK_SECONDS)


def refuse_a_login_that_writes(
    config: CountyConfig, source: SourceReader, choices: Mapping[str, ReadChoice]
) -> None:
    """Where the county's file says `read_only: strict`, a login that could do more than read ends the run
    before it claims anything.

    Raises:
        ConfigError: it could, or the server does not say.
    """
    if config.source.read_only != "strict":
        return
    tables = [table for choice in choices.values() for table in source_tables(choice.table)]
    permissions = read_permissions(source, tables)
    if permissions.beyond_reading or not permissions.is_known:
        why = (
            f"could do more than read: {permissions.beyond_reading}"
            if permissions.beyond_reading
            else "has permissions that the server does not show"
        )
        raise ConfigError(
            f"{config.county}: the source's login {why} (source.read_only is strict)",
            remedy=f"use a login with what `pacs grants {config.county}` prints, or set "
            "source.read_only: warn",
        )


def weak_target(config: CountyConfig, target: Target) -> tuple[str, ...]:
    """Settings of the target's connection that are weaker than the default: said and audited in every run.

    Raises:
        ConfigError: there is one, and the county's file says `target.tls: strict`.
    """
    weak = target.weak_settings
    if weak and config.target.tls == "strict":
        raise ConfigError(
            f"{config.county}: the target's connection is weaker than the county's file allows: {'; '.join(weak)}",  # noqa: E501
            remedy="use sslmode=verify-full with the server's CA in sslrootcert, or set target.tls: warn",
        )
    for setting in weak:
        log.warning("%s: the target's connection is weak: %s", config.county, setting)
    return weak


def refuse_another_clock(
    config: CountyConfig, source: SourceReader, choices: Mapping[str, ReadChoice], server_offset_minutes: int
) -> None:
    """A run by change stamps that another clock than the configured one writes would pass rows by (case D7).

    Raises:
        ConfigError: the newest stamps and the server's own record of its last writes prove it.
    """
    dated = [choice.table for choice in choices.values() if choice.strategy == LAST_MODIFIED]
    if dated and config.sync.clock_offset_minutes is None:
        utc_minutes = server_offset_minutes if config.sync.clock == "utc" else 0
        refusal = check_stamping_clock(source, dated, utc_minutes=utc_minutes).refusal(config.county)
        if refusal is not None:
            raise refusal


def promoted(config: CountyConfig, target: Target) -> dict[str, tuple[EntityColumn, ...]]:
    """Every promoted column of the target's tables, by entity.

    Raises:
        ConfigError: PACS-003, the county's file promotes a column that is not there, or is of another type.
    """
    there = target.promoted()
    if lacking := promoted_lacking(config, there):
        raise ConfigError(
            f"{config.county}: {', '.join(lacking)}: the target has no such column of that type",
            remedy=f"run `pacs migrate {config.county}` as a member of pacs_owner: it adds the column",
            code="PACS-003",
        )
    return there
