"""A folder of county files comes in, `{dag_id: DAG}` goes out: three DAGs per county, four with a history.

No database and no heavy import while parsing.

A broken file must not hide the other counties, and Airflow keeps one import error per DAG file and marks all
of that file's DAGs as stale. So either every county has a DAG file of its own, which calls `county_dags` and
whose import error is that county's alone; or two DAG files serve all counties: one calls `build_county_dags`,
which leaves broken counties out, the other `raise_broken_counties`, whose only purpose is Airflow's
import-error banner (docs/adr/0002-broken-county-file.md).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from inspect import signature
from pathlib import Path
from typing import Any

from airflow.configuration import conf
from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import (
    DAG,
    Asset,
    AssetWatcher,
    CronTriggerTimetable,
    Param,
    TaskGroup,
    TriggerRule,
    get_parsing_context,
)
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

from airflow_provider_pacs.assets import pending_asset
from airflow_provider_pacs.dag_texts import (
    MODE_HELP,
    ONTO_HELP,
    PENDING_BODY,
    ROLLBACK_BODY,
    RUN_HELP,
    as_text,
    county_page,
)
from airflow_provider_pacs.operators.approvals import (
    APPROVE,
    REJECT,
    PacsDecideOperator,
    PacsPendingDeletesOperator,
)
from airflow_provider_pacs.operators.base import retry_settings
from airflow_provider_pacs.operators.certify import PacsCertifyOperator
from airflow_provider_pacs.operators.deadline import log_missed_deadline
from airflow_provider_pacs.operators.extract import (
    PacsChangesOperator,
    PacsExtractOperator,
    PacsRelationshipOperator,
)
from airflow_provider_pacs.operators.preflight import PacsPreflightOperator
from airflow_provider_pacs.operators.publish import PacsPublishOperator
from airflow_provider_pacs.operators.realtime import PacsRealtimeOperator
from airflow_provider_pacs.operators.rollback import PacsProposeRollbackOperator, PacsRollbackOperator
from airflow_provider_pacs.operators.validate import PacsValidateOperator
from airflow_provider_pacs.sync.config import CountyConfig, load_county, table_maps
from airflow_provider_pacs.sync.config.folder import load_counties
from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.runtime.secrets import describe_foreign
from airflow_provider_pacs.triggers.changes import PacsChangeTrigger

log = logging.getLogger(__name__)

_PREFIX = "pacs_"
_OF_A_COUNTY = ("_reconcile", "_approvals", "_realtime", "_writeback", "_rollback")


def build_county_dags(path: str | Path | None = None) -> dict[str, DAG]:
    """Build `pacs_<county>`, `pacs_<county>_reconcile` and `pacs_<county>_approvals` for every usable county
    file, `pacs_<county>_realtime` where its file enables it, and `pacs_<county>_rollback` where the county
    keeps its history.

    When Airflow parses the file for one task, only that task's county is loaded.

    Args:
        path: the folder of the county files; None for `[pacs] counties_path`, or `counties` in the DAGs
            folder.

    Raises:
        ConfigError: there is no such folder.
    """
    folder = _folder(path)
    wanted = get_parsing_context().dag_id
    if wanted is not None:
        county = _county_of(wanted)
        config = _only(folder, county)
        counties = {} if config is None else {county: config}
    else:
        loaded = load_counties(folder)
        counties = loaded.good
        for error in loaded.broken:
            log.error("This county file is left out: %s", error)
    built, failed = _build(counties)
    for error in failed:
        log.error("This county is left out: %s", error)
    return built


def county_dags(county: str, path: str | Path | None = None) -> dict[str, DAG]:
    """Build the DAGs of one county, for a DAG file of its own: what is wrong with the county is that file's
    import error, and no other county's.

    Args:
        county: the name of the county's file, without its ending.
        path: the folder of the county files; None for `[pacs] counties_path`, or `counties` in the DAGs
            folder.

    Raises:
        ConfigError: there is no such county, its file is broken, another file claims its name or its FIPS
            code, or its DAGs can't be built.
    """
    wanted = get_parsing_context().dag_id
    if wanted is not None and _county_of(wanted) != county:
        return {}
    folder = _folder(path)
    loaded = load_counties(folder)
    if county in loaded.reasons:
        raise loaded.reasons[county]
    if county not in loaded.good:
        raise ConfigError(
            f"{folder / county}.yaml: there is no such file",
            remedy=f"Write it (`pacs init {county}`), or remove the DAG file that names the county.",
        )
    built, failed = _build({county: loaded.good[county]})
    for error in failed:
        raise error
    return built


def _build(counties: Mapping[str, CountyConfig]) -> tuple[dict[str, DAG], list[ConfigError]]:
    """Each county in a try of its own: what one county's settings do to Airflow is that county's alone."""
    built: dict[str, DAG] = {}
    failed: list[ConfigError] = []
    for county, config in counties.items():
        try:
            dags = [sync_dag(config), reconcile_dag(config), approvals_dag(config)]
            if config.realtime.enabled:
                dags.append(realtime_dag(config))
            if config.history.enabled:
                dags.append(rollback_dag(config))
        except Exception as error:
            failed.append(ConfigError(f"{county}: its DAGs can't be built: {describe_foreign(error)}"))
        else:
            built |= {dag.dag_id: dag for dag in dags}
    return built, failed


def raise_broken_counties(path: str | Path | None = None) -> None:
    """Raise one ConfigError for all unusable county files, for Airflow's banner; say nothing when there is
    none.

    Raises:
        ConfigError: lists every problem of every unusable file.
    """
    if get_parsing_context().dag_id is not None:
        return
    folder = _folder(path)
    loaded = load_counties(folder)
    if broken := (*loaded.broken, *_build(loaded.good)[1]):
        raise ConfigError(
            f"{len(broken)} problem(s) with county files in {folder}; the other counties run.\n"
            + "\n".join(error.message for error in broken),
            remedy="Correct the files named above; until then these counties are not synchronised.",
        )


def sync_dag(config: CountyConfig) -> DAG:
    """Build preflight -> (extract -> validate) per entity -> publish -> certify."""
    mode = Param(
        "auto" if config.sync.enable_cdc else "full",
        type="string",
        enum=["auto", "full"],
        title="How to read",
        description=MODE_HELP,
    )
    with _dag(
        config, f"{_PREFIX}{config.county}", config.sync.cron, f"Synchronise {config.name}", {"mode": mode}
    ) as dag:
        _five_steps(
            config, PacsPreflightOperator(task_id="preflight", config=config, mode="{{ params.mode }}")
        )
    return dag


def _five_steps(config: CountyConfig, preflight: PacsPreflightOperator) -> None:
    """The chain of every run kind.

    Publish runs whatever became of the entities: those that passed are published. Certify also hangs on the
    preflight: where that failed, publish is skipped, and the run must not end as a success.
    """
    publish = PacsPublishOperator(task_id="publish", config=config, trigger_rule=TriggerRule.ALL_DONE)
    certify = PacsCertifyOperator(task_id="certify", config=config)
    for entity in config.sync.entities:
        with TaskGroup(group_id=entity, prefix_group_id=False, tooltip=f"{entity}: stage and validate"):
            extract = _extract_operator(config, entity)(
                task_id=f"extract_{entity}", config=config, entity=entity
            )
            validate = PacsValidateOperator(task_id=f"validate_{entity}", config=config, entity=entity)
        preflight >> extract >> validate >> publish
    publish >> certify
    preflight >> certify


def _extract_operator(config: CountyConfig, entity: str) -> type[PacsExtractOperator]:
    """All do what the preflight planned; the name says in Airflow's views how an entity is read."""
    if not config.sync.enable_cdc:
        return PacsExtractOperator
    return PacsRelationshipOperator if table_maps(config)[entity].joined else PacsChangesOperator


