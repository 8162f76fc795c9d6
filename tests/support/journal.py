"""Counties with a story each -> county files, and the rows that a target's journal would hold of them. No sync is run."""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
from croniter import croniter
from psycopg.types.json import Jsonb

from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.quality import load_suite

SIZES = {"property": 96_750, "owner": 84_310, "value": 253_900, "structure": 104_462}
CRON, ZONE = "0 2 * * *", "America/Los_Angeles"
HTML_NAME = "<img src=x onerror=alert(1)> & <b>Bold</b> County"
Run = dict[str, Any]


@dataclass(frozen=True)
class County:
    """A county and what happened to it: in_step, running, blocked, refused, held, lagging, never, unclean, warned, elsewhere."""

    slug: str
    fips: str
    name: str
    story: str = "in_step"
    connection: str = "terrafusion"


def washington() -> list[County]:
    """Washington's counties, most of them well, and a few for each kind of trouble; one has HTML in its name, one lives on a target that is down."""
    names = {
        "Adams": "01", "Asotin": "03", "Benton": "05", "Chelan": "07", "Clallam": "09", "Clark": "11", "Columbia": "13", "Cowlitz": "15",
        "Douglas": "17", "Ferry": "19", "Franklin": "21", "Garfield": "23", "Grant": "25", "Grays Harbor": "27", "Island": "29", "Jefferson": "31",
        "King": "33", "Kitsap": "35", "Kittitas": "37", "Klickitat": "39", "Lewis": "41", "Lincoln": "43", "Mason": "45", "Okanogan": "47",
        "Pacific": "49", "Pend Oreille": "51", "Pierce": "53", "San Juan": "55", "Skagit": "57", "Skamania": "59", "Snohomish": "61",
        "Spokane": "63", "Stevens": "65", "Thurston": "67", "Wahkiakum": "69", "Walla Walla": "71", "Whatcom": "73", "Whitman": "75", "Yakima": "77",
    }  # fmt: skip
    stories = {"Benton": "running", "Yakima": "blocked", "Ferry": "refused", "Kitsap": "held", "Lewis": "lagging", "Garfield": "never",
               "Mason": "unclean", "Chelan": "warned", "Pierce": "warned", "Wahkiakum": "elsewhere"}  # fmt: skip
    found = [
        County(
            f"{name.lower().replace(' ', '_')}_wa",
            f"530{digits}",
            f"{name} County, WA",
            stories.get(name, "in_step"),
        )
        for name, digits in names.items()
    ]
    found = [
        County(c.slug, c.fips, c.name, c.story, "terrafusion_east") if c.story == "elsewhere" else c
        for c in found
    ]
    return [*found, County("markup_wa", "53999", HTML_NAME)]


def write_files(counties: list[County], folder: Path, *, broken: bool = True) -> None:
    """A county file each, and one that is broken."""
    folder.mkdir(parents=True, exist_ok=True)
    for county in counties:
        text = f"county: {county.slug}\nfips: '{county.fips}'\nname: '{county.name}'\ntimezone: {ZONE}\nsource:\n  connection: pacs_{county.slug}\n"
        text += f"target:\n  connection: {county.connection}\nsync:\n  cron: '{CRON}'\n"
        (folder / f"{county.slug}.yaml").write_text(text, "utf-8")
    if broken:
        (folder / "spelled_wrong_wa.yaml").write_text(
            "county: spelled_wrong_wa\nfips: '53998'\ntimezone: America/Los_Angeles\nsinc: {}\n", "utf-8"
        )


def write_rows(
    connection: psycopg.Connection[Any],
    counties: list[County],
    *,
    runs: int = 40,
    now: datetime | None = None,
) -> dict[str, list[Run]]:
    """Fill the journal; returns each county's runs, oldest first. The same counties give the same numbers."""
    now = now or datetime.now(UTC)
    told = {}
    for county in counties:
        if county.connection == "terrafusion":
            chance = random.Random(county.slug)
            with connection.pipeline(), connection.transaction():
                told[county.slug] = _county(
                    connection, county, runs if county.story != "in_step" else runs // 3, now, chance
                )
    connection.execute("ANALYZE")
    return told


