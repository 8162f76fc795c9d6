"""A published run -> its certificate: an arithmetic over both sides.

Reads only; writes no row of schema `pacs`.

Every planned entity is in it. The source is read again (a reconcile's staging table is such a fresh read
already), laid beside the published partition and beside what the run staged; what differs is read once more
before anything is said. Nothing is excused but what is listed by key: the present image in quarantine, and
what the next run will read.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import replace

from airflow_provider_pacs.sync.config import CountyConfig
from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.incremental import (
    joined,
    root_keys_query,
)
from airflow_provider_pacs.sync.incremental.statements import (
    control_columns,
    flagged_query,
    key_spelling,
    late_rows_query,
)
from airflow_provider_pacs.sync.quality.model import RuleResult
from airflow_provider_pacs.sync.records import (
    BACKFILL,
    RUN_STATE_OF,
    Certificate,
    CertificateState,
    Comparison,
    Coverage,
    EntityCertificate,
    EntityRun,
    KeyTotals,
    RowDifference,
    SourceCensus,
)
from airflow_provider_pacs.sync.runtime.errors import DataError
from airflow_provider_pacs.sync.source.port import SourceReader
from airflow_provider_pacs.sync.steps.entity_runs import relation_rules
from airflow_provider_pacs.sync.steps.extract import MOST_LOOKS, selected, window_of
from airflow_provider_pacs.sync.steps.failures import abort_if_superseded, audit_failures
from airflow_provider_pacs.sync.steps.next_run import NextRun
from airflow_provider_pacs.sync.steps.source_rows import SAMPLE, SourceRows, late_of, stage_name
from airflow_provider_pacs.sync.target.port import Target


def certify(config: CountyConfig, source: SourceReader, target: Target, *, run_id: str) -> Certificate:
    """Compare both sides of every planned entity and issue the certificate. The run's end falls here.

    Raises:
        ConflictError: a later run has taken the county.
        DataError: the certificate says `blocked` or `drift`. It is stored before.
    """
    started = time.monotonic()
    if (stored := _stored(target, run_id)) is not None:
        if stored.state in ("blocked", "drift"):
            raise _failure(config, stored)
        return stored
    with (
        audit_failures(config, target, "certify", run_id),
        abort_if_superseded(config, target, run_id),
    ):
        rows = target.runs.entities(run_id)
        relations = relation_rules(config)
        evidence = [_Evidence(config, source, target, row) for row in rows]
        certificates = [each.certificate() for each in evidence]
        warnings: dict[str, list[RuleResult]] = {
            child: target.certifier.orphaned(load_entities()[child], config.fips, rule)
            for child, rule in relations.items()
        }
        certificate = target.certifier.issue(run_id, certificates, warnings)
        done_with = [each.fresh for each in evidence]
        # After `blocked`, cleared tasks publish the rest, and this step comes again.
        if certificate.state != "blocked":
            done_with += [row.stage_table for row in rows if row.stage_table]
        target.staging.drop(done_with)
    certificate = replace(certificate, seconds=time.monotonic() - started)
    if certificate.state in ("blocked", "drift"):
        raise _failure(config, certificate)
    return certificate


def _stored(target: Target, run_id: str) -> Certificate | None:
    """The certificate that ended the run: a step that is repeated says the same again.

    None where there is none yet, and where more was published since.
    """
    if target.runs.run(run_id).state not in RUN_STATE_OF.values():
        return None
    return target.certifier.of_run(run_id)


class CertificateError(DataError):
    """The run's certificate is not clean. `certificate` is what was stored."""

    certificate: Certificate


def _failure(config: CountyConfig, certificate: Certificate) -> CertificateError:
    parts = []
    for each in certificate.entities:
        if each.state == "blocked":
            parts.append(f"{each.entity} ({each.message or 'not published'})")
        elif each.state == "drift":
            parts.append(
                f"{each.entity} ({each.missing:,} missing, {each.differing:,} differing, "
                f"{each.extra_in_target:,} extra in the target, {each.drift:,} rows in all)"
            )
    if certificate.state == "blocked":
        error = CertificateError(
            f"{config.county}: the run is incomplete, kept at their last good data: {'; '.join(parts)}",
            remedy="correct the rows or the mapping at the source, or what stopped the step, then run again",
        )
    else:
        error = CertificateError(
            f"{config.county}: source and target differ after the run: {'; '.join(parts)}",
            remedy=f"run `pacs reconcile {config.county}`; if it ends the same way, look at the keys that "
            f"`pacs certificate {config.county}` names",
        )
    error.certificate = certificate
    return error


