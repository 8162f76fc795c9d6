"""Is a certificate true? The model's rows and the database's rows, laid side by side without the engine."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import sql

from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.records import Certificate, EntityCertificate, EntityRun
from tests.model.source_model import BAD, ENTITIES, WAITING, SourceModel, SourceRow, image
from tests.support.county import County, key

MOST_NUMBERS = 60
_OWN_READ = "the run's own read of every row"
NUMBER_OF = {(entity, key(entity, n)): n for entity in ENTITIES for n in range(MOST_NUMBERS)}


@dataclass(frozen=True)
class Platform:
    """What the target holds of an entity, by the row's number."""

    live: dict[int, dict[str, Any]]
    dead: set[int]
    quarantine: dict[int, tuple[list[str], bytes]]
    pending: set[int]


def look(county: County, entity: str) -> Platform:
    """Read it, past the engine."""
    canonical = load_entities()[entity]
    rows = county.sql(f"SELECT * FROM pacs.{canonical.table} WHERE county_id = %s", county.fips)
    numbered = [(NUMBER_OF[entity, str(row[canonical.key])], row) for row in rows]
    quarantine = county.sql(
        "SELECT source_key, rules, payload_digest FROM pacs_ops.quarantine "
        "WHERE county_id = %s AND entity = %s AND state = 'open'",
        county.fips,
        entity,
    )
    pending = county.sql(
        "SELECT k.source_key FROM pacs_ops.pending_delete AS d JOIN pacs_ops.pending_delete_key AS k "
        "USING (pending_id) WHERE d.county_id = %s AND d.entity = %s AND d.state = 'pending'",
        county.fips,
        entity,
    )
    return Platform(
        {number: row for number, row in numbered if row["_deleted_at"] is None},
        {number for number, row in numbered if row["_deleted_at"] is not None},
        {
            NUMBER_OF[entity, row["source_key"]]: (row["rules"], bytes(row["payload_digest"]))
            for row in quarantine
        },
        {NUMBER_OF[entity, row["source_key"]] for row in pending},
    )