def _county(
    connection: psycopg.Connection[Any], county: County, count: int, now: datetime, chance: random.Random
) -> list[Run]:
    epoch = 0 if county.story == "never" else count
    connection.execute(
        "INSERT INTO pacs_ops.county (county_id, county, name, epoch) VALUES (%s, %s, %s, %s)",
        (county.fips, county.slug, county.name, epoch),
    )
    if county.story == "never":
        return []
    share = 1.0 if county.story == "running" else chance.uniform(0.05, 1.4)
    fires = _fires(now, count + 2)[-count - (2 if county.story == "lagging" else 0) :][:count]
    runs = [
        _run(connection, county, fire, number, chance, share, last=number == count - 1)
        for number, fire in enumerate(fires)
    ]
    if county.story == "running":
        runs.append(_running(connection, county, now, share))
    last = None if county.story == "refused" else runs[-1]
    trigger = f"scheduled__{fires[-1]:%Y-%m-%dT%H:%M:%S}+00:00"
    _check_report(connection, county, last, trigger, now - timedelta(minutes=24))
    if county.story == "refused":
        _fail(connection, county, None, "preflight", "PACS-002", "ConfigError", "login pacs_reader was refused by pacs-sql.ferry.example:1433",
              "check the password of connection pacs_ferry_wa, and run `pacs grants ferry_wa` on the server", now - timedelta(minutes=24))  # fmt: skip
    return runs


def _fires(now: datetime, count: int) -> list[datetime]:
    clock = croniter(CRON, (now - timedelta(minutes=15)).astimezone(ZoneInfo(ZONE)))
    return [clock.get_prev(datetime).astimezone(UTC) for _ in range(count)][::-1]


def _run(
    connection: psycopg.Connection[Any],
    county: County,
    fire: datetime,
    number: int,
    chance: random.Random,
    share: float,
    *,
    last: bool,
) -> Run:
    """One ended run: the first of a county and every seventh read in full."""
    story = county.story if last else "in_step"
    full = number % 7 == 0
    hiccup = not last and number % 13 == 5 and county.story in ("blocked", "refused", "warned")
    state = "failed" if story == "blocked" or hiccup else "held" if story == "held" else "succeeded"
    started = fire + timedelta(seconds=chance.randint(3, 9))
    ended = started + timedelta(seconds=(chance.uniform(55, 80) if full else chance.uniform(18, 30)))
    run = {
        "id": uuid.UUID(int=chance.getrandbits(128), version=4),
        "state": state,
        "started": started,
        "ended": ended,
        "full": full,
    }
    _sync_run(connection, county, run, f"scheduled__{fire:%Y-%m-%dT%H:%M:%S}+00:00")
    for position, entity in enumerate(SIZES):
        size = int(SIZES[entity] * share)
        read = size if full or entity == "structure" else int(size * chance.uniform(0.002, 0.02))
        blocked = state == "failed" and entity == ("value" if story == "blocked" else "owner")
        message = ""
        if blocked:
            message = (
                f"F3.23-market The market value is not negative: {read // 9:,} of {read:,} rows"
                if story == "blocked"
                else "extract did not finish"
            )
        _entity(connection, run, entity, position, read, "blocked" if blocked and story == "blocked" else "failed" if blocked else "published", message,
                held=312 if story == "held" and entity == "owner" else 0, bad=int(read * 0.0009), speed=chance.uniform(28e3, 64e3))  # fmt: skip
    if hiccup:
        _fail(connection, county, run, "extract_owner", "PACS-001", "RetryableError", "the server closed the connection while 52,400 rows of dbo.Owner were read",
              "Airflow tries again by itself; if it stays, ask county IT for the server's restart times", ended)  # fmt: skip
    if story == "blocked":
        _fail(connection, county, run, "validate_value", "PACS-004", "DataError",
              f"{county.slug}: value keeps its last good data: F3.23-market The market value is not negative",
              "correct the rows or the mapping at the source, then run again", ended)  # fmt: skip
    if last:
        _verdicts(connection, county, run, story)
    if number % 7 == 0 or last:
        _certificate(connection, county, run, share, story)
    details = {"clean": story != "unclean", "state": state}
    _audit(
        connection,
        county,
        run["id"],
        "run.start",
        "scheduled",
        {"kind": "sync", "epoch": number + 1},
        started,
    )
    _audit(
        connection,
        county,
        run["id"],
        "run.publish",
        "property,owner,value,structure",
        {"state": state},
        ended - timedelta(seconds=4),
    )
    _audit(connection, county, run["id"], "run.certificate", "full" if full else "delta", details, ended)
    return run


