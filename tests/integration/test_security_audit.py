"""The audit: written by one function, chained, and proven (issue 14, part 2)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from security_platform import Platform
from security_platform import platform as platform

from airflow_provider_pacs.cli.program import main
from airflow_provider_pacs.sync.target.postgres import audit, session
from airflow_provider_pacs.sync.target.postgres.audit import AuditHead

COUNTIES = iter(str(number) for number in range(70_001, 79_999))


@pytest.fixture
def chain(platform: Platform) -> str:
    """A county with five audit rows."""
    county = next(COUNTIES)
    with platform.as_login(platform.sync) as connection:
        for number in range(1, 6):
            assert (
                audit.append(connection, county, None, "test.row", f"row {number}", {"n": number}) == number
            )
    return county


def tamper(platform: Platform, statement: str, *values: object) -> None:
    """What only somebody who may do everything can do: past the triggers."""
    with platform.as_superuser() as connection, connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute(statement.encode(), values)


def verified(platform: Platform, county: str | None, *known: AuditHead) -> tuple[str, int] | None:
    with platform.as_superuser() as connection:
        fault = audit.verify(connection, county, known).fault
    return None if fault is None else (fault.kind, fault.position)


def test_an_intact_chain_is_intact(platform: Platform, chain: str) -> None:
    with platform.as_superuser() as connection:
        seen = audit.verify(connection, chain)
        assert seen.is_intact
        assert seen.rows == 5
        assert seen.head == audit.head(connection, chain)
        assert audit.verify(connection, None).is_intact  # migrations, of no county
        assert audit.head(connection, "00000") is None
        assert audit.verify(connection, "00000").rows == 0


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("UPDATE pacs_ops.audit SET details = '{\"n\": 33}' WHERE county_id = %s AND position = 3", ("edited", 3)),
        ("UPDATE pacs_ops.audit SET actor = 'somebody' WHERE county_id = %s AND position = 1", ("edited", 1)),
        ("UPDATE pacs_ops.audit SET at = at - interval '1 s' WHERE county_id = %s AND position = 5", ("edited", 5)),
        ("DELETE FROM pacs_ops.audit WHERE county_id = %s AND position = 2", ("deleted", 2)),
        ("DELETE FROM pacs_ops.audit WHERE county_id = %s AND position = 1", ("deleted", 1)),
        ("DELETE FROM pacs_ops.audit WHERE county_id = %s AND position >= 4", ("cut off", 4)),
        ("DELETE FROM pacs_ops.audit WHERE county_id = %s", ("cut off", 1)),
    ],
)  # fmt: skip
def test_the_first_row_that_was_touched_is_named(
    platform: Platform, chain: str, statement: str, fault: tuple[str, int]
) -> None:
    tamper(platform, statement, chain)
    assert verified(platform, chain) == fault


def test_two_rows_that_changed_places_are_named(platform: Platform, chain: str) -> None:
    tamper(
        platform,
        "UPDATE pacs_ops.audit SET position = -position WHERE county_id = %s AND position IN (2, 4)",
        chain,
    )
    tamper(
        platform,
        "UPDATE pacs_ops.audit SET position = 6 + position WHERE county_id = %s AND position < 0",
        chain,
    )
    assert verified(platform, chain) == ("reordered", 2)


def test_a_row_that_was_edited_with_a_new_hash_is_named(platform: Platform, chain: str) -> None:
    """The next row still holds the hash that it was written after."""
    tamper(platform, "UPDATE pacs_ops.audit SET object = 'x' WHERE county_id = %s AND position = 3", chain)
    tamper(
        platform,
        "UPDATE pacs_ops.audit AS a SET hash = sha256(previous || convert_to(pacs_ops.audit_text(a), 'UTF8')) "
        "WHERE county_id = %s AND position = 3",
        chain,
    )
    assert verified(platform, chain) == ("edited", 3)


def rewrite_from(platform: Platform, chain: str, position: int) -> None:
    """The whole rest of the chain made anew, its head too: what a superuser with time would do."""
    with platform.as_superuser() as connection, connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        last = connection.execute(
            "SELECT max(position) FROM pacs_ops.audit WHERE county_id = %s", (chain,)
        ).fetchone()
        assert last is not None
        for row in range(position, last[0] + 1):
            connection.execute(
                "UPDATE pacs_ops.audit AS a SET previous = coalesce((SELECT b.hash FROM pacs_ops.audit AS b WHERE "
                "b.county_id = a.county_id AND b.position = a.position - 1), '') WHERE county_id = %s AND position = %s",
                (chain, row),
            )
            connection.execute(
                "UPDATE pacs_ops.audit AS a SET hash = sha256(previous || convert_to(pacs_ops.audit_text(a), "
                "'UTF8')) WHERE county_id = %s AND position = %s",
                (chain, row),
            )
        connection.execute(
            "UPDATE pacs_ops.audit_head SET (position, hash) = (SELECT position, hash FROM pacs_ops.audit WHERE "
            "county_id = %s ORDER BY position DESC LIMIT 1) WHERE chain = %s",
            (chain, chain),
        )


def test_a_head_that_was_kept_outside_betrays_a_chain_made_anew(platform: Platform, chain: str) -> None:
    """Nothing in the database can show it; the head on a certificate can."""
    with platform.as_superuser() as connection:
        kept = audit.head(connection, chain)
    assert kept is not None
    printed = AuditHead.parse(chain, str(kept))
    assert printed == kept
    with platform.as_login(platform.sync) as connection:
        audit.append(connection, chain, None, "test.row", "later", {})
    assert verified(platform, chain, printed) is None
    tamper(platform, "UPDATE pacs_ops.audit SET object = 'x' WHERE county_id = %s AND position = 3", chain)
    rewrite_from(platform, chain, 3)
    assert verified(platform, chain) is None
    assert verified(platform, chain, printed) == ("edited", 5)


def test_a_tail_that_was_cut_off_with_its_head_is_betrayed_by_a_kept_head(
    platform: Platform, chain: str
) -> None:
    with platform.as_superuser() as connection:
        kept = audit.head(connection, chain)
    assert kept is not None
    tamper(platform, "DELETE FROM pacs_ops.audit WHERE county_id = %s AND position > 3", chain)
    rewrite_from(platform, chain, 3)
    assert verified(platform, chain) is None
    assert verified(platform, chain, kept) == ("cut off", 4)


@pytest.mark.parametrize("text", ["", "5", "5:zz", "5:abcd", "x:" + "0" * 64])
def test_what_is_no_head_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="hex"):
        AuditHead.parse("53005", text)


def test_a_replaced_function_hides_nothing(platform: Platform, chain: str) -> None:
    """`verify` does not ask the database's own function what a row says."""
    tamper(platform, "UPDATE pacs_ops.audit SET object = 'x' WHERE county_id = %s AND position = 2", chain)
    with platform.as_superuser() as connection, connection.transaction(force_rollback=True):
        connection.execute(
            "CREATE OR REPLACE FUNCTION pacs_ops.audit_text(entry pacs_ops.audit) RETURNS text LANGUAGE sql AS "
            "$$ SELECT 'whatever' $$"
        )
    assert verified(platform, chain) == ("edited", 2)


