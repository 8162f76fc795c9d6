"""How a judgement ends: blocking, empty tables, failures inside Great Expectations, privacy, and the two
readings of a rule that always agree.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from quality_stage import SCHEMA, broken_rows, create_partition, create_stage, insert_rows, key

from airflow_provider_pacs.sync.entities import Entity, EntityColumn, load_entities
from airflow_provider_pacs.sync.quality import Rule, RuleResult, ValidationContext, load_suite, validate_stage
from airflow_provider_pacs.sync.runtime.errors import FatalError, RetryableError

ENTITIES = load_entities()
OWNER = ENTITIES["owner"]
NAME = "PRIVATE-PERSON JANE"


@pytest.fixture(scope="module")
def connection(pg_url: str) -> Iterator[psycopg.Connection[Any]]:
    """One connection for the module's own statements."""
    with psycopg.connect(pg_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def owners(connection: psycopg.Connection[Any]) -> ValidationContext:
    """An empty staging table of owners, with their property staged and published leaves beside it."""
    create_stage(connection, OWNER, "owners")
    create_stage(connection, ENTITIES["property"], "parents")
    insert_rows(connection, "parents", [{"property_id": key("home")}])
    create_partition(connection, OWNER, "owner_partition")
    return ValidationContext("53005", 2026, SCHEMA, "owners", parent_stage=f'"{SCHEMA}"."parents"')


def _owner(number: int, **overrides: Any) -> dict[str, Any]:
    return {
        "owner_id": key(f"owner {number}"),
        "property_id": key("home"),
        "owner_name": NAME,
        "ownership_percentage": None,
        **overrides,
    }


def _by_id(results: list[RuleResult]) -> dict[str, RuleResult]:
    return {result.rule_id: result for result in results}


@pytest.mark.parametrize("name", ENTITIES)
def test_an_empty_staging_table_passes_every_rule(
    name: str, pg_url: str, connection: psycopg.Connection[Any]
) -> None:
    create_stage(connection, ENTITIES[name], "nothing")
    results = validate_stage(
        pg_url,
        ENTITIES[name],
        load_suite(ENTITIES[name]),
        ValidationContext("53005", 2026, SCHEMA, "nothing"),
    )
    assert {(result.success, result.blocks, result.unexpected, result.evaluated) for result in results} == {
        (True, False, 0, 0)
    }


def test_many_bad_rows_block_the_entity_and_few_never_do(
    pg_url: str, connection: psycopg.Connection[Any], owners: ValidationContext
) -> None:
    insert_rows(connection, "owners", [_owner(number, ownership_percentage=101) for number in range(24)])
    few = _by_id(validate_stage(pg_url, OWNER, load_suite(OWNER), owners))["F2.17"]
    insert_rows(connection, "owners", [_owner(24, ownership_percentage=101)])
    many = _by_id(validate_stage(pg_url, OWNER, load_suite(OWNER), owners))
    assert (few.unexpected, few.blocks) == (24, False)
    assert (many["F2.17"].unexpected, many["F2.17"].blocks) == (25, True)
    assert not many["F2.18"].blocks, "a warning without a limit never blocks"


def test_children_without_their_property_never_block(
    pg_url: str, connection: psycopg.Connection[Any], owners: ValidationContext
) -> None:
    insert_rows(connection, "owners", [_owner(number) for number in range(30)])
    result = _by_id(validate_stage(pg_url, OWNER, load_suite(OWNER), replace(owners, parent_stage=None)))[
        "F2.15"
    ]
    assert (result.unexpected, result.blocks) == (30, False)


def test_a_warning_with_a_limit_blocks_above_it() -> None:
    rule = Rule("F3.24", "warn", "t", "not_null", {"column": "owner_id"}, max_percent=0.5)
    assert [rule.blocks(bad, 10_000) for bad in (50, 51)] == [False, True]
    assert not rule.blocks(24, 24)


def test_where_only_changes_are_staged_the_published_rest_of_a_group_counts(
    pg_url: str, connection: psycopg.Connection[Any], owners: ValidationContext
) -> None:
    insert_rows(connection, "owners", [_owner(1, ownership_percentage=50)])
    gone = _owner(3, ownership_percentage=50, _deleted_at=datetime(2025, 1, 1))
    insert_rows(
        connection,
        "owner_partition",
        [_owner(1, ownership_percentage=20), _owner(2, ownership_percentage=50), gone],
    )
    changes = replace(owners, partition=f'"{SCHEMA}"."owner_partition"')
    (rule,) = (rule for rule in load_suite(OWNER) if rule.id == "F2.18")
    for context, unexpected in ((owners, 1), (changes, 0)):
        (result,) = validate_stage(pg_url, OWNER, [rule], context)
        assert result.unexpected == unexpected == len(broken_rows(connection, OWNER, rule, context))


def test_a_rule_that_cannot_be_judged_fails_and_blocks(
    pg_url: str, connection: psycopg.Connection[Any], owners: ValidationContext
) -> None:
    insert_rows(connection, "owners", [_owner(1)])
    connection.execute(f'ALTER TABLE "{SCHEMA}".owners DROP COLUMN start_date'.encode())
    results = _by_id(validate_stage(pg_url, OWNER, load_suite(OWNER), owners))
    assert (results["F2.22"].success, results["F2.22"].blocks) == (False, True)
    assert "could not be evaluated" in results["F2.22"].detail
    assert results["F1.1"].success, "the other rules are evaluated"


def test_no_value_of_a_row_leaves_in_results_logs_or_output(
    pg_url: str,
    connection: psycopg.Connection[Any],
    owners: ValidationContext,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    recwarn: pytest.WarningsRecorder,
) -> None:
    """Also where PostgreSQL quotes the value in its error: here the parent table is a view that casts names
    to numbers.
    """
    caplog.set_level(0)
    insert_rows(
        connection, "owners", [_owner(1, ownership_percentage=-7), _owner(1, ownership_percentage=-7)]
    )
    view = f"""CREATE VIEW "{SCHEMA}".bad_parents AS
        SELECT CASE WHEN owner_name::int > 0 THEN owner_id END AS property_id, NULL::text[] AS _reject FROM "{SCHEMA}".owners"""
    connection.execute(view.encode())
    names = [
        *(Rule("names-in-set", "warn", "t", "in_set", {"column": "owner_name", "values": ["X"]}),),
        *(Rule("names-unique", "warn", "t", "unique", {"column": "owner_name"}),),
        *(Rule("names-regex", "warn", "t", "matches_regex", {"column": "owner_name", "pattern": "^X"}),),
    ]
    results = validate_stage(
        pg_url, OWNER, [*load_suite(OWNER), *names], replace(owners, parent_stage=f'"{SCHEMA}"."bad_parents"')
    )
    failed = _by_id(results)["F2.15"]
    assert (failed.success, failed.blocks) == (False, True)
    assert _by_id(results)["names-in-set"].unexpected == 2
    output = capfd.readouterr()
    assert NAME not in f"{results}{caplog.text}{output}{[str(warning.message) for warning in recwarn]}"
    assert output.out == output.err == ""


def test_no_connection_stays_open(
    pg_url: str, connection: psycopg.Connection[Any], owners: ValidationContext
) -> None:
    validate_stage(pg_url, OWNER, load_suite(OWNER), owners)
    statement = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    others: object = None
    for _ in range(100):  # a server process ends a moment after its client
        others = connection.execute(statement).fetchone()
        if others == (0,):
            break
        time.sleep(0.1)
    assert others == (0,)


def test_no_file_is_written(
    pg_url: str, owners: ValidationContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    validate_stage(pg_url, OWNER, load_suite(OWNER), owners)
    assert list(tmp_path.iterdir()) == []


def test_a_sqlalchemy_url_and_a_password_with_a_dollar_sign_work(
    pg_url: str, connection: psycopg.Connection[Any], owners: ValidationContext
) -> None:
    url = sqlalchemy.make_url(pg_url).set(password="p$HOME${x}@/")
    assert all(result.success for result in validate_stage(url, OWNER, load_suite(OWNER), owners))


def test_a_missing_table_and_an_unreachable_server_are_told_apart(
    pg_url: str, owners: ValidationContext
) -> None:
    with pytest.raises(FatalError, match="nowhere"):
        validate_stage(pg_url, OWNER, load_suite(OWNER), replace(owners, stage_table="nowhere"))
    with pytest.raises(RetryableError) as caught:
        validate_stage("postgresql://somebody:secret@127.0.0.1:9/x", OWNER, load_suite(OWNER), owners)
    assert "secret" not in str(caught.value)


def test_importing_the_room_imports_neither_great_expectations_nor_a_driver() -> None:
    probe = (
        "import sys, airflow_provider_pacs.sync.quality; print([n for n in ('great_expectations', "
        "'sqlalchemy', 'psycopg') if n in sys.modules])"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", probe], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )


THING = Entity(
    name="thing",
    table="thing",
    key="thing_id",
    parent="property",
    parent_key="property_id",
    columns=(
        *(
            EntityColumn("thing_id", "uuid"),
            EntityColumn("property_id", "uuid"),
            EntityColumn("label", "text"),
        ),
        *(
            EntityColumn("a", "numeric"),
            EntityColumn("b", "numeric"),
            EntityColumn("n", "integer"),
            EntityColumn("flag", "boolean"),
        ),
        *(EntityColumn("since", "timestamp"), EntityColumn("until", "timestamp")),
    ),
)
LABELS = ["$HOME", "a:b", ":b", "100%", "{x}", "it's", 'a\\b"', "", " ", "é", "x"]
EVERY_CHECK = [
    Rule(f"r{number}", "quarantine", "t", check, args)
    for number, (check, args) in enumerate(
        (
            ("not_null", {"column": "label"}),
            ("has_text", {"column": "label"}),
            ("unique", {"column": "thing_id"}),
            ("unique", {"column": "label"}),
            ("unique_where", {"column": "label", "where": "flag"}),
            ("between", {"column": "a", "min": 0}),
            ("between", {"column": "a", "max": 1}),
            ("between", {"column": "n", "min": 1, "max": "current_year - 2024", "also": [0]}),
            ("not_equal", {"column": "a", "value": 0}),
            ("in_set", {"column": "label", "values": LABELS[:7]}),
            ("matches_regex", {"column": "label", "pattern": r"^([[:alpha:]]{1}:|\$|100%|\{x\}|.'|it's)"}),
            ("column_order", {"lower": "a", "upper": "b"}),
            ("column_order", {"lower": "since", "upper": "until"}),
            ("column_sum_equals", {"total": "a", "parts": ["b", "n"], "tolerance": 0.5}),
            (
                "sum_equals_per_group",
                {"column": "a", "group_by": "label", "total": 1, "tolerance": 0.01, "open_until": "until"},
            ),
            ("exists_in_parent", {}),
        )
    )
]
number = st.sampled_from([None, -1, 0, 0.5, 1, 2, 33.3333333333])
moment = st.sampled_from([None, datetime(2020, 1, 1), datetime(2020, 1, 1, 0, 0, 1), datetime(2999, 1, 1)])
thing = st.fixed_dictionaries(
    {
        "thing_id": st.sampled_from([None, *map(key, "abcdef")]),
        "property_id": st.sampled_from([None, key("home"), key("nowhere")]),
        "label": st.sampled_from([None, *LABELS]),
        "a": number,
        "b": number,
        "n": st.sampled_from([None, -1, 0, 1, 2, 3]),
        "flag": st.sampled_from([None, True, False]),
        "since": moment,
        "until": moment,
    }
)


@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(rows=st.lists(thing, max_size=12))
def test_great_expectations_and_the_predicate_always_agree(
    rows: list[dict[str, Any]], pg_url: str, connection: psycopg.Connection[Any], owners: ValidationContext
) -> None:
    create_stage(connection, THING, "Odd name's")
    insert_rows(connection, "Odd name's", rows)
    context = replace(owners, stage_table="Odd name's")
    results = validate_stage(pg_url, THING, EVERY_CHECK, context)
    counts = [len(broken_rows(connection, THING, rule, context)) for rule in EVERY_CHECK]
    assert [(result.unexpected, result.success, "judged" in result.detail) for result in results] == [
        (bad, bad == 0, False) for bad in counts
    ]