def _check_report(
    connection: psycopg.Connection[Any], county: County, run: Run | None, trigger: str, at: datetime
) -> None:
    """What the first task found; the county that is refused at the login, and one whose login could write, have a finding for it."""
    findings = [
        ("reachability.source", "reachability", "ok", "The server answers.", ""),
        (
            "tls.in_force",
            "tls",
            "unknown",
            "The login may not see whether its connection is encrypted.",
            "GRANT VIEW SERVER STATE TO [pacs_reader];",
        ),
    ]
    if county.story == "refused":
        findings.append(
            (
                "login.source",
                "login",
                "fail",
                "PACS-002: login pacs_reader was refused.",
                "Check user, password and default database.",
            )
        )
    if county.story == "warned":
        more = "The login could do more than read: member of db_owner."
        findings.append(
            (
                "rights.beyond_reading",
                "rights",
                "warn",
                more,
                f"Use a login that only reads: pacs grants {county.slug}.",
            )
        )
    state = {"refused": "fail", "warned": "warn"}.get(county.story, "unknown")
    report = {
        "state": state,
        "findings": [
            dict(zip(("id", "area", "state", "text", "remedy"), one, strict=True)) for one in findings
        ],
    }
    connection.execute(
        "INSERT INTO pacs_ops.check_report (county_id, run_id, trigger, state, report, checked_at) VALUES (%s, %s, %s, %s, %s, %s)",
        (county.fips, run["id"] if run else None, trigger, state, Jsonb(report), at),
    )


def _running(connection: psycopg.Connection[Any], county: County, now: datetime, share: float) -> Run:
    run = {
        "id": uuid.uuid5(uuid.NAMESPACE_DNS, county.slug),
        "state": "running",
        "started": now - timedelta(seconds=41),
        "ended": None,
        "full": True,
    }
    _sync_run(connection, county, run, f"manual__{now:%Y-%m-%dT%H:%M:%S}+00:00")
    for position, (entity, part, state) in enumerate(
        [
            ("property", 1.0, "passed"),
            ("owner", 1.0, "staged"),
            ("value", 0.62, "planned"),
            ("structure", 0.0, "planned"),
        ]
    ):
        _entity(connection, run, entity, position, int(SIZES[entity] * share * part), state, "", speed=41_200)
    _audit(
        connection, county, run["id"], "run.start", "manual", {"kind": "sync", "epoch": 99}, run["started"]
    )
    return run


def advance(connection: psycopg.Connection[Any], run: Run, entity: str, rows: int) -> None:
    """What a read's progress note does."""
    connection.execute(
        "UPDATE pacs_ops.run_entity SET rows_read = rows_read + %s, extract_seconds = extract_seconds + 2, updated_at = clock_timestamp() "
        "WHERE run_id = %s AND entity = %s",
        (rows, run["id"], entity),
    )


def _sync_run(connection: psycopg.Connection[Any], county: County, run: Run, trigger: str) -> None:
    message = "held back: value" if run["state"] == "failed" else ""
    connection.execute(
        "INSERT INTO pacs_ops.sync_run (run_id, county_id, epoch, kind, trigger, state, source_identity, config_fingerprint, code_version, message, "
        "started_at, published_at, finished_at) VALUES (%s, %s, 1, 'sync', %s, %s, %s, 'c0ffee', '0.1.0', %s, %s, %s, %s)",
        (run["id"], county.fips, trigger, run["state"], Jsonb({"server": f"{county.slug.split('_')[0].upper()}-SQL1", "database": "pacs_oltp"}), message,
         run["started"], run["ended"], run["ended"]),
    )  # fmt: skip


def _entity(
    connection: psycopg.Connection[Any], run: Run, entity: str, position: int, read: int, state: str, message: str,
    *, held: int = 0, bad: int = 0, speed: float = 40e3,
) -> None:  # fmt: skip
    published = state == "published"
    ordered = entity != "structure"
    reason = (
        ("first load" if run["full"] else "LastModified is datetime")
        if ordered
        else "the table has no change column: every run reads it whole and compares"
    )
    connection.execute(
        "INSERT INTO pacs_ops.run_entity (run_id, entity, position, mode, family, reason, lower_bound, upper_bound, change_type, map_fingerprint, "
        "schema_fingerprint, state, attempt, rows_read, rows_inserted, rows_updated, rows_deleted, rows_quarantined, rows_held, extract_seconds, message, "
        "updated_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, 'a1', 'b2f7c0d9e1', %s, 1, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (run["id"], entity, position, "full" if run["full"] or not ordered else "changes", "last_modified" if ordered else "compare", reason,
         "2026-11-20 02:00:00.000" if ordered else None, f"{run['started']:%Y-%m-%d %H:%M:%S}.480" if ordered else None, "datetime" if ordered else None,
         state, read, read // 40 if published else 0, read // 3 if published else 0, read // 900 if published else 0, bad if published else 0, held,
         read / speed, message, run["ended"] or datetime.now(UTC)),
    )  # fmt: skip


