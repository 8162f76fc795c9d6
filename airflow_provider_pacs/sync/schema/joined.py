"""A table map that is one SELECT over several tables: the profile's YAML, a county's names and choices ->
`Selection`, rendered T-SQL.

Every table and column stands in braces in the YAML, so rendering knows all that is ever read
(docs/adr/0005-joined-entities.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_pacs.sync.entities import EXTRA, load_entities
from airflow_provider_pacs.sync.profiles import Joined, TableMap, alias
from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.schema.tsql import literals, qualified, quote

CHANGED = "{changed}"
"""Where a probing statement takes the bounds of its rowversion."""
SINCE = "{since}"
"""Where a tracked table's changes take the version that they are asked from."""
_TOKEN = re.compile(r"\{([^{}]+)\}")
_PLACE = re.compile(r"^\w+\.[^{}]{1,128}$")
_ALIAS = re.compile(r"\{(\w+)\} AS (\w+)")


@dataclass(frozen=True, slots=True)
class TableRead:
    """A table of the source as a joined entity reads it.

    Attributes:
        name: what the profile calls it.
        schema: its schema at the source.
        table: its name there.
        columns: the columns read, by the county's names.
        canonical: column -> a canonical column that it goes into; one that holds personal data where there is
            any.
        stamp: the rowversion that is probed; None where none is.
    """

    name: str
    schema: str
    table: str
    columns: tuple[str, ...]
    canonical: tuple[tuple[str, str], ...] = ()
    stamp: str | None = None


@dataclass(frozen=True, slots=True)
class ChangeProbe:
    """What shows that a root key must be read again.

    Attributes:
        name: unique in its entity.
        sql: a SELECT; with a stamp it gives `root_key` and holds `CHANGED`, without one it gives `root_key`
            and the columns to compare, `c0`, `c1`, ...
        stamp: the quoted rowversion column; None where contents are compared.
    """

    name: str
    sql: str
    stamp: str | None = None


@dataclass(frozen=True, slots=True)
class ChangeTrack:
    """How the changes of one table, as Change Tracking names them, lead to root keys.

    Attributes:
        schema: the table's schema at the source.
        table: its name there.
        key: the columns of its primary key: a row that is gone shows no others.
        sql: a SELECT of `root_key` that holds `SINCE`.
    """

    schema: str
    table: str
    key: tuple[str, ...]
    sql: str


@dataclass(frozen=True, slots=True)
class Redaction:
    """Whose rows must not say more than a new row of theirs would: `sql` gives their `by`, `values` is what
    the columns become, `extra` and promoted columns always nothing.
    """

    by: str
    sql: str
    values: tuple[tuple[str, str | bool | None], ...]


@dataclass(frozen=True, slots=True)
class JournalTable:
    """A table whose changes the source's own journal holds, and how an entry leads to a root key.

    Attributes:
        table: its name in the journal, which is the vendor's own.
        key: the key column whose value an entry's key row holds.
        columns: the columns that the entity reads of it: the journal must audit each of them.
        root: T-SQL of the root key of an entry; the entry's key row is `k`.
        via: T-SQL between the entry and its root, such as a JOIN; empty where the key is the root key.
    """

    table: str
    key: str
    columns: tuple[str, ...]
    root: str = "k.lKeyValue"
    via: str = ""


@dataclass(frozen=True, slots=True)
class Journal:
    """The source's own journal of changes, as far as an entity is concerned.

    Attributes:
        schema: the schema of its tables.
        tables: the tables whose entries count.
        probes: what shows the changes of the other tables, by their contents.
    """

    schema: str
    tables: tuple[JournalTable, ...]
    probes: tuple[ChangeProbe, ...] = ()