def reconcile_dag(config: CountyConfig) -> DAG:
    """Build the same chain with a plan that compares every row."""
    with _dag(
        config,
        f"{_PREFIX}{config.county}_reconcile",
        config.sync.reconcile_cron,
        f"Prove that {config.name} is in step",
        {},
    ) as dag:
        _five_steps(
            config,
            PacsPreflightOperator(task_id="preflight", config=config, purpose="reconcile", mode="full"),
        )
    return dag


def approvals_dag(config: CountyConfig) -> DAG:
    """Build pending -> decide (Airflow's Required Actions) -> apply.

    It starts by itself when deletes of a run wait for a person.
    """
    schedule = [pending_asset(config)]
    with _dag(
        config,
        f"{_PREFIX}{config.county}_approvals",
        None,
        f"Decide on pending deletes of {config.name}",
        {},
        assets=schedule,
        asks_a_person=True,
    ) as dag:
        pending = PacsPendingDeletesOperator(task_id="pending", config=config)
        # Retries (the default arguments bring them) matter here: Airflow 3.3 can fail a question that is
        # answered within seconds of being asked.
        decide = HITLOperator(
            task_id="decide",
            subject=f"{as_text(config.name)}: delete these rows?",
            body=PENDING_BODY,
            options=[APPROVE, REJECT],
            execution_timeout=None,
        )
        pending >> decide >> PacsDecideOperator(task_id="apply", config=config)
    return dag


def realtime_dag(config: CountyConfig) -> DAG:
    """Build the one task that follows the county; its asset's watcher starts it when the source has moved."""
    changes = Asset(
        name=f"{_PREFIX}{config.county}_changes",
        uri=f"pacs://{config.county}/changes",
        group="pacs",
        watchers=[AssetWatcher(name=f"{_PREFIX}{config.county}_poll", trigger=PacsChangeTrigger.of(config))],
    )
    with _dag(
        config,
        f"{_PREFIX}{config.county}_realtime",
        None,
        f"Follow changes of {config.name}",
        {},
        assets=[changes],
    ) as dag:
        PacsRealtimeOperator(task_id="follow", config=config, changes=changes)
    return dag


