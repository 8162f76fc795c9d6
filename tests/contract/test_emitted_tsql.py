"""Every statement that the product can emit is T-SQL for SQL Server 2012, 2016 and 2019, and what was meant:
one SELECT, without hints.
"""

from __future__ import annotations

import inspect

import pytest

from airflow_provider_pacs.sync.incremental.full import KEYS_PER_STATEMENT, keys_query
from tests.contract import statements
from tests.contract.tsql_parser import Statement, TsqlParser, with_parameters

FUNCTIONS_OF_2012 = frozenset(
    "CHANGE_TRACKING_CURRENT_VERSION CHANGE_TRACKING_MIN_VALID_VERSION COUNT COUNT_BIG DATABASEPROPERTYEX "
    "DATALENGTH DATEADD DATEDIFF DATEPART DB_ID DB_NAME "
    "FN_CDC_GET_MAX_LSN FN_CDC_GET_MIN_LSN FN_CDC_INCREMENT_LSN FN_CDC_MAP_LSN_TO_TIME "
    "FN_MY_PERMISSIONS HASHBYTES HAS_PERMS_BY_NAME IS_MEMBER "
    "IS_SRVROLEMEMBER MAX MIN MIN_ACTIVE_ROWVERSION OBJECT_ID ORIGINAL_LOGIN QUOTENAME REPLACE ROW_NUMBER "
    "RTRIM SERVERPROPERTY SUBSTRING SUM SWITCHOFFSET SYSDATETIME SYSDATETIMEOFFSET "
    "SYSUTCDATETIME TODATETIMEOFFSET UPPER YEAR".split()
)
"""What we call, each one looked up in the documentation of 2012: to a parser a function that came later looks
like any other.
"""
NODES_THAT_WRITE_OR_HINT = frozenset(
    "TableHint IndexTableHint LiteralTableHint ForceSeekTableHint OptimizerHint LiteralOptimizerHint "
    "OutputClause OutputIntoClause SelectSetVariable "
    "OpenRowsetTableReference OpenQueryTableReference AdHocTableReference ExecuteStatement".split()
)
BUILDERS = statements.built(statements.all_shapes())
PLANNED = statements.plan_statements(statements.all_shapes())
CONSTANTS = statements.constants()


def read_as_one(read: list[Statement], sql: str) -> Statement:
    """The one SELECT, after nothing but DECLAREs and SNAPSHOT isolation, that neither hints nor writes."""
    *declares, select = read
    if sql.startswith("SET TRANSACTION ISOLATION LEVEL SNAPSHOT;\n"):
        assert declares.pop(0).type == "SetTransactionIsolationLevelStatement", sql
    assert {each.type for each in declares} <= {"DeclareVariableStatement"}, sql
    assert select.type == "SelectStatement", sql
    assert not select.into, sql
    for each in read:
        assert not NODES_THAT_WRITE_OR_HINT & each.kinds.keys(), sql
        assert each.functions <= FUNCTIONS_OF_2012, sql
    assert all(not each.kinds["QuerySpecification"] for each in declares), sql
    nested = ("_source_key", "root_key", "fn_cdc_get_all_changes", "change_log", " AS p0")
    assert select.kinds["QuerySpecification"] == 1 or any(name in sql for name in nested), sql
    return select


def test_builders_and_constants_are_found() -> None:
    """The search itself must not fall silent."""
    assert {
        "full.full_query",
        "full.keys_query",
        "last_modified.window_query",
        "last_modified.bounds_query",
        "last_modified.clock_query",
    } <= BUILDERS.keys()
    assert all(BUILDERS.values())
    assert {
        "statements.census_query",
        "statements.flagged_query",
        "statements.key_list_query",
        "statements.late_rows_query",
        "joined.window_query",
        "rowversion.window_query",
    } <= BUILDERS.keys()
    assert all(PLANNED.values())
    expected = ("hooks/pacs.py", "sync/source/bulk.py", "sync/schema/catalog.py", "sync/source/session.py")
    assert {f"airflow_provider_pacs/{name}" for name in expected} <= CONSTANTS.keys()


def test_no_statement_is_put_together_anywhere_else() -> None:
    """Text with names in it comes from `sync/incremental`, `schema/joined.py` and the looks at data; elsewhere
    only the isolation level, one of a list, and the questions of `plan` about single tables.

    What `pacs grants` makes is printed, and sent by nobody: test_preflight_tsql.py parses it and the looks.
    """
    package = "airflow_provider_pacs/sync"
    allowed = (f"{package}/incremental/", f"{package}/preflight/queries.py:", f"{package}/schema/joined.py:")
    outside = {place for place in statements.assembled() if not place.startswith(allowed)}
    assert outside == {
        f"{package}/source/session.py:prepare",
        f"{package}/polling.py:poll_query",  # a builder, beside the strategies that it asks
        f"{package}/preflight/grants.py:source_grants",
        f"{package}/preflight/followed.py:index_statement",  # printed too, and parsed there
        f"{package}/preflight/grants.py:change_tracking_script",
        f"{package}/preflight/feed_scripts.py:capture_script",
        f"{package}/schema/catalog.py:_check_key",
        f"{package}/schema/stamping.py:_newest_query",
        f"{package}/schema/stamping.py:next_cursor_query",
        f"{package}/schema/surrogate.py:_probes",  # test_source_side_tsql.py parses all three
        f"{package}/schema/surrogate.py:_track",
        f"{package}/schema/surrogate.py:with_surrogate",
    }
    inside = {
        place.rpartition(":")[2] for place in statements.assembled() - outside if "/incremental/" in place
    }
    called_by_builders = {"_joined_keys_query", "_declared", "late", "_since", "_from", "position"}
    called_by_builders |= {"_changed", "_fold", "_entries", "rows_of_root_keys", "distinct_root_keys"}
    assert inside - called_by_builders <= {name.rpartition(".")[2] for name in BUILDERS}