class _Evidence:
    """What is known of one entity when its certificate is made."""

    def __init__(self, config: CountyConfig, source: SourceReader, target: Target, row: EntityRun) -> None:
        self.config, self.target, self.row = config, target, row
        self.plan = row.read_plan
        self.entity = self.plan.canonical
        self.rows = SourceRows(source, target, self.plan, config.fips)
        # A name per try: two tries at once would empty each other's table. The next run drops what one left.
        self.fresh = stage_name(str(row.run_id), row.entity, 0, f"_fresh_{secrets.token_hex(4)}")
        self.next_run = NextRun(config, target, row, self.rows)
        rule = relation_rules(config).get(row.entity)
        self.waiting_rule = rule.id if rule else None

    @property
    def covered(self) -> Coverage:
        if self.row.mode == "keys" or self.plan.strategy == BACKFILL:
            return "keys"
        return "all_rows" if self.row.mode == "full" else "window"

    def certificate(self) -> EntityCertificate:
        """The arithmetic of the entity."""
        if self.row.state != "published" or self.row.stage_table is None:
            return self._blocked()
        fresh, staged = self._fresh()
        compared = self._compare(fresh, staged)
        if looked_at := self._differing_keys(compared):
            self.rows.fill_keys(looked_at, fresh)
            self.target.staging.deduplicate(self.entity, fresh)
            compared = self._compare(fresh, staged)
        if self.covered == "keys":
            return self._of_keys(compared)
        census = self.rows.census(key_sum=self._sums_keys, sums=True)
        if self.covered == "all_rows":
            if fresh == self.fresh and census.rows != compared.compared:
                compared, _ = self._listed(fresh, staged)
            return self._of_all_rows(compared, census, again=fresh == self.fresh)
        return self._of_window(compared, census, fresh, staged)

    def _blocked(self) -> EntityCertificate:
        """An entity that kept its last good data: nothing is certified, and the certificate says why."""
        live = self.target.certifier.live_rows(self.entity, self.config.fips)
        return EntityCertificate(
            self.row.entity,
            self.covered,
            "blocked",
            target_rows=live,
            kept=live,
            lower=self.row.lower_bound,
            upper=self.row.upper_bound,
            method="not published",
            sample_keys=tuple(self.row.sample_keys),
            message=self.row.message or "not published in this run",
        )

    def _fresh(self) -> tuple[str, str | None]:
        """(staging table with what the source says now, the run's own staging table where it is another)."""
        staged = str(self.row.stage_table)
        if self.target.staging.count(staged) != self.row.verdict_rows:
            # Certified before and cleared, or lost in a crash of the target: nothing is excused by it.
            return self._read_again(None), None
        if self.plan.compares:
            return staged, None
        return self._read_again(staged), staged

    def _read_again(self, staged: str | None) -> str:
        """The source's rows now; `staged` is the run's own staging table, where it still exists."""
        late = late_of(self.plan)
        if self.covered == "all_rows":
            self.rows.fill(flagged_query(self.plan.table, late, self.plan.upper), self.fresh)
            return self.fresh
        if self.row.mode == "keys":
            self.rows.fill_nothing(self.fresh)
            self.rows.fill_keys(self.plan.keys, self.fresh)
            return self.fresh
        if self._reads_root_keys() and staged is not None:
            self.rows.fill_nothing(self.fresh)
            noted = self.target.staging.noted_root_keys(str(self.row.stage_table))
            self.rows.fill_root_keys(sorted(noted), self.fresh, append=True)
        else:
            self.rows.fill(selected(self.plan), self.fresh)
        if self.plan.strategy != BACKFILL:
            quarantined = self.target.staging.quarantined_keys(self.entity, self.config.fips)
            self.rows.fill_keys(quarantined, self.fresh)
            if late is not None:
                query = late_rows_query(self.plan.table, late, str(self.plan.upper))
                self.rows.fill(query, self.fresh, append=True)
        self.target.staging.deduplicate(self.entity, self.fresh)
        return self.fresh

    def _reads_root_keys(self) -> bool:
        """Whether the extract noted which root keys it read."""
        roots = root_keys_query(self.plan.table, self.plan.strategy, window_of(self.plan))
        return roots is not None or bool(joined.probes(self.plan.table))

    def _compare(self, fresh: str, staged: str | None) -> Comparison:
        return self.target.certifier.compare(
            self.entity,
            self.config.fips,
            fresh,
            staged,
            complete=self.covered == "all_rows",
            waiting_rule=self.waiting_rule,
        )

    def _differing_keys(self, compared: Comparison) -> list[str]:
        """What is read once more before anything is said."""
        keys = [each.key for each in compared.differences if each.key]
        return keys if 0 < len(keys) <= MOST_LOOKS else []

    def _of_keys(self, compared: Comparison) -> EntityCertificate:
        newer = self.next_run.newer(compared.differences)
        extra = self._approved_and_live() if self.row.mode == "keys" else []
        rest = [each for each in compared.differences if each not in newer] + extra
        differing = _count(rest, "differing")
        kept = compared.kept + _count(newer, "differing")
        return self._made(
            compared,
            rest,
            source_rows=compared.compared,
            target_rows=compared.equal + kept + differing + compared.pending_deletes + len(extra),
            newer=compared.late + _count(newer, "differing") + _count(newer, "missing"),
            kept=kept,
            method="the rows were read again by key"
            if self.row.mode == "keys"
            else "the window was read again",
        )

    def _of_all_rows(self, compared: Comparison, census: SourceCensus, *, again: bool) -> EntityCertificate:
        newer = self.next_run.newer(compared.differences)
        rest = [each for each in compared.differences if each not in newer]
        return self._made(
            compared,
            rest,
            source_rows=compared.compared,
            target_rows=self.target.certifier.live_rows(self.entity, self.config.fips),
            newer=compared.late + _count(newer, "differing") + _count(newer, "missing"),
            kept=compared.kept + _count(newer, "differing") + _count(newer, "extra_in_target"),
            census=census,
            method="every row was read again" if again else "the run's own read of every row",
        )

    def _of_window(
        self, compared: Comparison, census: SourceCensus, fresh: str, staged: str | None
    ) -> EntityCertificate:
        """The rows of the window by their images; all others by count and by the sum of their keys."""
        gone_since: set[str] = set()
        extra: list[RowDifference] = []
        if not self._keys_agree(census, fresh):
            compared, gone = self._listed(fresh, staged)
            still = set(self._still_gone(fresh, gone))
            gone_since = self._gone_since(still)
            extra = [RowDifference(key, "extra_in_target", False, True) for key in sorted(still - gone_since)]
            census = self.rows.census(key_sum=False, sums=True)
        newer = self.next_run.newer(compared.differences)
        if any(each.kind == "missing" for each in newer) and self.row.source_count is not None:
            # A row that the run did not read came since, or was lost here since: its own count tells which.
            newer = newer if self._was_complete() else [each for each in newer if each.kind != "missing"]
        rest = [each for each in compared.differences if each not in newer] + extra
        equal_outside = compared.live_outside - compared.kept_outside - len(extra) - len(gone_since)
        inside = replace(
            compared,
            equal=compared.equal + equal_outside,
            quarantined=compared.quarantined + compared.quarantined_outside,
            pending_deletes=compared.pending_deletes + compared.pending_outside,
        )
        return self._made(
            inside,
            rest,
            source_rows=census.rows,
            target_rows=self.target.certifier.live_rows(self.entity, self.config.fips),
            newer=compared.late + _count(newer, "differing") + _count(newer, "missing"),
            kept=compared.kept + compared.kept_outside + _count(newer, "differing") + len(gone_since),
            census=census,
            method="the window was read again; all other keys were counted and summed",
        )

    def _gone_since(self, keys: set[str]) -> set[str]:
        """Those of the keys that went at the source after the run's bound: by the strategy's feed, else where
        the extract's own count proves that the target held no row too many then.
        """
        if not keys:
            return set()
        if not self.plan.probes_deletes:
            return self.next_run.gone(keys)
        return keys if self._was_complete() else set()

    def _listed(self, fresh: str, staged: str | None) -> tuple[Comparison, list[str]]:
        """All keys of the source laid beside both; those that only one side has, and those that repeat, are
        read again.

        Returns:
            The comparison after that, and the live keys that the list did not have.
        """
        self.rows.list_keys(fresh)
        keys = self.target.staging.compare_keys(
            self.entity, self.config.fips, fresh, complete=self.covered == "all_rows"
        )
        gone = self._not_pending(keys.gone)
        self.rows.fill_keys([*keys.unknown, *gone, *keys.duplicated], fresh)
        self.target.staging.deduplicate(self.entity, fresh)
        return self._compare(fresh, staged), gone

    def _keys_agree(self, census: SourceCensus, fresh: str) -> bool:
        """Whether the source holds exactly the keys that are published, quarantined or freshly read.

        Their number, and their sum: the extract held it against the source's, so that here the target must
        still have it; where the extract did not count, the source is asked for it.
        """
        must, _ = self.target.staging.expected_totals(
            self.entity,
            self.config.fips,
            fresh,
            complete=False,
            spelling=key_spelling(self.plan.table) if self._sums_keys else None,
            late=False,
        )
        agree = (must.rows, must.key_sum) == (census.rows, census.key_sum)
        return agree and (self._sums_keys or self._was_complete())

    @property
    def _sums_keys(self) -> bool:
        """Whether the source is asked for the sum of its keys here: the extract of this window did not."""
        return self.covered == "window" and self.row.source_key_sum is None

    def _was_complete(self) -> bool:
        """Whether the extract's own count of the source proves that the target held every key then."""
        staged = str(self.row.stage_table)
        if self.row.source_count is None or self.target.staging.count(staged) != self.row.verdict_rows:
            return False
        _, target_totals = self.target.staging.expected_totals(
            self.entity,
            self.config.fips,
            staged,
            complete=False,
            spelling=key_spelling(self.plan.table),
            late=False,
        )
        return target_totals == KeyTotals(self.row.source_count, str(self.row.source_key_sum))

    def _not_pending(self, keys: Sequence[str]) -> list[str]:
        sets = self.target.approvals.pending(self.config.fips)
        pending = {
            key
            for each in sets
            if each.entity == self.row.entity
            for key in self.target.approvals.keys(each.pending_id)
        }
        return [key for key in keys if key not in pending]

    def _approved_and_live(self) -> list[RowDifference]:
        """Rows that a person let go of, that the source still lacks, and that are live all the same."""
        still = self._still_gone(self.fresh, self._not_pending(self.plan.keys))
        return [RowDifference(key, "extra_in_target", False, True) for key in still]

    def _still_gone(self, fresh: str, keys: Sequence[str]) -> list[str]:
        return self.target.staging.gone_and_live(self.entity, self.config.fips, fresh, keys)

    def _made(
        self,
        compared: Comparison,
        rest: Sequence[RowDifference],
        *,
        source_rows: int,
        target_rows: int,
        newer: int,
        kept: int,
        method: str,
        census: SourceCensus | None = None,
    ) -> EntityCertificate:
        columns = [name for name, _ in control_columns(self.plan.table)]
        made = EntityCertificate(
            self.row.entity,
            self.covered,
            "drift",
            compared=compared.compared,
            source_rows=source_rows,
            target_rows=target_rows,
            equal=compared.equal,
            quarantined=compared.quarantined,
            waiting=compared.waiting,
            newer=newer,
            kept=kept,
            pending_deletes=compared.pending_deletes,
            missing=_count(rest, "missing"),
            differing=_count(rest, "differing"),
            extra_in_target=_count(rest, "extra_in_target"),
            lower=self.row.lower_bound,
            upper=self.row.upper_bound,
            method=method,
            source_control=census.control if census else None,
            target_control=(
                self.target.certifier.control(self.entity, self.config.fips, columns) if census else None
            ),
            sample_keys=tuple(f"{each.kind}:{each.key}" for each in rest[:SAMPLE]),
        )
        return replace(made, state=_state(made))


def _state(made: EntityCertificate) -> CertificateState:
    if made.drift:
        return "drift"
    return "pending" if made.pending_deletes else "clean"


def _count(differences: Sequence[RowDifference], kind: str) -> int:
    return sum(each.kind == kind for each in differences)
