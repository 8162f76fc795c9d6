"""A staged entity and its rules -> one `RuleResult` per rule, evaluated by Great Expectations in one run.

The only module that imports it.

Nothing of a row leaves this module: Great Expectations is asked for counts only, an error is named by its
class, its own log and warnings are silenced (they quote values), and no file is written.
"""
# ruff: noqa: S608 - names come out of `identifier`, constants out of `literal`

from __future__ import annotations

import logging
import os
import re
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from airflow_provider_pacs.sync.entities import Entity
from airflow_provider_pacs.sync.quality.checks import build_check
from airflow_provider_pacs.sync.quality.model import Rule, RuleResult, ValidationContext
from airflow_provider_pacs.sync.quality.sql import identifier
from airflow_provider_pacs.sync.runtime.errors import FatalError, RetryableError

if TYPE_CHECKING:
    import sqlalchemy

_COUNTS_ONLY = {"result_format": "BASIC", "partial_unexpected_count": 0, "exclude_unexpected_values": True}
_ERROR_CLASS = re.compile(r"^([A-Za-z_][\w.]*(?:Error|Exception|Failure))\b", re.MULTILINE)
_SLOTS = "It is tried again; where that does not help, all connection slots of the target may be taken."

_IMPORTING = threading.Lock()


def warm_up() -> None:
    """Imports Great Expectations, which takes seconds: a command may do so in a thread while it waits for the
    source.
    """
    with _IMPORTING, _quiet():
        import great_expectations  # noqa: F401


def validate_stage(
    url: str | sqlalchemy.URL, entity: Entity, rules: Sequence[Rule], context: ValidationContext
) -> list[RuleResult]:
    """Validates the staged rows of an entity; an empty staging table passes every rule.

    Args:
        url: the target database, as a libpq URI or a SQLAlchemy URL.
        entity: what is staged.
        rules: the entity's suite.
        context: the staging table and what it is validated against.

    Returns:
        A result per rule, in the order of the rules. A rule that could not be evaluated failed and blocks.

    Raises:
        RetryableError: the database cannot be reached.
        FatalError: the staging table cannot be read, or Great Expectations does not start.
    """
    target = _sqlalchemy_url(url)
    evaluated = _count_rows(target, context)
    if not rules:
        return []
    warm_up()
    with _quiet():
        try:
            outcomes = _run(target, entity, rules, context)
        except Exception as error:
            raise FatalError(
                f"Great Expectations could not start on {context.stage}: {type(error).__name__}"
            ) from None
    return [_result(rule, outcomes.get(rule.id), evaluated, context.size) for rule in rules]


def _sqlalchemy_url(url: str | sqlalchemy.URL) -> sqlalchemy.URL:
    """The URL with the driver this package ships; a libpq URI names none."""
    from sqlalchemy import make_url

    return make_url(url).set(drivername="postgresql+psycopg")


def _count_rows(url: sqlalchemy.URL, context: ValidationContext) -> int:
    """The staged rows; counted first, so that an unreachable database or a missing table does not look like
    a failing rule.
    """
    import sqlalchemy as sa

    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    stage = sa.table(context.stage_table, schema=context.schema)
    try:
        with engine.connect() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(stage)).scalar_one())
    except (sa.exc.OperationalError, sa.exc.InterfaceError) as error:
        raise RetryableError(
            f"the target database cannot be reached to validate {context.stage}", remedy=_SLOTS
        ) from error
    except sa.exc.DBAPIError as error:
        raise FatalError(f"the staging table {context.stage} cannot be read") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """No analytics, and no log line or warning of Great Expectations: they quote SQL and values.

    Some of its loggers have a level of their own, so the records are stopped where they leave its tree.
    """
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "False")
    log, sink = logging.getLogger("great_expectations"), logging.NullHandler()
    before = log.propagate
    log.propagate = False
    log.addHandler(sink)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.removeHandler(sink)
        log.propagate = before


def _prepare_nothing(connection: Any, _: Any) -> None:
    """Behind a pooler the next client has other statements under the same names."""
    connection.prepare_threshold = None


def _set_up(connection: Any) -> None:
    """Sorts and hashes of whole staging tables stay in memory, and no time-out of the role ends them. For the
    transaction only: behind a pooler the next client would inherit more.
    """
    connection.exec_driver_sql(
        "SET LOCAL work_mem = '64MB'; SET LOCAL jit = off; SET LOCAL statement_timeout = 0"
    )


