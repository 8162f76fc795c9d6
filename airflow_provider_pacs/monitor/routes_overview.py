"""`/api/overview` and `/api/summary`: all counties that the user may read, at a glance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import get_args

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter

from airflow_provider_pacs.monitor.access import may_read_import_errors, readable, readable_names
from airflow_provider_pacs.monitor.airflow_runs import CountyRuns, airflow_runs
from airflow_provider_pacs.monitor.counties import DagState, counties_folder, dag_states, find_counties
from airflow_provider_pacs.monitor.models import CountyLine, CountyState, Overview, Summary
from airflow_provider_pacs.monitor.presenters import broken_line, county_line, target_line
from airflow_provider_pacs.monitor.realtime import kept_by_airflow, realtime_line
from airflow_provider_pacs.monitor.status import NO_RUNS
from airflow_provider_pacs.monitor.targets import Asked, ask_each
from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.target.postgres.read import OpsReader
from airflow_provider_pacs.sync.target.postgres.read_records import CountyStanding

router = APIRouter(prefix="/api", tags=["overview"])
URGENCY: tuple[CountyState, ...] = get_args(CountyState)
CARD_LINES = 5
_FILE_IS_BROKEN = "Its county file can't be used: whoever may read Airflow's import errors sees why."


@router.get("/overview")
def overview(user: GetUserDep) -> Overview:
    """Give every county's line, the most urgent first, and which targets answered. A county whose file can't
    be used has a line like the others: who watches the page must not miss it.
    """
    loaded = find_counties()
    configs = readable(user, loaded.good.values())
    now = datetime.now(UTC)
    answers = ask_each(configs, _by_county)
    dags = dag_states([config.county for config in configs])
    runs = airflow_runs(configs)
    lines = [_line(config, dags, runs, answers, now) for config in configs]
    add_realtime(lines, configs, answers, now)
    may_name_files = may_read_import_errors(user)
    for county in readable_names(user, loaded.reasons):
        cause = _named(loaded.reasons[county]) if may_name_files else _FILE_IS_BROKEN
        lines.append(broken_line(county, cause))
    lines.sort(key=lambda line: (URGENCY.index(line.state), line.name))
    counts = Counter(line.state for line in lines)
    per_target = Counter(config.target.connection for config in configs)
    return Overview(
        at=now,
        counties=lines,
        totals={state: counts[state] for state in get_args(CountyState)},
        running=sum(line.running for line in lines),
        targets=[target_line(asked, per_target[name]) for name, (asked, _) in sorted(answers.items())],
        broken_files=[_named(error) for error in loaded.broken] if may_name_files else [],
    )


@router.get("/summary")
def summary(user: GetUserDep) -> Summary:
    """Give the dashboard's card."""
    whole = overview(user)
    return Summary(
        at=whole.at,
        totals=whole.totals,
        running=whole.running,
        attention=[line for line in whole.counties if line.state not in ("in_step", "never")][:CARD_LINES],
        broken_files=len(whole.broken_files),
        targets_down=[target.connection for target in whole.targets if not target.ok],
    )


def add_realtime(
    lines: Sequence[CountyLine],
    configs: Sequence[CountyConfig],
    answers: dict[str, tuple[Asked, dict[str, CountyStanding] | None]],
    now: datetime,
) -> None:
    """Say of each followed county how it is followed. Airflow is asked once for all of them."""
    followed = [config for config in configs if config.realtime.enabled]
    if not followed:
        return
    kept = kept_by_airflow(followed)
    dags = dag_states([config.county for config in followed], "realtime")
    for line, config in zip(lines, configs, strict=True):
        standing = (answers[config.target.connection][1] or {}).get(config.fips)
        row = standing.realtime if standing is not None else None
        line.realtime = realtime_line(config, dags.get(config.county), kept.get(config.county), row, now)


def _named(error: ConfigError) -> str:
    """The problem, with the file's name in the place of its path."""
    return error.message.replace(f"{counties_folder()}/", "")


def _by_county(reader: OpsReader, county_ids: list[str]) -> dict[str, CountyStanding]:
    return {standing.facts.county_id: standing for standing in reader.overview(county_ids)}


def _line(
    config: CountyConfig,
    dags: dict[str, DagState],
    runs: dict[str, CountyRuns],
    answers: dict[str, tuple[Asked, dict[str, CountyStanding] | None]],
    now: datetime,
) -> CountyLine:
    asked, standings = answers[config.target.connection]
    return county_line(
        config,
        dags.get(config.county),
        (standings or {}).get(config.fips),
        asked,
        now,
        runs.get(config.county, NO_RUNS),
    )