@dataclass(frozen=True, slots=True)
class Selection:
    """A rendered entity.

    Attributes:
        sql: SELECT of the canonical columns, `_source_key`, `_parent_key` (None for a root) and `_root_key`.
        root_key_type: T-SQL type of `_root_key`.
        expressions: canonical column -> the T-SQL that makes it, for people.
        tables: what is read, by the profile's names.
        probes: what shows changes, by stamp first; empty where nothing does.
        redaction: rows to be made silent; None where there are none.
        settings: (name, SELECT of one row with one text `value`) of what the source itself decides about the
            meaning of every row, such as its current year. Another value than the cursor's run read means
            that every row is read again.
        tracks: what shows changes where every table is tracked.
        untracked: tables whose changes would lead to no root key.
        journal: how the source's own journal leads to changed root keys; None where the profile knows none.
    """

    sql: str
    root_key_type: str
    expressions: tuple[tuple[str, str], ...]
    tables: tuple[TableRead, ...]
    probes: tuple[ChangeProbe, ...] = ()
    redaction: Redaction | None = None
    settings: tuple[tuple[str, str], ...] = ()
    tracks: tuple[ChangeTrack, ...] = ()
    untracked: tuple[str, ...] = ()
    journal: Journal | None = None


@dataclass
class _Names:
    """A county's spelling of the source's tables and columns, and what was used of it."""

    schema: str
    tables: Mapping[str, Mapping[str, Any]]
    used: dict[str, dict[str, str]] = field(default_factory=dict)
    canonical: dict[tuple[str, str], str] = field(default_factory=dict)
    stamps: dict[str, str] = field(default_factory=dict)
    _into: str | None = None

    @contextmanager
    def going_into(self, canonical: str) -> Iterator[None]:
        """What is named meanwhile goes into a canonical column; the last to say so counts."""
        self._into = canonical
        yield
        self._into = None

    def table(self, name: str) -> str:
        named = self.tables.get(name, {})
        self.used.setdefault(name, {})
        return qualified(named.get("schema") or self.schema, named.get("table") or name)

    def spelled(self, table: str, name: str) -> str:
        """A column as the county calls it."""
        return str((self.tables.get(table, {}).get("columns") or {}).get(name, name))

    def column(self, table: str, name: str) -> str:
        spelled = self.spelled(table, name)
        self.used.setdefault(table, {})[name] = spelled
        if self._into is not None:
            self.canonical[table, spelled] = self._into
        return quote(spelled)

    def tables_read(self) -> tuple[TableRead, ...]:
        reads = []
        for name, columns in sorted(self.used.items()):
            named = self.tables.get(name, {})
            into = tuple(
                (column, canonical) for (table, column), canonical in self.canonical.items() if table == name
            )
            place = named.get("schema") or self.schema, named.get("table") or name
            reads.append(
                TableRead(name, *place, tuple(sorted(columns.values())), into, self.stamps.get(name))
            )
        return tuple(reads)


def render(table: TableMap) -> Selection:
    """A joined entity's statements with the county's names and choices.

    Raises:
        ConfigError: a name that is no identifier, or an alias that the statement does not have.
    """
    if table.joined is None:
        raise ValueError(f"{table.entity} is read from one table")
    return _Renderer(table.joined).entity(table)


