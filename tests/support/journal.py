"""Counties with a story each -> county files, and the journal that runs of the engine write of them.

Nothing is written by hand: each story is a run, or several, of a sandbox PACS in this process. The one thing that
is moved is time: the runs of the lagging county are set back some days, since nobody can wait for them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

from airflow_provider_pacs.sync import steps
from airflow_provider_pacs.sync.config import load_county
from airflow_provider_pacs.sync.records import RunKind
from airflow_provider_pacs.sync.runtime.errors import ConfigError, RetryableError
from airflow_provider_pacs.sync.target.postgres import PostgresTarget
from tests.support.airflow_site import StagedRun
from tests.support.county import ENTITIES, County, counted_rules, empty
from tests.support.in_process import InProcessPacs, InProcessReader

ROWS = 40
"""Rows of each entity of most counties."""
VALUES = 600
"""Values of the county that is read while tests look."""
PENDING = 30
QUARANTINED = 12
CRON, ZONE = "0 2 * * *", "America/Los_Angeles"
HTML_NAME = "<img src=x onerror=alert(1)> & <b>Bold</b> County"
_READER = ("pacs_reader", "Sandbox!Reader1")
_VALIDATION = import_module("airflow_provider_pacs.sync.steps.validate")
_WHOLE_RUN = import_module("airflow_provider_pacs.sync.steps.run")


@dataclass(frozen=True)
class Entry:
    """A county file, and the name of what happened to its county."""

    slug: str
    fips: str
    name: str
    story: str = "in_step"
    connection: str = "terrafusion"


def washington() -> list[Entry]:
    """A county for each state that the page knows; one has HTML in its name, one lives on a target that is
    down.
    """
    counties = [
        Entry("adams_wa", "53001", "Adams County, WA"),
        Entry("benton_wa", "53005", "Benton County, WA", "running"),
        Entry("chelan_wa", "53007", "Chelan County, WA", "quarantine"),
        Entry("clark_wa", "53011", "Clark County, WA", "retrying"),
        Entry("ferry_wa", "53019", "Ferry County, WA", "refused"),
        Entry("garfield_wa", "53023", "Garfield County, WA", "never"),
        Entry("grant_wa", "53025", "Grant County, WA", "failed"),
        Entry("kitsap_wa", "53035", "Kitsap County, WA", "pending"),
        Entry("lewis_wa", "53041", "Lewis County, WA", "lagging"),
        Entry("mason_wa", "53045", "Mason County, WA", "drift"),
        Entry("okanogan_wa", "53047", "Okanogan County, WA", "approved"),
        Entry("wahkiakum_wa", "53069", "Wahkiakum County, WA", "never", "terrafusion_east"),
        Entry("yakima_wa", "53077", "Yakima County, WA", "blocked"),
        Entry("markup_wa", "53999", HTML_NAME),
    ]
    assert len({county.fips for county in counties}) == len(counties)
    return counties


def airflow_runs(url: str) -> list[StagedRun]:
    """What Airflow says of some of these counties at the same moment."""
    with PostgresTarget.from_url(url) as target:
        sets = [each.as_dict() for each in target.approvals.pending("53035")]
    well = {
        "preflight": ("success", 1),
        "extract_property": ("success", 1),
        "validate_property": ("success", 1),
    }
    return [
        StagedRun(
            "pacs_clark_wa",
            "scheduled__2026-11-03T10:00:00+00:00",
            "running",
            {**well, "extract_owner": ("up_for_retry", 2)},
        ),
        StagedRun(
            "pacs_benton_wa",
            "manual__2026-11-02T17:00:00+00:00",
            "running",
            {
                **well,
                "extract_owner": ("success", 1),
                "validate_owner": ("queued", 1),
                "extract_value": ("running", 1),
            },
        ),
        StagedRun("pacs_garfield_wa", "manual__2026-11-05T17:00:00+00:00", "queued"),
        StagedRun(
            "pacs_adams_wa", "manual__2026-11-05T17:00:00+00:00", "running", {"preflight": ("running", 1)}
        ),
        # Its target is down: nobody could write into the journal that it failed.
        StagedRun(
            "pacs_wahkiakum_wa", "manual__2026-11-05T17:00:00+00:00", "failed", {"preflight": ("failed", 4)}
        ),
        StagedRun(
            "pacs_kitsap_wa_approvals",
            "manual__2026-11-05T17:00:00+00:00",
            "running",
            {"pending": ("success", 1), "decide": ("awaiting_input", 1)},
            {"pending": {"sets": sets}},
        ),
    ]


def write_files(counties: list[Entry], folder: Path, *, broken: bool = True) -> None:
    """A county file each, and one that is broken."""
    folder.mkdir(parents=True, exist_ok=True)
    for county in counties:
        text = (
            f"county: {county.slug}\nfips: '{county.fips}'\nname: '{county.name}'\ntimezone: {ZONE}\n"
            f"source:\n  connection: pacs_{county.slug}\ntarget:\n  connection: {county.connection}\n"
            f"sync:\n  cron: '{CRON}'\n"
        )
        (folder / f"{county.slug}.yaml").write_text(text, "utf-8")
    if broken:
        (folder / "spelled_wrong_wa.yaml").write_text(
            "county: spelled_wrong_wa\nfips: '53998'\ntimezone: America/Los_Angeles\nsinc: {}\n", "utf-8"
        )


def write_runs(url: str, counties: list[Entry], folder: Path) -> dict[str, list[str]]:
    """Let each county of the first target live its story; returns run ids by county, oldest first."""
    engine = InProcessPacs()
    runs: dict[str, list[str]] = {}
    try:
        with (
            patch.object(_VALIDATION, "validate_stage", counted_rules),
            patch.object(_WHOLE_RUN, "warm_up", lambda: None),
            PostgresTarget.from_url(url) as target,
        ):
            target.migrate()
            for entry in counties:
                if entry.connection != "terrafusion" or entry.story == "never":
                    continue
                empty(engine)
                config = load_county(folder / f"{entry.slug}.yaml")
                county = County(engine, engine.clock, target, url, config)
                county.source = InProcessReader(engine, *_READER)
                runs[entry.slug] = _STORIES[entry.story](county)
                county.close()
            target.connection.execute("ANALYZE")
    finally:
        engine.close()
    return runs


def advance(url: str, run_id: str, entity: str, rows: int, seconds: float) -> None:
    """What a read notes of its progress."""
    with PostgresTarget.from_url(url) as target:
        target.runs.progress(run_id, entity, rows, seconds)


def _fill(county: County, **rows: int) -> None:
    """Rows of every entity."""
    for entity in ENTITIES:
        county.add(entity, *range(1, rows.get(entity, ROWS) + 1), of=None if entity == "property" else 1)


def _run(
    county: County,
    number: int,
    *,
    kind: RunKind = "sync",
    full: bool = False,
    certify: bool = True,
    report: bool = False,
) -> str:
    """A run as the DAG's tasks do it; with `report` its preflight keeps one, which costs a second."""
    run_id = _plan(county, f"scheduled__2026-11-{number:02}T10:00:00+00:00", kind, full=full, report=report)
    for entity in ENTITIES:
        county.extract(run_id, entity)
        county.validate(run_id, entity)
    county.publish(run_id)
    if certify:
        county.certify(run_id)
    return run_id