def _verdicts(connection: psycopg.Connection[Any], county: County, run: Run, story: str) -> None:
    some = {"F1.2": hash_of(county.slug) % 9} if hash_of(county.slug) % 3 == 0 else {}
    bad = (
        {"F1.2": 37, "F1.7-zip": 214}
        if story == "warned"
        else {"F3.23-market": 11_402}
        if story == "blocked"
        else some
    )
    for entity in load_entities().values():
        for rule in load_suite(entity):
            wrong = next((rows for known, rows in bad.items() if rule.id == known), 0)
            blocks = wrong > 0 and story == "blocked"
            connection.execute(
                "INSERT INTO pacs_ops.quality_result (run_id, entity, rule_id, severity, title, success, evaluated, unexpected, blocks, judged_at) "
                "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                (
                    run["id"],
                    entity.name,
                    rule.id,
                    rule.severity,
                    rule.title,
                    wrong == 0,
                    SIZES.get(entity.name, 100),
                    wrong,
                    blocks,
                    run["ended"],
                ),
            )
            if wrong and rule.severity == "quarantine" and not blocks:
                for number in range(wrong):
                    key = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{county.slug}{rule.id}{number}"))
                    connection.execute(
                        "INSERT INTO pacs_ops.quarantine (county_id, entity, source_key, rules, payload_digest, run_id, first_seen_at, last_seen_at) "
                        "VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
                        (
                            county.fips,
                            entity.name,
                            key,
                            [rule.id],
                            b"\0" * 32,
                            run["id"],
                            run["started"] - timedelta(days=number),
                            run["ended"],
                        ),
                    )


def _certificate(
    connection: psycopg.Connection[Any], county: County, run: Run, share: float, story: str
) -> None:
    for entity in SIZES:
        rows, differing = int(SIZES[entity] * share), 3 if story == "unclean" and entity == "owner" else 0
        keys = [str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{county.slug}{number}")) for number in range(differing)]
        connection.execute(
            "INSERT INTO pacs_ops.certificate (run_id, county_id, entity, scope, clean, source_rows, target_rows, quarantined_rows, late_rows, missing, "
            "differing, ghosts, repaired, held, remaining, source_digest, target_digest, sample_keys, config_fingerprint, code_version, issued_at) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, 0, 0, 0, %s, 0, 0, %s, %s, sha256('a'), sha256('a'), %s, 'c0ffee', '0.1.0', %s)",
            (run["id"], county.fips, entity, "full" if run["full"] else "delta", differing == 0 and story != "held", rows, rows, differing,
             312 if story == "held" and entity == "owner" else 0, differing, keys, run["ended"]),
        )  # fmt: skip
    if story == "held":
        connection.execute(
            "INSERT INTO pacs_ops.pending_delete (county_id, entity, run_id, row_count, live_count, digest, reason, held_at) "
            "VALUES (%s, 'owner', %s, 312, %s, %s, '312 of the rows are gone at the source: more than 25 rows and 2 %%', %s)",
            (county.fips, run["id"], int(SIZES["owner"] * share), b"\0" * 32, run["ended"]),
        )


def _fail(
    connection: psycopg.Connection[Any],
    county: County,
    run: Run | None,
    step: str,
    code: str,
    kind: str,
    message: str,
    remedy: str,
    at: datetime,
) -> None:
    details = {"code": code, "class": kind, "message": message, "remedy": remedy}
    _audit(connection, county, run["id"] if run else None, "run.failed", step, details, at)


def _audit(
    connection: psycopg.Connection[Any],
    county: County,
    run_id: uuid.UUID | None,
    action: str,
    target: str,
    details: dict[str, Any],
    at: datetime,
) -> None:
    connection.execute(
        "INSERT INTO pacs_ops.audit (at, county_id, run_id, actor, action, object, details) VALUES (%s, %s, %s, 'pacs_sync', %s, %s, %s)",
        (at, county.fips, run_id, action, target, Jsonb(details)),
    )


def hash_of(text: str) -> int:
    """A number for a text, the same in every process."""
    return sum(ord(letter) * place for place, letter in enumerate(text, 1))


def config_of(county: County, folder: Path) -> CountyConfig:
    """The county's file, loaded."""
    from airflow_provider_pacs.sync.config import load_county

    return load_county(folder / f"{county.slug}.yaml")