def _run(
    url: sqlalchemy.URL, entity: Entity, rules: Sequence[Rule], context: ValidationContext
) -> dict[str, Any]:
    """The raw outcome per rule id, from one validation run of the whole suite."""
    import great_expectations as gx
    import sqlalchemy
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    # Without a configuration of its own an ephemeral context reserves a folder for HTML pages.
    stores = InMemoryStoreBackendDefaults(init_temp_docs_sites=False)
    silent = ProgressBarsConfig(globally=False, metric_calculations=False)
    project = gx.get_context(
        mode="ephemeral",
        project_config=DataContextConfig(store_backend_defaults=stores, progress_bars=silent),
    )
    # `$` would start a substitution in Great Expectations' configuration; in a URL %24 is the same sign.
    source = project.data_sources.add_sql(
        name="target", connection_string=url.render_as_string(hide_password=False).replace("$", "%24")
    )
    try:
        sqlalchemy.event.listen(source.get_engine(), "connect", _prepare_nothing)
        sqlalchemy.event.listen(source.get_engine(), "begin", _set_up)
        asset = source.add_table_asset(
            name=entity.name, table_name=identifier(context.stage_table), schema_name=context.schema
        )
        suite = project.suites.add(gx.ExpectationSuite(name=entity.name))
        for rule in rules:
            suite.add_expectation(_expectation(entity, rule, context))
        definition = gx.ValidationDefinition(
            name=entity.name, data=asset.add_batch_definition_whole_table("staged"), suite=suite
        )
        outcome = definition.run(result_format=_COUNTS_ONLY)
    finally:
        source.get_execution_engine().close()
        source.get_engine().dispose()
    return {
        result.expectation_config.meta["rule"]: result
        for result in outcome.results
        if result.expectation_config
    }


def _expectation(entity: Entity, rule: Rule, context: ValidationContext) -> Any:
    """The rule as an expectation: the native one of the same meaning, else the count of the rows that its
    predicate finds.
    """
    from great_expectations import expectations

    check = build_check(entity, rule.check, rule.args)
    meta = {"rule": rule.id}
    native = check.native(context)
    if native is not None:
        return getattr(expectations, native.name)(**native.kwargs, meta=meta)
    query = f"SELECT 1 AS bad FROM {context.stage} AS s WHERE {check.predicate(entity, context)}"
    # The query is a format string to Great Expectations (which wants to see {batch}, but renders it unquoted)
    # and a `text()` to SQLAlchemy.
    escaped = re.sub(r"(?<!:):(?=\w)", r"\\:", query).replace("{", "{{").replace("}", "}}")
    return _counted_rows()(unexpected_rows_query=f"{escaped} /* {{batch}} */", meta=meta)


@cache
def _counted_rows() -> Any:
    """The expectation that a query finds no row; it asks for the number of rows only, where Great
    Expectations' own fetches the rows as well.
    """
    from great_expectations.expectations.core.unexpected_rows_expectation import UnexpectedRowsExpectation

    class CountedRowsExpectation(UnexpectedRowsExpectation):
        metric_dependencies = ("unexpected_rows_query.row_count",)

        def _validate(
            self,
            metrics: dict[Any, Any],
            runtime_configuration: dict[Any, Any] | None = None,
            execution_engine: Any = None,
        ) -> Any:
            return super()._validate(
                {"unexpected_rows_query.table": [], **metrics}, runtime_configuration, execution_engine
            )

    return CountedRowsExpectation


def _result(rule: Rule, outcome: Any, evaluated: int, size: int) -> RuleResult:
    counts = {} if outcome is None else outcome.result
    unexpected = counts.get("unexpected_count", counts.get("observed_value"))
    if unexpected is None and counts.get("element_count") == 0 and outcome.success:
        unexpected = 0  # a SUM over no rows
    if outcome is None or not isinstance(unexpected, int):
        reason = "no result" if outcome is None else _error_class(outcome.exception_info)
        if reason.endswith("OperationalError"):
            raise RetryableError(
                "the target could not be asked while rules were evaluated",
                remedy=_SLOTS,
            )
        return RuleResult(
            rule.id,
            rule.severity,
            rule.title,
            False,
            evaluated,
            0,
            True,
            f"could not be evaluated ({reason}), so nothing is published",
        )
    blocks = rule.blocks(unexpected, max(evaluated, size))
    detail = f"{unexpected:,} of {evaluated:,} rows" if unexpected else ""
    if blocks and rule.max_percent is not None:
        detail += f", more than {rule.max_percent:g} %: more likely a wrong mapping than wrong data"
    return RuleResult(
        rule.id, rule.severity, rule.title, unexpected == 0, evaluated, unexpected, blocks, detail
    )


def _error_class(info: Any) -> str:
    """The class of what was raised, out of Great Expectations' nested report; its message could quote a
    value.
    """
    if isinstance(info, dict):
        inner = [_error_class(part) for part in info.values() if isinstance(part, dict)]
        names = _ERROR_CLASS.findall(str(info.get("exception_traceback") or ""))
        return next((name for name in (*names[-1:], *inner) if name), "")
    return ""
