"""Decisions, runs and failures -> a chain of audit rows per county, and the proof that nobody touched it.

A row's hash is SHA-256 over its predecessor's hash (nothing for the first) and its canonical text: the JSON
object that PostgreSQL's `jsonb` writes for it. Rows are appended by `pacs_ops.append_audit`, which sets
actor, time and sequence; `verify` computes every hash again from the stored columns, without the database's
own functions for it, so a replaced function can't hide anything.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import psycopg
from psycopg.types.json import Jsonb

Connection = psycopg.Connection[Any]
FaultKind = Literal["edited", "deleted", "reordered", "cut off"]

_TEXT = (
    "jsonb_build_object('position', a.position, 'seq', a.seq, "
    "'at', to_char(a.at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), "
    "'county_id', a.county_id, 'run_id', a.run_id, 'actor', a.actor, 'action', a.action, "
    "'object', a.object, 'details', a.details)::text"
)
_ROWS = (
    f"SELECT a.position, a.seq, a.previous, a.hash, {_TEXT} AS text FROM pacs_ops.audit AS a "  # noqa: S608
    "WHERE coalesce(a.county_id, '') = %(chain)s"
)
_FIRST_FAULT = f"""WITH chain AS (
  SELECT r.position, r.previous, r.hash, r.seq, row_number() OVER w AS expected,
    coalesce(lag(r.hash) OVER w, ''::bytea) AS prior, coalesce(lag(r.seq) OVER w, 0) AS prior_seq,
    sha256(r.previous || convert_to(r.text, 'UTF8')) AS computed
  FROM ({_ROWS}) AS r WINDOW w AS (ORDER BY r.position, r.seq))
SELECT position, expected, hash = computed AS is_intact, previous = prior AND seq > prior_seq AS follows
FROM chain WHERE position <> expected OR hash <> computed OR previous <> prior OR seq <= prior_seq
ORDER BY expected LIMIT 1"""  # noqa: S608 - put together from constants


@dataclass(frozen=True, slots=True)
class AuditHead:
    """The end of a county's chain. Kept outside the database, it proves later that nothing was rewritten.

    Attributes:
        county_id: FIPS code; None for rows of no county, as migrations are.
        position: how many rows the chain has.
        hash: SHA-256 of the last row, hex.
    """

    county_id: str | None
    position: int
    hash: str

    def __str__(self) -> str:
        return f"{self.position}:{self.hash}"

    @classmethod
    def parse(cls, county_id: str | None, text: str) -> AuditHead:
        """A head as `str()` wrote it, for example on a printed certificate.

        Raises:
            ValueError: not `<position>:<64 hex digits>`.
        """
        position, _, digest = text.strip().partition(":")
        if not position.isdecimal() or len(bytes.fromhex(digest)) != 32:
            raise ValueError("an audit head is written <position>:<64 hex digits>")
        return cls(county_id, int(position), digest.lower())


@dataclass(frozen=True, slots=True)
class AuditFault:
    """The first row of a chain that is not as it was written."""

    kind: FaultKind
    position: int
    text: str


@dataclass(frozen=True, slots=True)
class AuditVerification:
    """What `verify` saw: the chain's length and end, and the first fault, if there is one."""

    county_id: str | None
    rows: int
    head: AuditHead | None
    fault: AuditFault | None

    @property
    def is_intact(self) -> bool:
        """Whether every row is as it was written."""
        return self.fault is None


def append(
    connection: Connection,
    county_id: str | None,
    run_id: str | None,
    action: str,
    object: str,
    details: Mapping[str, Any],
) -> int:
    """Append one row of counts, fingerprints and decisions, never values of rows; returns its position.

    Appends of one county wait for each other until the transaction ends, so append late in a long one.
    """
    row = connection.execute(
        "SELECT pacs_ops.append_audit(%s::text, %s::uuid, %s::text, %s::text, %s::jsonb)",
        (county_id, run_id, action, object, Jsonb(dict(details))),
    ).fetchone()
    return int(row[0]) if row else 0


def is_ready(connection: Connection) -> bool:
    """Whether rows can be appended: the function is there, so the tables are too."""
    row = connection.execute("SELECT to_regprocedure('pacs_ops.append_audit(text,uuid,text,text,jsonb)')")
    return row.fetchone() != (None,)


def head(connection: Connection, county_id: str | None) -> AuditHead | None:
    """The chain's end, as the last row says; None for a chain without rows."""
    row = connection.execute(
        "SELECT position, encode(hash, 'hex') FROM pacs_ops.audit WHERE coalesce(county_id, '') = %s "
        "ORDER BY position DESC LIMIT 1",
        (county_id or "",),
    ).fetchone()
    return AuditHead(county_id, int(row[0]), str(row[1])) if row else None