def rollback_dag(config: CountyConfig) -> DAG:
    """Build propose -> decide (Airflow's Required Actions) -> apply; somebody starts it, with a run's id."""
    params = {
        "run": Param("", type="string", title="Run", description=RUN_HELP),
        "onto": Param(False, type="boolean", title="Go back to this run", description=ONTO_HELP),
    }
    with _dag(
        config,
        f"{_PREFIX}{config.county}_rollback",
        None,
        f"Roll back runs of {config.name}",
        params,
        asks_a_person=True,
    ) as dag:
        propose = PacsProposeRollbackOperator(
            task_id="propose", config=config, run="{{ params.run }}", onto="{{ params.onto }}"
        )
        decide = HITLOperator(
            task_id="decide",
            subject=f"{as_text(config.name)}: roll back?",
            body=ROLLBACK_BODY,
            options=[APPROVE, REJECT],
            execution_timeout=None,
        )
        propose >> decide >> PacsRollbackOperator(task_id="apply", config=config)
    return dag


class CountyDag(DAG):
    """A DAG that can be tried with `airflow dags test`.

    At the end of a test run Airflow 3.3.2 looks for the deadline alerts of the run by their ids, but the DAG
    under test still holds their
    definitions: it fails a run in which everything succeeded. A test run has no deadline to miss, so it gets
        none; scheduled runs keep theirs.
    """

    def test(self, *args: Any, **kwargs: Any) -> Any:
        self.deadline = None
        return super().test(*args, **kwargs)


def _dag(
    config: CountyConfig,
    dag_id: str,
    cron: str | None,
    description: str,
    params: dict[str, Param],
    *,
    assets: list[Asset] | None = None,
    asks_a_person: bool = False,
) -> DAG:
    defaults: dict[str, Any] = {
        "owner": config.owner,
        "retries": config.sync.retries,
        **retry_settings(config),
        "execution_timeout": timedelta(minutes=config.sync.timeout_minutes),
    }
    if config.sync.pool is not None:
        defaults["pool"] = config.sync.pool
    # No start_date, and no run for a time that has passed: whoever unpauses both DAGs of a county by day
    # would start a full load and a reconcile at once, and the later of the two takes the county from the
    # earlier.
    return CountyDag(
        dag_id=dag_id,
        auto_register=False,  # `raise_broken_counties` builds DAGs only to try them
        description=description,
        schedule=assets
        or (
            None
            if cron is None
            else CronTriggerTimetable(cron, timezone=config.timezone, run_immediately=timedelta(0))
        ),
        catchup=False,
        max_active_runs=1,
        default_args=defaults,
        params=params,
        tags=sorted({"pacs", config.county, *config.tags}),
        doc_md=county_page(config, cron),
        deadline=None if asks_a_person else _deadline(config, dag_id),  # people take the time that they need
    )


def _deadline(config: CountyConfig, dag_id: str) -> DeadlineAlert | None:
    """Have Airflow list a late run, unless `[pacs] deadline_alerts` says no."""
    if not conf.getboolean("pacs", "deadline_alerts", fallback=True):
        return None
    minutes = config.sync.timeout_minutes
    # Airflow 3.2 has no names for deadlines yet.
    named: dict[str, Any] = (
        {"name": f"{dag_id}: {minutes} minutes"}
        if "name" in signature(DeadlineAlert.__init__).parameters
        else {}
    )
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(minutes=minutes),
        callback=AsyncCallback(log_missed_deadline, kwargs={"county": config.county, "minutes": minutes}),
        **named,
    )


def _folder(path: str | Path | None) -> Path:
    if path is not None:
        return Path(path)
    return Path(
        conf.get("pacs", "counties_path", fallback="")
        or Path(conf.get_mandatory_value("core", "dags_folder")) / "counties"
    )


def _county_of(dag_id: str) -> str:
    """Give the county of a DAG id.

    A county's name never ends in one of the suffixes (`CountyConfig` refuses it), so this is exact.
    """
    name = dag_id.removeprefix(_PREFIX)
    return next((name.removesuffix(ending) for ending in _OF_A_COUNTY if name.endswith(ending)), name)


def _only(folder: Path, county: str) -> CountyConfig | None:
    """Load one county from the file that bears its name, which is the only file that may be its."""
    for file in (folder / f"{county}.yaml", folder / f"{county}.yml"):
        if file.is_file():
            try:
                return load_county(file)
            except ConfigError as error:
                log.error("This county file is broken: %s", error)
    return None