AWKWARD = (
    '{"a": 1.10, "b": 1e400, "c": 123456789012345678901234567890.50, "d": -0.0, "e": 1E-7, '
    '"f": "Łódź 😀 \\u2028 \\" \\\\ \\u0007", "g": [[], {}, null, true], "": "", "a b": 100000000000000000000}'
)
"""Details that no reader of JSON but PostgreSQL writes back as they were."""


def sha256_of_the_lines(lines: Sequence[str]) -> tuple[str, int]:
    """What an outside party does with an export: nothing but strings and SHA-256."""
    previous = ""
    for line in lines:
        row = json.loads(line)
        assert set(row) == {"position", "seq", "previous", "hash", "text"}
        assert row["previous"] == previous
        previous = hashlib.sha256(bytes.fromhex(previous) + row["text"].encode()).hexdigest()
        assert row["hash"] == previous
    return previous, len(lines)


def test_an_export_can_be_checked_without_the_database(platform: Platform, chain: str) -> None:
    """Byte for byte what was hashed: numbers beyond a float, digits behind a point, every character."""
    with platform.as_login(platform.sync) as connection:
        connection.execute(
            "SELECT pacs_ops.append_audit(%s, NULL, 'test.row', 'Łódź 😀', %s::jsonb)", (chain, AWKWARD)
        )
    with platform.as_superuser() as connection:
        lines = list(audit.export(connection, chain))
        kept = audit.head(connection, chain)
        stored = connection.execute(
            "SELECT details::text FROM pacs_ops.audit WHERE county_id = %s ORDER BY position DESC", (chain,)
        ).fetchone()
    assert kept is not None
    assert sha256_of_the_lines(lines) == (kept.hash, 6)
    assert stored is not None
    assert f'"details": {stored[0]}' in json.loads(lines[-1])["text"]
    assert all(line.isascii() and len(line.splitlines()) == 1 for line in lines)


