"""Mutants of realtime: what is handled, when a county is reported, what a poll may ask."""

from __future__ import annotations

from tests.mutants.mutant import POSTGRES, STEPS, SYNC, Mutant, of

REALTIME, PLAN, VALIDATE = (f"{STEPS}{name}.py" for name in ("realtime", "plan", "validate"))
RUN_STORE = f"{POSTGRES}run_store.py"
WATCH = "airflow_provider_pacs/triggers/watch.py"
LAST_MODIFIED = f"{SYNC}incremental/last_modified.py"
_WATCHED, _STORE = "tests/unit/test_realtime_watch.py::test_", "tests/conformance/test_run_store.py::test_"

MUTANTS = (
    Mutant(
        "realtime: a position is handled when its rows are published",
        REALTIME,
        "self.followed = replace(self.followed, changed_at=self.now())",
        "self._handled(position)",
        of("realtime", "test_a_position_is_kept_only_with_its_rows"),
    ),
    Mutant(
        "realtime: an entity that is read whole is left out",
        PLAN,
        'if request.kind == "realtime":',
        "if False:",
        of("realtime", "test_an_entity_that_is_read_whole_is_left_out_and_named"),
    ),
    Mutant(
        "realtime: lingering ends with business hours",
        REALTIME,
        "return limit if closes is None else min(limit, closes)",
        "return limit",
        of("realtime", "test_lingering_ends_with_business_hours"),
    ),
    Mutant(
        "realtime: a run at work is let finish",
        REALTIME,
        "if self.target.runs.in_the_way(self.config.fips, turn_of(self.config, request.kind)) is not None:",
        "if False:",
        of("realtime", "test_another_run_at_work_is_let_finish"),
    ),
    Mutant(
        "realtime: rules are evaluated by their predicates",
        VALIDATE,
        "if not by_predicates:",
        "if True:",
        of("realtime", "test_rules_are_evaluated_by_their_predicates"),
    ),
    Mutant(
        "realtime: a stamp years ahead hides no change",
        LAST_MODIFIED,
        "WHERE {column} <= CONVERT({table.change_type}, {moment})",
        "WHERE {column} IS NOT NULL",
        of("realtime", "test_a_stamp_years_ahead_hides_no_change"),
    ),
    Mutant(
        "realtime: a stored type is checked",
        LAST_MODIFIED,
        'if table.column is None or not _DECLARED.fullmatch(table.change_type or ""):',
        "if table.column is None:",
        f"{_WATCHED}what_somebody_wrote_into_the_store_is_not_executed",
    ),
    Mutant(
        "realtime: claiming and looking are one",
        RUN_STORE,
        "if turn is not None and (other := turns.in_the_way(connection, county_id, turn)) is not None:",
        "if turn is not None and (other := None) is not None:",
        f"{_STORE}a_run_lets_every_other_finish_but_a_sync_takes_over_from_a_sync",
    ),
    Mutant(
        "realtime: a claim that is no longer the newest is not opened",
        RUN_STORE,
        "if row is not None and row[0] != plan.epoch:",
        "if False:",
        f"{_STORE}of_two_that_claim_at_once_one_is_refused",
    ),
    Mutant(
        "realtime: the task's word is read again before a report",
        WATCH,
        "labels = () if self._is_leased() else await self._moved()",
        "labels = labels",
        f"{_WATCHED}a_change_that_the_task_handles_meanwhile_is_not_reported",
    ),
    Mutant(
        "realtime: a county that a task follows is left to it",
        WATCH,
        "return lease is not None and self._now() < lease",
        "return False",
        f"{_WATCHED}a_county_that_a_task_follows_is_left_to_it",
    ),
    Mutant(
        "realtime: a report comes again",
        WATCH,
        "if self._report_at is not None and now < self._report_at:",
        "if self._report_at is not None:",
        f"{_WATCHED}a_report_that_nobody_acts_on_comes_again_each_time_later",
    ),
    Mutant(
        "realtime: a refused login is not tried every few seconds",
        WATCH,
        "away = isinstance(error, RetryableError)",
        "away = True",
        f"{_WATCHED}a_refused_login_is_not_tried_every_few_seconds",
    ),
)
