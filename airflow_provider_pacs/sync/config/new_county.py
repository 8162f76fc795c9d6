"""Answers about a county, and what a look at its source proposes -> its commented file, checked before it is
there.

Never a secret: those live in connections. Never a value of the source: only names of its tables and columns.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

import yaml

from airflow_provider_pacs.sync.config import CountyConfig, load_county, washington_fips
from airflow_provider_pacs.sync.entities import default_entities
from airflow_provider_pacs.sync.profiles import profile_columns, profile_names
from airflow_provider_pacs.sync.runtime.errors import ConfigError

REFERENCE = "docs/examples/benton_wa.yaml"
_NO_JOINED_TABLES = """
# tables:
#   property:
#     extra:                          # columns beyond ours: alias.column of the profile's own SELECT
#       zone_code: p.zoning           # a table that this county calls otherwise is named under source.tables
"""
DOUBT = "CHECK:"
"""Begins the comment of a line that a person should look at."""
_NO_TABLES = """
# tables:                             # only where this county's names differ from the profile's: `pacs check` names what it misses
#   property:
#     table: Property
#     columns:
#       parcel_number: ParcelNumber   # our name: the county's name; null where the county has no such column
"""  # noqa: E501
KNOWN_ZONES = {"wa": "America/Los_Angeles"}


@dataclass(frozen=True, slots=True)
class ColumnProposal:
    """Where a canonical column may come from.

    Attributes:
        canonical: our column.
        source: the source's column; None where nothing looks like it.
        doubt: why a person should look at the line; "" where there is no reason.
    """

    canonical: str
    source: str | None
    doubt: str = ""


@dataclass(frozen=True, slots=True)
class ExtraProposal:
    """A column of the source that may travel in `extra`; with a doubt it is written as a comment."""

    name: str
    source: str
    doubt: str = ""


@dataclass(frozen=True, slots=True)
class TableProposal:
    """Where an entity's rows may be.

    Attributes:
        mode: how changes are found, where that is not left to the source.
        strategy: the same in words.
        doubt: why a person should look at the choice of the table.
    """

    entity: str
    schema: str
    table: str
    columns: tuple[ColumnProposal, ...]
    extra: tuple[ExtraProposal, ...] = ()
    mode: str | None = None
    strategy: str = ""
    doubt: str = ""

    def source_of(self, canonical: str) -> str | None:
        """The source's column of a canonical one."""
        return next((column.source for column in self.columns if column.canonical == canonical), None)

    @property
    def doubts(self) -> tuple[str, ...]:
        """Every doubt in words, with the setting that it is about."""
        where = f"tables.{self.entity}"
        table = [f"{where}.table: {self.doubt}"] if self.doubt else []
        columns = [f"{where}.columns.{c.canonical}: {c.doubt}" for c in self.columns if c.doubt]
        extra = [f"{where}.extra.{e.name}: {e.doubt}" for e in self.extra if e.doubt]
        return (*table, *columns, *extra)


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a look at a source proposes for a county's file.

    Attributes:
        profile: the profile that fits it.
        tables: one per entity, for a profile of single tables.
        absent: entities that no table looks like; they are left out of the county.
        doubts: of a joined profile, what the source lacks of it.
        source_schema: of a joined profile, the schema of its tables.
        source_tables: its tables, where that schema has to be named.
    """

    profile: str
    tables: tuple[TableProposal, ...] = ()
    absent: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    source_schema: str = "dbo"
    source_tables: tuple[str, ...] = ()

    @property
    def all_doubts(self) -> tuple[str, ...]:
        """Everything that a person should look at, one line each."""
        absent = [f"no table looks like {entity}: it is left out of sync.entities" for entity in self.absent]
        return (*self.doubts, *absent, *(doubt for table in self.tables for doubt in table.doubts))


@dataclass(frozen=True, slots=True)
class NewCounty:
    """What a county's file says. `cron` and `reconcile_cron` are None for "by hand only".

    Attributes:
        proposal: what a look at the source proposes; None where nobody looked.
        place: host:port/database of the PACS, for a comment; "" where nobody said.
        modes: entity -> how its changes are found, where that is not left to the source.
    """

    county: str
    name: str
    fips: str
    timezone: str
    connection: str
    target: str = "terrafusion"
    profile: str = "generic"
    read_only: str = "warn"
    cron: str | None = "0 2 * * *"
    reconcile_cron: str | None = "30 4 * * 0"
    enable_cdc: bool = True
    entities: tuple[str, ...] = ()
    modes: dict[str, str] = field(default_factory=dict)
    place: str = ""
    proposal: Proposal | None = None


def reference_file() -> Path:
    """The county file with every setting and its default, which comes with the package."""
    return Path(str(resources.files("airflow_provider_pacs") / REFERENCE))


def state_of(county: str) -> str:
    """The state's two letters at the end of a county's slug; "" where there are none."""
    place, _, state = county.rpartition("_")
    return state if place and len(state) == 2 and state.isalpha() else ""


def known_fips(county: str) -> str:
    """The FIPS code of a county that this package knows; "" otherwise."""
    return washington_fips().get(county, "")


def write_county(new: NewCounty, folder: Path, *, force: bool = False) -> tuple[Path, CountyConfig]:
    """Write `<folder>/<county>.yaml`, and read it back as everything else will.

    Raises:
        ConfigError: the file is there already and `force` is not given, or an answer is not what its field
            takes: nothing is written then.
    """
    path = folder / f"{new.county}.yaml"
    if path.exists() and not force:
        raise ConfigError(f"{path} is there already", remedy="edit it, or overwrite it with --force")
    text = text_of(new)
    with tempfile.TemporaryDirectory(prefix="pacs-init-") as scratch:
        draft = Path(scratch) / f"{Path(new.county).name or 'county'}.yaml"
        draft.write_text(text, "utf-8")
        try:
            config = load_county(draft)
        except ConfigError as error:
            raise ConfigError(
                error.message.replace(f"{draft}: ", ""), remedy="correct these answers; nothing was written"
            ) from None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=folder, prefix=".", suffix=".new", delete=False
        ) as file:
            file.write(text)
        os.chmod(file.name, 0o644)
        os.replace(file.name, path)  # never half a file under the county's name
    except OSError as error:
        raise ConfigError(
            f"{path} can't be written: {error.strerror}", remedy="name another folder with --counties"
        ) from error
    return path, config


def text_of(new: NewCounty) -> str:
    """The file's text; every answer is quoted, so that none can become more than a value."""
    entities = ", ".join(_quoted(entity) for entity in new.entities or default_entities())
    place = f": {' '.join(new.place.split())}" if new.place else ""
    lines = [
        f"# {' '.join(new.name.split())}. Made by `pacs init`; every key is checked, and a misspelt one is "
        "an error, never ignored.",
        "# No passwords here: they live in Airflow's connections. All settings with their defaults: "
        f"{REFERENCE} in the package airflow_provider_pacs.",
        "",
        _line("county", new.county, "the file's name; the county's DAGs begin with pacs_ and this"),
        _line("fips", new.fips, "state and county, 5 digits in quotes: the county's id in the platform"),
        _line("name", new.name, "for people"),
        _line("timezone", new.timezone, "IANA name: of the schedule, and of the clock that stamps rows"),
        "",
        "source:",
        _line("  connection", new.connection, f"an Airflow connection of type pacs{place}"),
        _line("  profile", new.profile, "which tables this kind of PACS has"),
        _line(
            "  read_only",
            new.read_only,
            "a login that could do more than read: warn says so, strict refuses to run",
        ),
        *_source_tables_text(new.proposal),
        "target:",
        _line("  connection", new.target, "an Airflow connection of type postgres"),
        "",
        "sync:",
        _line(
            "  cron", new.cron, "minute hour day month weekday, in the county's time zone; null: by hand only"
        ),
        _line("  reconcile_cron", new.reconcile_cron, "compare both sides in full; null: by hand only"),
        f"  entities: [{entities}]  # parents first",
        _line(
            "  enable_cdc",
            new.enable_cdc,
            "the best change feed the source allows; false: compare everything in every run",
        ),
    ]
    if new.proposal is not None and new.proposal.all_doubts:
        lines[2:2] = [
            f"# A look at the source proposed what is below. Lines with {DOUBT} are guesses: look at them,",
            "# try them with `pacs preview`, and take the mark away.",
        ]
    return "\n".join([*lines, ""]) + _tables_text(new)