@pytest.mark.parametrize("as_json", [False, True])
def test_the_commands_export_is_what_was_hashed(
    platform: Platform, chain: str, as_json: bool, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """`pacs audit export`, and with --json, where the lines are items of one document."""
    with platform.as_login(platform.sync) as connection:
        connection.execute("SELECT pacs_ops.append_audit(%s, NULL, 'x', 'y', %s::jsonb)", (chain, AWKWARD))
        head = audit.head(connection, chain)
    (tmp_path / "ada_id.yaml").write_text(f'fips: "{chain}"\ntimezone: America/Boise\n', "utf-8")
    (tmp_path / "url").write_text(platform.url, "utf-8")
    options = ["--counties", str(tmp_path), "--target-url-file", str(tmp_path / "url")]
    assert main(["audit", "export", "ada_id", *options, *(["--json"] if as_json else [])]) == 0
    out = capsys.readouterr().out
    lines = [json.dumps(row) for row in json.loads(out)] if as_json else out.splitlines()
    assert head is not None
    assert sha256_of_the_lines(lines) == (head.hash, 6)


def test_appends_side_by_side_make_one_chain(platform: Platform) -> None:
    """Sequence numbers and positions are one order, whoever commits when."""
    county = next(COUNTIES)

    def write(worker: int) -> None:
        with platform.as_login(platform.sync) as connection:
            for number in range(20):
                audit.append(connection, county, None, "test.row", f"{worker}/{number}", {})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    with platform.as_superuser() as connection:
        seen = audit.verify(connection, county)
    assert (seen.rows, seen.fault) == (80, None)


def test_an_append_that_is_rolled_back_leaves_no_gap(platform: Platform, chain: str) -> None:
    with platform.as_login(platform.sync) as connection:
        with connection.transaction(force_rollback=True):
            assert audit.append(connection, chain, None, "test.row", "never", {}) == 6
        assert audit.append(connection, chain, None, "test.row", "after", {}) == 6
    assert verified(platform, chain) is None


@pytest.mark.parametrize(
    ("action", "details"), [("Not An Action", {}), ("", {}), ("test.row", {"text": "x" * 1_100_000})]
)
def test_what_is_no_audit_row_is_refused(
    platform: Platform, chain: str, action: str, details: dict[str, str]
) -> None:
    with (
        platform.as_login(platform.sync) as connection,
        pytest.raises(psycopg.errors.InvalidParameterValue),
    ):
        audit.append(connection, chain, None, action, "", details)


def test_verify_reads_under_the_sessions_of_the_sync(platform: Platform, chain: str) -> None:
    """Through the connection that steps use, too."""
    with session.connect(platform.params(platform.sync)) as connection:
        assert audit.verify(connection, chain).is_intact