class _Renderer:
    def __init__(self, joined: Joined) -> None:
        self._profile, self._options = joined.profile, joined.options
        self._names = _Names(joined.profile["schema"], joined.tables)
        self._aliases: dict[str, str] = {}

    def entity(self, table: TableMap) -> Selection:
        raw = self._profile["entities"][table.entity]
        source = self._text(raw["from"]) + (f"\nWHERE {self._text(raw['where'])}" if "where" in raw else "")
        personal = {column.name for column in load_entities()[table.entity].columns if column.pii != "none"}
        expressions = []
        for canonical in sorted(raw["columns"], key=lambda name: (name in personal, name)):
            with self._names.going_into(canonical):
                expressions.append((canonical, self._text(raw["columns"][canonical])))
        parts = [f"{sql} AS {quote(canonical)}" for canonical, sql in expressions]
        silent = self._text(raw["redact"]["where"]) if "redact" in raw else ""
        parts += [
            f"{self._extra(table, name, place, silent)} AS {quote(alias(number))}"
            for number, (name, place) in enumerate(table.extra)
        ]
        parts.append(f"{self._key(raw['source_key'])} AS [_source_key]")
        if "parent_key" in raw:
            parts.append(f"{self._key(raw['parent_key'])} AS [_parent_key]")
        parts.append(f"{self._text(raw['root_key'])} AS [_root_key]")
        sql = f"SELECT {', '.join(parts)}\nFROM {source}"
        probes = tuple(
            self._probe(name, spec)
            for name, spec in raw.get("probes", {}).items()
            if self._options.get(spec.get("option", ""), True)
        )
        journal = self._journal(probes)
        redaction = self._redaction(raw["redact"]) if "redact" in raw else None
        settings = self._settings(" ".join([sql, *(probe.sql for probe in probes)]))
        tables_read = self._names.tables_read()
        return Selection(
            sql,
            self._profile["root_key_type"],
            tuple(expressions),
            tables_read,
            probes,
            redaction,
            settings,
            *self._tracks(tables_read),
            journal,
        )

    def _journal(self, probes: tuple[ChangeProbe, ...]) -> Journal | None:
        """The tables of the entity that the vendor's journal covers, by the vendor's own names, whatever the
        county's views are called.
        """
        tables = []
        for name, entry in self._profile.get("journal", {}).items():
            if name not in self._names.used:
                continue
            stamp, used = self._names.stamps.get(name), self._names.used[name]
            columns = tuple(sorted(column for column, spelled in used.items() if spelled != stamp))
            if isinstance(entry, str):
                tables.append(JournalTable(name, entry, columns))
                continue
            via = f"JOIN {self._text(entry['from'])} ON {self._text(entry['by'])} = k.lKeyValue "
            tables.append(JournalTable(name, entry["key"], columns, self._text(entry["root"]), via))
        compared = tuple(probe for probe in probes if probe.stamp is None)
        return Journal(self._profile["schema"], tuple(tables), compared) if tables and compared else None

    def _settings(self, statements: str) -> tuple[tuple[str, str], ...]:
        """Those of the profile's settings on which the statements depend."""
        return tuple(
            (name, self._text(spec["select"]))
            for name, spec in self._profile.get("settings", {}).items()
            if spec["used_as"] in statements and self._options.get(spec.get("option", ""), True)
        )

    def _extra(self, table: TableMap, name: str, place: str, silent: str) -> str:
        """A column that the county's file names: never more than that, and nothing of a party whose rows are
        redacted, because nobody can know what a county's column says about a person.
        """
        if not _PLACE.match(place) or place.partition(".")[0] not in self._aliases:
            known = ", ".join(sorted(f"{name} ({of})" for name, of in self._aliases.items()))
            raise ConfigError(
                f"tables.{table.entity}.extra.{name}: {place!r} is no alias.column of this entity",
                remedy=f"aliases and their tables: {known}",
            )
        column = self._text("{" + place + "}")
        return f"CASE WHEN {silent} THEN NULL ELSE {column} END" if silent else column

    def _key(self, parts: list[str | Mapping[str, str]]) -> str:
        """Whole numbers with `/` between them; the text of `append` stands as it is, behind a number."""
        key = ""
        for part in parts:
            if isinstance(part, str):
                number = f"CONVERT(varchar(12), CONVERT(int, {self._text(part)}))"
                key += f" + '/' + {number}" if key else number
            else:
                key += f" + {self._text(part['append'])}"
        return key

    def _probe(self, name: str, spec: Mapping[str, Any]) -> ChangeProbe:
        where = [self._text(spec["where"])] if "where" in spec else []
        if "stamp" in spec:
            where.append(CHANGED)
            sql = (
                f"SELECT {self._text(spec['select'])} AS root_key FROM {self._text(spec['from'])} WHERE "  # noqa: S608
                f"{' AND '.join(where)}"
            )
            alias, _, column = spec["stamp"].strip("{}").partition(".")
            stamp, table = self._text(spec["stamp"]), self._aliases[alias]
            self._names.stamps[table] = self._names.used[table][column]
            return ChangeProbe(name, sql, stamp)
        columns = "".join(f", {self._text(text)} AS c{number}" for number, text in enumerate(spec["compare"]))
        sql = f"SELECT {self._text(spec['root_key'])} AS root_key{columns} FROM {self._text(spec['from'])}"  # noqa: S608
        return ChangeProbe(name, sql + (f" WHERE {where[0]}" if where else ""))

    def _tracks(self, reads: Sequence[TableRead]) -> tuple[tuple[ChangeTrack, ...], tuple[str, ...]]:
        """How the changes of each table that is read lead to root keys, and the tables of which none do."""
        specs = self._profile.get("track", {})
        followed = [read for read in reads if specs.get(read.name, {}) is not None]
        tracks = tuple(self._track(read, specs[read.name]) for read in followed if read.name in specs)
        return tracks, tuple(read.table for read in followed if read.name not in specs)

    def _track(self, read: TableRead, spec: Mapping[str, Any]) -> ChangeTrack:
        alias = spec["as"]
        self._aliases[alias] = read.name
        join = self._text(spec["join"]) if "join" in spec else ""
        changes = f"CHANGETABLE(CHANGES {qualified(read.schema, read.table)}, {SINCE}) AS {alias}"
        sql = f"SELECT {self._text(spec['root'])} AS root_key FROM {changes} {join}".strip()  # noqa: S608
        key = tuple(self._names.spelled(read.name, column) for column in spec["key"])
        return ChangeTrack(read.schema, read.table, key, sql)

    def _redaction(self, spec: Mapping[str, Any]) -> Redaction:
        sql = (
            f"SELECT {self._text(spec['select'])} AS party FROM {self._text(spec['from'])} WHERE "  # noqa: S608
            f"{self._text(spec['where'])}"
        )
        return Redaction(spec["by"], sql, (*spec["set"].items(), (EXTRA.name, None)))

    def _text(self, template: str) -> str:
        """Snippets are laid in first, so that their aliases are known; then every name is quoted."""
        while (laid := _TOKEN.sub(self._snippet, template)) != template:
            template = laid
        self._aliases |= {alias: table for table, alias in _ALIAS.findall(template)}
        return _TOKEN.sub(self._name, template)

    def _snippet(self, match: re.Match[str]) -> str:
        snippet = self._profile["snippets"].get(match[1])
        if snippet is None:
            return match[0]
        return str(
            snippet if isinstance(snippet, str) else snippet[str(self._options[snippet["by"]]).lower()]
        )

    def _name(self, match: re.Match[str]) -> str:
        token = match[1]
        if token.startswith("$"):
            return literals(self._options[token[1:]])
        if token.startswith("sum:"):
            return self._sum(token.removeprefix("sum:"))
        alias, _, column = token.partition(".")
        if not column:
            return self._names.table(alias)
        if alias not in self._aliases:
            raise ConfigError(
                f"nothing in the statement is called {alias!r}",
                remedy=f"use one of: {', '.join(sorted(self._aliases))}",
            )
        return f"{alias}.{self._names.column(self._aliases[alias], column)}"

    def _sum(self, option: str) -> str:
        """The sum of the listed columns; NULL only where all of them are: a value that nobody entered is not
        0.
        """
        of = self._profile["options"][option]["of"]
        parts = [f"{of}.{self._names.column(self._aliases[of], name)}" for name in self._options[option]]
        if len(parts) == 1:
            return parts[0]
        return (
            f"CASE WHEN COALESCE({', '.join(parts)}) IS NOT NULL THEN "
            f"{' + '.join(f'COALESCE({part}, 0)' for part in parts)} END"
        )