@pytest.mark.parametrize("what", sorted(PLANNED))
def test_what_plan_asks_about_a_table_is_one_select(tsql: TsqlParser, what: str) -> None:
    """Case D7: the newest stamps are looked at, whatever the names; only `settled` reads inside a DECLARE."""
    texts = sorted(PLANNED[what])
    for sql, result in zip(texts, tsql.parse_all(texts), strict=True):
        *declares, select = result.statements()
        assert {each.type for each in declares} <= {"DeclareVariableStatement"}, sql
        assert select.type == "SelectStatement", sql
        assert not select.into, sql
        assert sum(each.kinds["QuerySpecification"] for each in declares) == (what == "settled"), sql
        for each in (*declares, select):
            assert not NODES_THAT_WRITE_OR_HINT & each.kinds.keys(), sql
            assert each.functions <= FUNCTIONS_OF_2012, sql


@pytest.mark.parametrize("builder", sorted(BUILDERS))
def test_what_a_builder_makes_is_one_select(tsql: TsqlParser, builder: str) -> None:
    texts = sorted(BUILDERS[builder])
    for sql, result in zip(texts, tsql.parse_all(texts), strict=True):
        select = read_as_one(result.statements(), sql)
        if select.kinds["QuerySpecification"] == 1:
            assert None not in select.aliases, f"a column has no name\n{sql}"
            assert len(set(select.aliases)) == len(select.aliases), f"two columns have one name\n{sql}"
            # Only the state of Change Tracking and the authors of a journal are read from tables that are joined.
            joined = ("change_tracking.bounds_query", "change_log.authors_query")
            assert len(select.tables) <= 1 or builder in joined, sql


@pytest.mark.parametrize("place", sorted(CONSTANTS))
def test_a_constant_is_a_select_or_a_setting(tsql: TsqlParser, place: str) -> None:
    texts = sorted(CONSTANTS[place])
    for sql, result in zip(texts, tsql.parse_all(texts), strict=True):
        parsed = result.statements()
        if sql.startswith("SET "):
            assert [each.type for each in parsed] in (["PredicateSetStatement"], ["SetCommandStatement"]), sql
        else:
            read_as_one(parsed, sql)


def test_an_isolation_level_is_one(tsql: TsqlParser) -> None:
    for result in tsql.parse_all(sorted(statements.session_statements())):
        assert [each.type for each in result.statements()] == ["SetTransactionIsolationLevelStatement"]


@pytest.mark.parametrize(
    "resolved",
    statements.all_shapes()[: len(statements.CHANGE_TYPES)],
    ids=lambda resolved: str(resolved.change_type),
)
def test_the_change_column_is_compared_in_its_own_type(
    tsql: TsqlParser, resolved: statements.ResolvedTable
) -> None:
    """A text converted to another type would be widened, and rows at the bound lost (correctness.md 0.3).

    The feeds compare versions, LSNs and numbers, not the column.
    """
    own = str(resolved.change_type).partition("(")[0]
    own = "binary" if resolved.change_type == "varbinary(8)" else own
    texts = [
        query.sql
        for name, function in statements.builders().items()
        if "table" in inspect.signature(function).parameters
        for query in statements.queries(name, function, resolved)
        if not any(feed in query.sql for feed in ("CHANGETABLE", "fn_cdc_", "cdc.lsn", "[change_log]"))
    ]
    declaring = [
        result.statements() for result in tsql.parse_all(sql for sql in texts if sql.startswith("DECLARE"))
    ]
    by_column = [
        fits
        for strategy, fits in statements.strategies_of(resolved)
        if strategy.name not in ("change_tracking", "cdc", "change_log")
    ]
    assert bool(declaring) == bool(by_column)
    for *declares, _ in declaring:
        assert all(declare.types == {own} for declare in declares)


def test_the_longest_list_of_keys_stays_below_the_limit_of_parameters(tsql: TsqlParser) -> None:
    resolved = statements.make_shape()
    sql = keys_query(resolved, tuple(map(str, range(KEYS_PER_STATEMENT)))).sql
    read_as_one(tsql.parse(sql).statements(), sql)
    assert f"@P{KEYS_PER_STATEMENT})" in with_parameters(sql)
    assert KEYS_PER_STATEMENT <= 2_100
    assert statements.template(sql) == statements.template(keys_query(resolved, ("1",)).sql)