def is_image(row: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether a row of the target says exactly this."""
    for name, value in wanted.items():
        had = row[name]
        if isinstance(value, float):
            had = None if had is None else float(had)
        elif name.endswith("_id"):
            had = str(had)
        if had != value:
            return False
    return True


def digest(county: County, entity: str, wanted: dict[str, Any]) -> bytes:
    """The digest that quarantine must hold of an image, by PostgreSQL itself from the model's values."""
    canonical = load_entities()[entity]
    columns = sql.SQL(", ").join(sql.Identifier("r", name) for name in canonical.column_names)
    statement = sql.SQL(
        "SELECT sha256(convert_to(ROW({})::text, 'UTF8')) AS d FROM jsonb_populate_record(NULL::{}, %s::jsonb) AS r"
    ).format(columns, sql.Identifier("pacs", canonical.table))
    row = county.target.connection.execute(statement, (json.dumps(wanted, default=str),)).fetchone()
    assert row is not None
    return bytes(row[0])


class Findings(AssertionError):
    """What is false."""


@dataclass
class Oracle:
    """Checks certificates of one county against its model."""

    county: County
    model: SourceModel
    city: str = "City"
    planned_city: str = "City"

    def image(self, entity: str, number: int, row: SourceRow) -> dict[str, Any]:
        """What the platform must hold by the county's file as it was when the checked run was planned: the
        stored plan is what is executed (ADR 8), and a file that changed since is the next run's.
        """
        return image(entity, number, row, self.planned_city)

    def check_rows(self) -> None:
        """After every step: no live row breaks a rule, and each says what the source once said."""
        for entity in ENTITIES:
            column, bad, rule = BAD[entity]
            name = {"Acreage": "acreage", "OwnershipPercentage": "ownership_percentage"}[column]
            for number, row in look(self.county, entity).live.items():
                if float(row[name]) == bad:
                    raise Findings(f"{entity} {number} is live and breaks {rule}")
                past = self.model.history.get((entity, number), [])
                said = (image(entity, number, then, city) for then in past for city in ("City", "State"))
                if not any(is_image(row, each) for each in said):
                    raise Findings(f"{entity} {number} is live with values that the source never had")

    def check(
        self, certificate: Certificate, read: dict[str, int], runs: list[EntityRun], planned_city: str
    ) -> None:
        """Every word of a certificate that was issued this moment.

        Args:
            certificate: the certificate.
            planned_city: the column that the run's plan takes the city from.
            read: by entity, after how many mutations its rows were read.
            runs: the run's entities as the journal has them.
        """
        self.planned_city = planned_city
        parents = set(look(self.county, "property").live)
        for each in certificate.entities:
            run = next(row for row in runs if row.entity == each.entity)
            self._entity(each, run, read.get(each.entity, self.model.mutations), parents)

    def _entity(  # noqa: C901
        self, made: EntityCertificate, run: EntityRun, read: int, parents: set[int]
    ) -> None:
        entity, where = made.entity, f"{made.entity} ({made.covered}, {made.state})"
        platform = look(self.county, entity)
        if (made.state == "blocked") != (run.state != "published"):
            raise Findings(f"{where}: the entity is {run.state}")
        if made.state == "blocked":
            if made.target_rows != len(platform.live) or made.kept != made.target_rows:
                raise Findings(f"{where}: {len(platform.live)} rows are live, it says {made.target_rows}")
            return
        if made.source_remainder or made.target_remainder:
            raise Findings(f"{where}: an equation does not hold: {made}")
        status = {
            number: self._status(made, number, row, platform, read, parents)
            for number, row in self._covered(made, run, platform).items()
        }
        extra = {
            number: self._extra(entity, number, platform, read)
            for number in platform.live
            if number not in self.model.rows[entity] and made.covered != "keys"
        }
        said = Counter(status.values()) + Counter(extra.values())
        details = f"{where}: {dict(said)}; rows {status | extra}; {made}"
        if said["unexplained"]:
            raise Findings(f"unexplained rows under {details}")
        moved = said["moved"] + said["moved away"]
        if made.state == "drift" and not moved:
            raise Findings(f"drift without a cause {details}")
        if (made.state == "pending") != (made.pending_deletes > 0 and made.state != "drift"):
            raise Findings(f"pending is said wrongly {details}")
        if made.covered != "keys" and not moved:
            self._count(made, status, extra, platform, details)
        for number, each in status.items():
            if each == "equal":
                self.model.in_step(entity, number)

    def _covered(self, made: EntityCertificate, run: EntityRun, platform: Platform) -> dict[int, SourceRow]:
        rows = self.model.rows[made.entity]
        if made.covered != "keys":
            return dict(rows)
        if run.mode == "keys":
            named = {NUMBER_OF[made.entity, key] for key in run.read_plan.keys}
            return {number: row for number, row in rows.items() if number in named}
        lower, upper = datetime.fromisoformat(str(made.lower)), datetime.fromisoformat(str(made.upper))
        return {number: row for number, row in rows.items() if lower <= row.stamp < upper}

    def _status(
        self,
        made: EntityCertificate,
        number: int,
        row: SourceRow,
        platform: Platform,
        read: int,
        parents: set[int],
    ) -> str:
        entity, wanted = made.entity, self.image(made.entity, number, row)
        live, waits = platform.live.get(number), platform.quarantine.get(number)
        set_aside = waits is not None and waits[1] == digest(self.county, entity, wanted)
        if live is not None and is_image(live, wanted) and not (set_aside and made.method == _OWN_READ):
            return "equal"
        if waits is not None and set_aside:
            return self._quarantined(made, row, waits[0], read, parents)
        if made.upper is not None and row.stamp > datetime.fromisoformat(made.upper):
            return "newer"
        if row.changed > read:
            return "moved"
        if made.covered == "window" and live is not None and waits is None and row.unseen:
            return "unseen"
        return "unexplained"

    def _quarantined(
        self, made: EntityCertificate, row: SourceRow, rules: list[str], read: int, parents: set[int]
    ) -> str:
        own = self.model.broken(made.entity, row)
        if rules == [WAITING] and not own:
            is_final = made.covered != "keys" and row.changed <= read
            return "unexplained" if is_final and row.parent in parents else "waiting"
        return "quarantined" if rules == own else "unexplained"

    def _extra(self, entity: str, number: int, platform: Platform, read: int) -> str:
        if number in platform.pending:
            return "pending"
        return "moved away" if self.model.removed[entity, number] > read else "unexplained"

    def _count(
        self,
        made: EntityCertificate,
        status: dict[int, str],
        extra: dict[int, str],
        platform: Platform,
        details: str,
    ) -> None:
        said = Counter(status.values())
        aside = {n for n, each in status.items() if each in ("quarantined", "waiting", "newer")}
        terms = {
            "source_rows": len(self.model.rows[made.entity]),
            "target_rows": len(platform.live),
            "equal": said["equal"] + said["unseen"],
            "quarantined": said["quarantined"],
            "waiting": said["waiting"],
            "newer": said["newer"],
            "kept": len((aside & set(platform.live)) - platform.pending),
            "pending_deletes": len(extra) + len(aside & set(platform.live) & platform.pending),
            "missing": 0,
            "differing": 0,
            "extra_in_target": 0,
        }
        wrong = {name: (getattr(made, name), n) for name, n in terms.items() if getattr(made, name) != n}
        if made.covered == "window" and set(wrong) <= {"quarantined", "waiting"}:
            # outside the window a certificate counts what waits for its parent as quarantined
            wrong = {} if made.quarantined + made.waiting == said["quarantined"] + said["waiting"] else wrong
        if wrong:
            raise Findings(f"terms (said, true) {wrong} {details}")
