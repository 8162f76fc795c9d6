"""`pacs ...`: a county and connections from flags or the environment -> the same steps that Airflow runs,
here. Works without Airflow.

Exit status: 0 the work was done, 1 the work failed or SIGTERM ended it, 2 usage or configuration, 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import getpass
import json
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from airflow_provider_pacs.cli import check, grants, init, preview
from airflow_provider_pacs.cli.connections import (
    FAILED,
    OK,
    USAGE,
    Answer,
    open_source,
    open_target,
    read_config,
)
from airflow_provider_pacs.sync.runtime.errors import ConfigError, PacsError
from airflow_provider_pacs.sync.runtime.interruption import Interrupted, interruptible


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    arguments = _parser().parse_args(argv)
    if not arguments.json:
        logging.basicConfig(
            level=logging.INFO if arguments.verbose else logging.WARNING,
            format="%(message)s",
            stream=sys.stderr,
        )
    try:
        with interruptible():
            answer: Answer = arguments.command(arguments)
    except PacsError as error:
        _tell_failure(arguments, str(error), code=error.code, message=error.message, remedy=error.remedy)
        return USAGE if isinstance(error, ConfigError) else FAILED
    except Interrupted as stop:
        remedy = "Run the command again; nothing is left half done."
        _tell_failure(arguments, f"{stop}. {remedy}", code="INTERRUPTED", message=str(stop), remedy=remedy)
        return stop.status
    if arguments.json or answer.lines:
        print(json.dumps(answer.data, default=str) if arguments.json else "\n".join(answer.lines))
    return answer.status


def _tell_failure(arguments: argparse.Namespace, line: str, **document: str) -> None:
    if arguments.json:
        print(json.dumps({"error": document}))
    else:
        print(line, file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pacs", description="Keep a county's PACS and a PostgreSQL platform database in step."
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(
        name: str,
        command: Callable[[argparse.Namespace], Answer],
        text: str,
        *,
        source: bool = False,
        target: bool = True,
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=command)
        sub.add_argument("--json", action="store_true", help="one JSON document on standard output")
        sub.add_argument("--verbose", "-v", action="store_true", help="tell the steps on standard error")
        sub.add_argument("county", help="the county's name, e.g. benton_wa")
        sub.add_argument(
            "--counties",
            type=Path,
            help="folder of county files (default: AIRFLOW__PACS__COUNTIES_PATH, dags/counties, counties)",
        )
        if target:
            sub.add_argument(
                "--target-url",
                help="postgresql://user:password@host:5432/database (default: PACS_TARGET_URL)",
            )
        if source:
            sub.add_argument(
                "--source-url",
                help="mssql://user:password@host:1433/database?encrypt=yes (default: "
                "PACS_DB_..._<COUNTY>_SOURCE)",
            )
        return sub

    init.describe(add("init", init.run, init.ABOUT, target=False))
    grants.describe(add("grants", grants.run, grants.ABOUT, source=True))
    check.describe(add("check", check.run, check.ABOUT, source=True))
    preview.describe(add("preview", preview.run, preview.ABOUT, source=True, target=False))
    sync = add("sync", _sync, "Read, validate, publish and reconcile one county.", source=True)
    sync.add_argument("--full", action="store_true", help="read every table whole, whatever the cursors say")
    backfill = add(
        "backfill",
        _backfill,
        "Read one window of one entity again and publish what differs. No cursor moves.",
        source=True,
    )
    backfill.add_argument("--entity", required=True, help="e.g. property")
    backfill.add_argument(
        "--from",
        dest="since",
        required=True,
        help="rows changed at this moment or later, e.g. 2026-01-31 or '2026-01-31 06:00:00'",
    )
    backfill.add_argument(
        "--to",
        dest="until",
        required=True,
        help="and before this one; as the source's change column writes it",
    )
    add("reconcile", _reconcile, "Compare both sides in full, repair what differs, certify.", source=True)
    add("migrate", _migrate, "Create or upgrade the target's schemas.")
    quarantine = add("quarantine", _quarantine, "List rows that broke a rule (keys and rules, no values).")
    quarantine.add_argument(
        "--left-behind", action="store_true", help="list published rows whose parent was deleted instead"
    )
    approve = add("approve", _approve, "List held sets of deletes, or decide on one.", source=True)
    approve.add_argument(
        "held_id", nargs="?", type=int, help="the set to decide on; without it the sets are listed"
    )
    approve.add_argument(
        "--digest", help="the set's digest as listed: it binds the decision to the keys that were shown"
    )
    approve.add_argument("--reject", action="store_true", help="keep the rows instead of deleting them")
    approve.add_argument("--by", default=getpass.getuser(), help="who decides (default: the login)")
    audit = add("audit", _audit, "Show the latest audit rows of a county.")
    audit.add_argument("--limit", type=int, default=20, help="how many rows (default 20)")
    _add_sandbox(commands)
    return parser


def _add_sandbox(commands: Any) -> None:
    sub = commands.add_parser(
        "sandbox", help="A wire-level sandbox PACS for demos and tests (extra: sandbox)."
    )
    sub.add_argument("arguments", nargs=argparse.REMAINDER, help="pacs sandbox --help")
    sub.set_defaults(command=_sandbox, json=False, verbose=False)


def _sandbox(arguments: argparse.Namespace) -> Answer:
    try:
        from airflow_provider_pacs.sandbox.commands import run
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the sandbox needs the package {error.name!r}",
            remedy="pip install 'airflow-provider-pacs[sandbox]'",
        ) from error
    return Answer(None, (), run(arguments.arguments))


def _sync(arguments: argparse.Namespace) -> Answer:
    from airflow_provider_pacs.sync import steps as run

    config = read_config(arguments)
    with open_source(arguments, config) as source, open_target(arguments) as target:
        told: Callable[[str], None] = (
            (lambda line: None) if arguments.json else (lambda line: print(line, file=sys.stderr))
        )
        published, certificate = run.sync(
            config, source, target, mode="full" if arguments.full else "auto", told=told
        )
    return _told_run(published, certificate)


def _backfill(arguments: argparse.Namespace) -> Answer:
    from airflow_provider_pacs.sync import steps as run
    from airflow_provider_pacs.sync.records import Backfill

    config = read_config(arguments)
    window = Backfill(arguments.entity, arguments.since, arguments.until)
    with open_source(arguments, config) as source, open_target(arguments) as target:
        told: Callable[[str], None] = (
            (lambda line: None) if arguments.json else (lambda line: print(line, file=sys.stderr))
        )
        return _told_run(*run.backfill(config, source, target, window=window, told=told))


def _told_run(published: Any, certificate: Any) -> Answer:
    lines = [
        f"{e.entity}: {e.mode}, {e.read:,} read, {e.inserted:,} inserted, {e.updated:,} updated, "
        f"{e.deleted:,} deleted, {e.quarantined:,} quarantined"
        for e in published.entities
    ]
    changed = sum(e.changed for e in published.entities)
    lines.append(f"{changed:,} rows written." if changed else "Nothing changed: no row was written.")
    lines.append(_told_certificate(certificate))
    held = any(e.held for e in published.entities)  # publish has said so
    return Answer(
        {"run": published.as_dict(), "certificate": certificate.as_dict()}, lines, FAILED if held else OK
    )


def _told_certificate(certificate: Any) -> str:
    bad = [c.entity for c in certificate.entities if not c.clean]
    verdict = "clean" if certificate.clean else f"not clean ({', '.join(bad)})"
    return f"Certificate ({certificate.scope}): {verdict}, state {certificate.state}."


def _reconcile(arguments: argparse.Namespace) -> Answer:
    from airflow_provider_pacs.sync import steps as run

    config = read_config(arguments)
    with open_source(arguments, config) as source, open_target(arguments) as target:
        certificate = run.compare(config, source, target)
    lines = [
        f"{c.entity}: source {c.source_rows:,}, target {c.target_rows:,}; missing {c.missing:,}, differing "
        f"{c.differing:,}, ghosts {c.ghosts:,}; "
        f"repaired {c.repaired:,}, held {c.held:,}, remaining {c.remaining:,}"
        for c in certificate.entities
    ]
    return Answer(
        certificate.as_dict(), [*lines, _told_certificate(certificate)], OK if certificate.clean else FAILED
    )


def _approve(arguments: argparse.Namespace) -> Answer:
    from airflow_provider_pacs.sync.steps import approve

    config = read_config(arguments)
    if arguments.held_id is None:
        with open_target(arguments) as target:
            sets = approve.held_sets(config, target)
        lines = [
            f"{s['held_id']} {s['entity']}: {s['reason']} (since {s['held_at']:%Y-%m-%d %H:%M}) --digest "
            f"{s['digest']}"
            for s in sets
        ]
        return Answer(sets, lines or ["Nothing is held."])
    if not arguments.digest:
        raise ConfigError(
            "a decision needs the set's digest", remedy=f"pacs approve {config.county} lists it"
        )
    held = [(arguments.held_id, arguments.digest)]
    if arguments.reject:
        with open_target(arguments) as target:
            decided = approve.reject(config, target, held=held, actor=arguments.by)
    else:
        with open_source(arguments, config) as source, open_target(arguments) as target:
            decided = approve.approve(config, source, target, held=held, actor=arguments.by, trigger="cli")
    lines = [
        f"{d.entity}: held set {d.held_id} {d.state}, {d.deleted:,} rows deleted, {d.kept:,} found again "
        "and kept"
        for d in decided
    ]
    return Answer([d.as_dict() for d in decided], lines)


def _migrate(arguments: argparse.Namespace) -> Answer:
    with open_target(arguments) as target:
        applied = target.migrate()
    return Answer(
        {"applied": applied}, [f"applied {name}" for name in applied] or ["The target is up to date."]
    )


def _quarantine(arguments: argparse.Namespace) -> Answer:
    config = read_config(arguments)
    with open_target(arguments) as target:
        if arguments.left_behind:
            return _left_behind(target.list_left_behind(config.fips))
        rows = target.list_quarantine(config.fips)
    lines = [
        f"{r['entity']} {r['source_key']}: {', '.join(r['rules'])} (since "
        f"{r['first_seen_at']:%Y-%m-%d %H:%M})"
        for r in rows
    ]
    return Answer(rows, lines or ["Nothing is in quarantine."])


def _left_behind(rows: list[dict[str, Any]]) -> Answer:
    lines = [
        f"{r['entity']} {r['source_key']}: {r['parent']} {r['parent_key']} is deleted (since "
        f"{r['parent_deleted_at']:%Y-%m-%d %H:%M})"
        for r in rows
    ]
    return Answer(rows, lines or ["No row is left behind by a deleted parent."])


def _audit(arguments: argparse.Namespace) -> Answer:
    config = read_config(arguments)
    with open_target(arguments) as target:
        rows = target.list_audit(config.fips, arguments.limit)
    return Answer(
        rows,
        [
            f"{r['seq']} {r['at']:%Y-%m-%d %H:%M:%S} {r['actor']} {r['action']} {r['object']} "
            f"{json.dumps(r['details'])}"
            for r in rows
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