def _plan(
    county: County, trigger: str, kind: RunKind = "sync", *, full: bool = False, report: bool = False
) -> str:
    request = steps.RunRequest(kind, trigger, "full" if full else "auto")
    report_ = steps.check(county.config, county.source, county.target) if report else None
    return steps.plan(county.config, county.source, county.target, request, report=report_).run_id


def _history(county: County, runs: int, **rows: int) -> list[str]:
    """A first load and runs with a change each."""
    _fill(county, **rows)
    return [_run(county, 1), *_more(county, 2, runs)]


def _more(county: County, first: int, last: int) -> list[str]:
    """Runs with a change each."""
    made = []
    for number in range(first, last + 1):
        county.change("property", 20 + number, Address=f"{number} Main St")
        county.clock.step(hours=1)
        made.append(_run(county, number))
    return made


def _in_step(county: County) -> list[str]:
    runs = _history(county, 3)
    county.remove("structure", 7)
    return [*runs, _run(county, 4, kind="reconcile", report=True)]


def _running(county: County) -> list[str]:
    """The second full read is under way: one entity passed, one staged, one half read, one not begun."""
    _fill(county, value=VALUES)
    first = _run(county, 1)
    run_id = _plan(county, "manual__2026-11-02T17:00:00+00:00", full=True)
    county.extract(run_id, "property")
    county.validate(run_id, "property")
    county.extract(run_id, "owner")
    county.target.runs.begin_extract(run_id, "value", 1)
    county.target.runs.progress(run_id, "value", 300, 0.02)
    return [first, run_id]


