"""What every look at a county shares: both ends, how its tables are read, and how a question
that fails becomes a finding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from airflow_provider_pacs.sync.config import CountyConfig, table_maps
from airflow_provider_pacs.sync.entities import load_entities
from airflow_provider_pacs.sync.preflight.report import Area, Finding, State
from airflow_provider_pacs.sync.preflight.resolve import ReadChoice, resolve_tables
from airflow_provider_pacs.sync.runtime.errors import PacsError
from airflow_provider_pacs.sync.schema.catalog import ResolvedTable
from airflow_provider_pacs.sync.schema.features import SourceFeatures, read_features
from airflow_provider_pacs.sync.schema.tables import SourceTable, source_tables
from airflow_provider_pacs.sync.schema.tsql import quote
from airflow_provider_pacs.sync.source.port import SourceReader
from airflow_provider_pacs.sync.target.port import Target


@dataclass
class PreflightContext:
    """One look at a county.

    Attributes:
        config: the county.
        source: a reader that need not be open yet.
        target: an open target, or why there is none.
        thorough: look at the tables' data too.
        now: our clock, UTC.
        login: the login at the source, once it is known.
        source_now: the source's clock as text, once it is known.
    """

    config: CountyConfig
    source: SourceReader
    target: Target | PacsError
    thorough: bool
    now: datetime
    login: str = ""
    source_now: str | None = None
    _choices: dict[str, ReadChoice | PacsError] = field(default_factory=dict)

    def journal(self) -> Target | None:
        """The target, where it is open and has kept something of earlier runs."""
        if isinstance(self.target, PacsError):
            return None
        return self.target if self.target.readiness().has_journal else None

    @property
    def entities(self) -> tuple[str, ...]:
        """The county's entities, parents first."""
        return tuple(name for name in load_entities() if name in self.config.sync.entities)

    @property
    def grantee(self) -> str:
        """The login, as a GRANT names it."""
        return quote(self.login or "the login")

    @cached_property
    def features(self) -> SourceFeatures:
        """The source's change feeds and snapshots."""
        return read_features(self.source)

    def read_choice(self, entity: str) -> ReadChoice | PacsError:
        """How the entity is read, or why it can't be; asked once."""
        if entity not in self._choices:
            sync = self.config.sync.model_copy(update={"entities": (entity,)})
            try:
                self._choices[entity] = resolve_tables(
                    self.config.model_copy(update={"sync": sync}), self.source, self.features
                )[entity]
            except PacsError as error:
                self._choices[entity] = error
        return self._choices[entity]

    def tables(self, entity: str) -> tuple[SourceTable, ...]:
        """The entity's tables; as the county's file names them where the source's catalog can't be read."""
        choice = self.read_choice(entity)
        if isinstance(choice, ReadChoice):
            return source_tables(choice.table)
        maps = table_maps(self.config)
        return source_tables(ResolvedTable(maps[entity], {}))

    def name(self, area: Area, table: SourceTable) -> str:
        """The begin of a finding's id: the entity, and the table where the entity is read from several."""
        several = len(self.tables(table.entity)) > 1
        return f"{area}.{table.entity}.{table.name}" if several else f"{area}.{table.entity}"


def in_one_line(error: PacsError) -> str:
    """An error in one line, with its code."""
    return f"{error.code}: {error.message}"


def attempt(name: str, area: Area, look: Callable[[], Iterable[Finding]], denied: str = "") -> list[Finding]:
    """What a look finds; an error of one of both ends becomes its finding, and hides no other.

    Args:
        name: id of the finding that stands for an error.
        area: its area.
        look: asks and tells.
        denied: the GRANT that would allow it; with one, a refusal (PACS-003) is `unknown`, not a failure.
    """
    findings: list[Finding] = []
    try:
        for finding in look():
            findings.append(finding)  # what came before an error stays
    except PacsError as error:
        state: State = "unknown" if denied and error.code == "PACS-003" else "fail"
        findings.append(
            Finding(name, area, state, in_one_line(error), denied if state == "unknown" else error.remedy)
        )
    return findings