def _tables_text(new: NewCounty) -> str:
    """The `tables` section: what was proposed, then the pinned modes; a comment where there is neither."""
    proposed = new.proposal.tables if new.proposal else ()
    if not proposed and not new.modes:
        joined = new.profile in profile_names() and profile_columns(new.profile)
        return _NO_JOINED_TABLES if joined else _NO_TABLES
    lines = ["", "tables:  # what differs from the profile, and how a table's changes are found"]
    for table in proposed:
        lines += _table_lines(table, new.modes.get(table.entity, table.mode))
    named = {table.entity for table in proposed}
    for entity, mode in new.modes.items():
        if entity not in named:
            lines += [f"  {_quoted(entity)}:", f"    mode: {_quoted(mode)}"]
    return "\n".join([*lines, ""])


def _table_lines(table: TableProposal, mode: str | None) -> list[str]:
    lines = [
        f"  {table.entity}:",
        f"    schema: {_quoted(table.schema)}",
        _marked(f"    table: {_quoted(table.table)}", table.doubt),
        f"    # changes are found by: {_one_line(table.strategy)}",
    ]
    if mode is not None:
        lines.append(f"    mode: {_quoted(mode)}")
    lines.append("    columns:")
    lines += [_marked(f"      {c.canonical}: {_quoted(c.source)}", c.doubt) for c in table.columns]
    if table.extra:
        sure = [extra for extra in table.extra if not extra.doubt]
        lines.append(
            f"    {'' if sure else '# '}extra:  # columns beyond ours: they travel in the column `extra`"
        )
        lines += [f"      {extra.name}: {_quoted(extra.source)}" for extra in sure]
        lines += [
            _marked(f"    #   {extra.name}: {_quoted(extra.source)}", extra.doubt)
            for extra in table.extra
            if extra.doubt
        ]
    return lines


def _source_tables_text(proposal: Proposal | None) -> list[str]:
    """Of a joined profile: its doubts, and its tables where they are in another schema than the profile's."""
    if proposal is None:
        return []
    lines = [f"  # {DOUBT} {_one_line(doubt)}" for doubt in proposal.doubts]
    if proposal.source_tables:
        lines.append("  tables:")
        lines += [
            f"    {table}: {{schema: {_quoted(proposal.source_schema)}}}" for table in proposal.source_tables
        ]
    return lines


def _marked(line: str, doubt: str) -> str:
    return f"{line}  # {DOUBT} {_one_line(doubt)}" if doubt else line


def _one_line(text: str) -> str:
    """The text without line ends and control characters: a comment must not end early."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _line(setting: str, value: str | bool | None, comment: str) -> str:
    return f"{f'{setting}: {_quoted(value)}':<37} # {comment}"


def _quoted(value: str | bool | None) -> str:
    """The value in YAML's double quotes, on one line; null, true and false as they are."""
    if not isinstance(value, str):
        return json.dumps(value)
    return yaml.safe_dump(value, default_style='"', width=10**9).strip()