def _quarantine(county: County) -> list[str]:
    """Read by a login that may write, which preflight warns of."""
    county.source = county.engine.reader()
    _fill(county, property=700)
    county.change("property", *range(2, QUARANTINED + 2), ParcelNumber="", at=county.stamp(hours=2))
    return [_run(county, 1, report=True)]


def _break(county: County) -> None:
    """The source goes down while a table is read."""

    def refuse(statement: str) -> None:
        raise RetryableError(
            "the server closed the connection while dbo.PropertyOwner was read",
            remedy="ask county IT for the server's restart times",
        )

    county.source.before_stream = refuse


def _retrying(county: County) -> list[str]:
    """The source goes down in the middle of a run, whose task is at its second try (case F10)."""
    runs = _history(county, 1)
    run_id = _plan(county, "scheduled__2026-11-03T10:00:00+00:00")
    county.extract(run_id, "property")
    county.validate(run_id, "property")
    _break(county)
    for attempt in (1, 2):
        with suppress(RetryableError):
            county.extract(run_id, "owner", attempt)
    county.target.runs.begin_extract(run_id, "owner", 3)
    return [*runs, run_id]


def _failed(county: County) -> list[str]:
    """A run of one process whose source goes down ends as failed."""
    runs = _history(county, 1)
    _break(county)
    with suppress(RetryableError):
        steps.sync(county.config, county.source, county.target)
    return runs


def _refused(county: County) -> list[str]:
    """The newest run, and each of its tries, ends in preflight: the login is refused (case F11)."""
    runs = _history(county, 1)

    def refuse(statement: str) -> None:
        raise ConfigError(
            "login pacs_reader was refused by pacs-sql.ferry.example:1433",
            remedy="check the password of connection pacs_ferry_wa",
            code="PACS-002",
        )

    county.source.before_query = refuse
    for _ in range(2):
        with suppress(ConfigError):
            _plan(county, "scheduled__2026-11-03T10:00:00+00:00", report=True)
    return runs


def _pending(county: County) -> list[str]:
    runs = _history(county, 1)
    county.remove("owner", *range(1, PENDING + 1))
    return [*runs, _run(county, 3)]


def _approved(county: County) -> list[str]:
    """Somebody approved what waited."""
    runs = _pending(county)
    sets = [(each.pending_id, each.digest) for each in steps.pending_deletes(county.config, county.target)]
    steps.approve(
        county.config,
        county.source,
        county.target,
        sets=sets,
        actor="assessor@okanogan.example",
        trigger="asset_triggered__2026-11-04T10:00:00+00:00",
    )
    return runs


def _lagging(county: County) -> list[str]:
    """Its runs ended days ago, and nothing has run since."""
    runs = _history(county, 1)
    for column in ("started_at", "published_at", "finished_at"):
        county.sql(
            f"UPDATE pacs_ops.sync_run SET {column} = {column} - interval '5 days' WHERE county_id = %s",
            county.fips,
        )
    return runs


def _drift(county: County) -> list[str]:
    """Somebody damages the target between publish and certify."""
    runs = _history(county, 1)
    county.clock.step(hours=1)
    run_id = _run(county, 3, full=True, certify=False)
    keys = sorted(county.rows("owner"))[:3]
    county.sql(
        f"UPDATE {county.partition('owner')} SET owner_name = 'nobody' WHERE owner_id::text = ANY(%s)", keys
    )
    county.certify(run_id)
    return [*runs, run_id]


def _blocked(county: County) -> list[str]:
    """After good runs too many values break a rule."""
    runs = _history(county, 3)
    county.change("value", *range(1, ROWS + 1), MarketValue=-5.0)
    county.clock.step(hours=1)
    return [*runs, _run(county, 4)]


def _every_kind(county: County) -> list[str]:
    """Good runs, a blocked one, quarantine, a reconcile and a failed run: what the benchmark multiplies."""
    runs = [*_quarantine(county), *_more(county, 2, 4)]
    county.change("value", *range(1, ROWS + 1), MarketValue=-5.0)
    county.clock.step(hours=1)
    runs += [_run(county, 5), _run(county, 6, kind="reconcile")]
    _break(county)
    with suppress(RetryableError):
        steps.sync(county.config, county.source, county.target)
    return runs


_STORIES: dict[str, Callable[[County], list[str]]] = {
    "in_step": _in_step,
    "running": _running,
    "quarantine": _quarantine,
    "retrying": _retrying,
    "failed": _failed,
    "refused": _refused,
    "pending": _pending,
    "approved": _approved,
    "lagging": _lagging,
    "drift": _drift,
    "blocked": _blocked,
    "every_kind": _every_kind,
}