def verify(
    connection: Connection, county_id: str | None, known: Sequence[AuditHead] = ()
) -> AuditVerification:
    """Compute the chain again and name the first row that was edited, deleted, reordered or cut off.

    Args:
        connection: of a login that may read the audit; `pacs_auditor` may.
        county_id: whose chain; None for rows of no county.
        known: heads that were kept outside, as certificates print them. Without one, somebody who may write
            every table could rewrite the whole chain.
    """
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        last = head(connection, county_id)
        fault = _first_fault(connection, county_id) or _cut_off(connection, county_id, last)
        for entry in sorted(known, key=lambda entry: entry.position):
            fault = fault or _against(connection, county_id, entry, last)
        row = connection.execute(
            "SELECT count(*) FROM pacs_ops.audit WHERE coalesce(county_id, '') = %s", (county_id or "",)
        ).fetchone()
    return AuditVerification(county_id, int(row[0]) if row else 0, last, fault)


def _first_fault(connection: Connection, county_id: str | None) -> AuditFault | None:
    row = connection.execute(_FIRST_FAULT.encode(), {"chain": county_id or ""}).fetchone()
    if row is None:
        return None
    position, expected, is_intact, follows = row
    if position > expected:
        return AuditFault("deleted", expected, f"row {expected} is missing before row {position}")
    if position < expected or (not follows and not is_intact):
        return AuditFault("reordered", position, f"row {position} does not stand where it was written")
    if not is_intact:
        return AuditFault("edited", position, f"row {position} is not what was written")
    if position == 1:
        return AuditFault("deleted", 1, "the rows before the first are missing")
    return AuditFault(
        "edited", position - 1, f"row {position - 1} is not the row that row {position} was written after"
    )


def _cut_off(connection: Connection, county_id: str | None, last: AuditHead | None) -> AuditFault | None:
    """Rows missing at the end: the table of heads remembers them."""
    row = connection.execute(
        "SELECT position, encode(hash, 'hex') FROM pacs_ops.audit_head WHERE chain = %s", (county_id or "",)
    ).fetchone()
    if row is None:
        return None if last is None else AuditFault("cut off", last.position, "the chain's head is missing")
    there = 0 if last is None else last.position
    if there < int(row[0]):
        return AuditFault("cut off", there + 1, f"rows {there + 1} to {row[0]} are missing at the end")
    if there > int(row[0]) or last is None or last.hash != row[1]:
        return AuditFault("edited", there, f"row {there} is not the head that was recorded")
    return None


def _against(
    connection: Connection, county_id: str | None, known: AuditHead, last: AuditHead | None
) -> AuditFault | None:
    """The chain beside a head that was kept outside."""
    there = 0 if last is None else last.position
    if known.position > there:
        return AuditFault(
            "cut off", there + 1, f"rows {there + 1} to {known.position} are missing: a kept head names them"
        )
    row = connection.execute(
        "SELECT encode(hash, 'hex') FROM pacs_ops.audit WHERE coalesce(county_id, '') = %s AND position = %s",
        (county_id or "", known.position),
    ).fetchone()
    if row is not None and row[0] == known.hash:
        return None
    return AuditFault(
        "edited",
        known.position,
        f"row {known.position} is not the kept head: it, or a row before it, was rewritten",
    )


def export(connection: Connection, county_id: str | None) -> Iterator[str]:
    """The chain as JSON lines, oldest first: where a row stands, both hashes, and `text`, over which its hash
    was made.

    Who has the file needs no database to check it: `hash` is SHA-256 of the bytes of `previous` followed by
    `text` in UTF-8, and `previous` is the `hash` of the line before. `text` is the row, itself a JSON object;
    it is handed out as PostgreSQL wrote it and never parsed, because what another reader makes of
    `1.10`, `1e400` or 20 digits are not the bytes that were hashed. Lines are ASCII, so no terminal, mail or
    editor changes them.
    """
    with connection.transaction(), connection.cursor("pacs_audit_export") as cursor:
        cursor.itersize = 1000
        statement = f"{_ROWS} ORDER BY a.position"
        for position, seq, previous, digest, text in cursor.execute(
            statement.encode(), {"chain": county_id or ""}
        ):
            yield json.dumps(
                {
                    "position": position,
                    "seq": seq,
                    "previous": bytes(previous).hex(),
                    "hash": bytes(digest).hex(),
                    "text": text,
                }
            )
