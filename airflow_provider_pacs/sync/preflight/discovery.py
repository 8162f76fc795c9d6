"""A source that nobody has mapped yet -> which of its tables and columns a county's file should name.

Names, types and keys come from the catalog; the shape of a sample is counted by the server. No value of a row
leaves it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from airflow_provider_pacs.sync.config.new_county import (
    ColumnProposal,
    ExtraProposal,
    Proposal,
    TableProposal,
)
from airflow_provider_pacs.sync.entities import Entity, EntityColumn, load_entities
from airflow_provider_pacs.sync.mapping.batches import READS
from airflow_provider_pacs.sync.preflight.personal import names_a_person
from airflow_provider_pacs.sync.preflight.sample_patterns import sample_doubts
from airflow_provider_pacs.sync.preflight.similar_names import (
    COLUMN_WORDS,
    POSSIBLE,
    SURE,
    TABLE_WORDS,
    plain_words,
    same_words,
    similarity,
    words_of,
)
from airflow_provider_pacs.sync.profiles import load_profile, profile_columns
from airflow_provider_pacs.sync.schema.columns import DATES, NUMBERS, TEXTS, SourceColumn
from airflow_provider_pacs.sync.schema.inventory import InventoryTable, read_inventory
from airflow_provider_pacs.sync.schema.surrogate import is_whole_number, key_columns
from airflow_provider_pacs.sync.source.port import SourceReader

GENERIC, HARRIS = "generic", "harris_pacs_9"
HARRIS_SHARE = 0.6
"""With this share of the profile's tables, columns and all, a database is a Harris PACS."""
MOST_EXTRA = 40
_CARRIED = TEXTS | NUMBERS | DATES | {"bit"}
_ROWVERSIONS = frozenset({"timestamp", "rowversion"})
_COLUMN_SHARE = 0.6
"""How much of a table's score its columns are; the rest is its name."""
_CLOSE_LOOKS = 25
"""A vendor has thousands of tables: only so many, by a quick look at their names, are compared closely."""


def discover(source: SourceReader) -> Proposal:
    """Look at a source's catalog and propose how a county's file reads it.

    Raises:
        ConfigError: PACS-003, the login sees no tables.
        RetryableError: the source can't be reached now.
    """
    tables = read_inventory(source)
    if (schema := _harris_schema(tables)) is not None:
        return _harris_proposal(tables, schema)
    proposals: list[TableProposal] = []
    absent: list[str] = []
    chosen: dict[str, InventoryTable] = {}
    keys: dict[str, SourceColumn] = {}
    for entity in _generic_entities():
        table, rival = _table_of(entity, tables, chosen, keys)
        if table is None:
            absent.append(entity.name)
            continue
        chosen[entity.name] = table
        proposal = _table_proposal(entity, table, rival, keys)
        key = proposal.source_of(entity.key)
        if key is not None:
            keys[entity.name] = table.columns[key]
        proposals.append(_with_sample(source, entity, table, proposal))
    return Proposal(GENERIC, tuple(proposals), tuple(absent))


def _generic_entities() -> list[Entity]:
    """The entities of the generic profile, with the columns that it maps, parents first."""
    specs = load_profile(GENERIC)["entities"]
    return [
        replace(
            entity,
            columns=tuple(column for column in entity.columns if column.name in specs[name]["columns"]),
        )
        for name, entity in load_entities().items()
        if name in specs
    ]


def _harris_schema(tables: tuple[InventoryTable, ...]) -> str | None:
    """The schema that holds a Harris PACS; None where no schema does."""
    wanted = _harris_tables()
    by_schema: dict[str, dict[str, set[str]]] = {}
    for table in tables:
        names = {column.lower() for column in table.columns}
        by_schema.setdefault(table.schema, {})[table.name.lower()] = names
    for schema, present in by_schema.items():
        matching = [
            name
            for name, columns in wanted.items()
            if len({c.lower() for c in columns} & present.get(name.lower(), set())) * 2 > len(columns)
        ]
        if len(matching) >= HARRIS_SHARE * len(wanted):
            return schema
    return None


def _harris_tables() -> dict[str, set[str]]:
    """The profile's tables with their columns, without the derived tables of its snippets."""
    derived = load_profile(HARRIS)["snippets"]
    return {name: columns for name, columns in profile_columns(HARRIS).items() if name not in derived}


def _harris_proposal(tables: tuple[InventoryTable, ...], schema: str) -> Proposal:
    """The profile as it is, and a doubt for every table or column of it that the database lacks."""
    present = {t.name.lower(): {c.lower() for c in t.columns} for t in tables if t.schema == schema}
    doubts = []
    for name, columns in _harris_tables().items():
        if name.lower() not in present:
            doubts.append(f"no table {name}")
            continue
        missing = sorted(c for c in columns if c.lower() not in present[name.lower()])
        if missing:
            doubts.append(f"{name} has no column {', '.join(missing)}")
    renamed = tuple(_harris_tables()) if schema.lower() != "dbo" else ()
    return Proposal(HARRIS, (), (), doubts=tuple(doubts), source_schema=schema, source_tables=renamed)


def _table_of(
    entity: Entity,
    tables: tuple[InventoryTable, ...],
    chosen: Mapping[str, InventoryTable],
    keys: Mapping[str, SourceColumn],
) -> tuple[InventoryTable | None, InventoryTable | None]:
    """The likeliest table of an entity and the next one, where that is nearly as likely."""
    taken = {id(table) for table in chosen.values()}
    free = [table for table in tables if id(table) not in taken]
    likely = sorted(free, key=lambda table: _quick_score(entity, table), reverse=True)[:_CLOSE_LOOKS]
    scored = sorted(
        ((_table_score(entity, table, keys), -number, table) for number, table in enumerate(likely)),
        key=lambda item: item[:2],
        reverse=True,
    )
    ranked = [(score, table) for score, _, table in scored if score >= POSSIBLE]
    if not ranked:
        return None, None
    best, table = ranked[0]
    rival = ranked[1][1] if len(ranked) > 1 and best - ranked[1][0] < 0.05 else None
    return table, rival


def _quick_score(entity: Entity, table: InventoryTable) -> float:
    """A table's likeness by its name and by the columns that are called exactly as ours are somewhere."""
    known = same_words(column.name for column in entity.columns)
    shared = sum("".join(words_of(name)) in known for name in table.columns)
    name = similarity(table.name, TABLE_WORDS.get(entity.name, (entity.name,)))
    return name + min(1.0, shared / len(entity.columns))


def _table_score(entity: Entity, table: InventoryTable, keys: Mapping[str, SourceColumn]) -> float:
    """By its name, by how many of the entity's columns it has, and by a key and a reference to the parent."""
    name = similarity(table.name, TABLE_WORDS.get(entity.name, (entity.name,)))
    matches = _matched(entity, table)
    others = [column for column in entity.columns if column.name not in (entity.key, entity.parent_key)]
    share = sum(matches[c.name][1] >= SURE for c in others if c.name in matches) / max(len(others), 1)
    score = (1 - _COLUMN_SHARE) * name + _COLUMN_SHARE * min(1.0, share * 1.3)
    if entity.parent in keys and _parent_column(entity, table, keys) is None:
        score -= 0.25  # a child that names no parent
    if not table.unique and not table.is_view:
        score -= 0.05
    return score


def _matched(entity: Entity, table: InventoryTable) -> dict[str, tuple[str, float]]:
    """Canonical column -> (source column, likeness), the likeliest pairs first; no column twice."""
    context = words_of(table.name)
    pairs = []
    for rank, column in enumerate(entity.columns):
        wanted = COLUMN_WORDS.get(column.name, (column.name.replace("_", " "),))
        for position, (name, declared) in enumerate(table.columns.items()):
            if declared.type_name not in READS[column.type]:
                continue
            likeness = similarity(name, wanted, context)
            if likeness >= POSSIBLE:
                pairs.append((-likeness, rank, position, column.name, name))
    matches: dict[str, tuple[str, float]] = {}
    for likeness, _, _, canonical, name in sorted(pairs):
        if canonical not in matches and name not in {source for source, _ in matches.values()}:
            matches[canonical] = (name, -likeness)
    return matches


def _table_proposal(
    entity: Entity, table: InventoryTable, rival: InventoryTable | None, keys: Mapping[str, SourceColumn]
) -> TableProposal:
    matches = _matched(entity, table)
    fixed = {entity.key: _key_column(entity, table, matches)}
    if entity.parent_key is not None:
        fixed[entity.parent_key] = (
            _parent_column(entity, table, keys) or matches.get(entity.parent_key, ("",))[0]
        )
    used = {name for name in fixed.values() if name}
    columns = []
    for column in entity.columns:
        if column.name in fixed:
            columns.append(_key_proposal(entity, table, column, fixed[column.name], keys))
            continue
        name, likeness = matches.get(column.name, ("", 0.0))
        if not name or name in used:
            columns.append(ColumnProposal(column.name, None, f"no column of {table.text} looks like it"))
            continue
        used.add(name)
        doubt = "" if likeness >= SURE else "the name is only similar"
        columns.append(ColumnProposal(column.name, name, doubt))
    mode, strategy = _strategy(entity, table, {c.canonical: c.source for c in columns})
    doubt = f"{rival.text} is nearly as likely" if rival is not None else ""
    return TableProposal(
        entity.name,
        table.schema,
        table.name,
        tuple(columns),
        tuple(_extra(entity, table, used)),
        mode=mode,
        strategy=strategy,
        doubt=doubt,
    )


def _key_column(entity: Entity, table: InventoryTable, matches: Mapping[str, tuple[str, float]]) -> str:
    """The key: the primary key's one column, a unique GUID before a number, else what is called like it."""
    unique = [name for name in table.unique if name in table.columns]
    guids = [name for name in unique if table.columns[name].type_name == "uniqueidentifier"]
    declared = [name for name in table.primary_key if len(table.primary_key) == 1]
    if declared and declared[0] in guids:
        return declared[0]
    named = matches.get(entity.key, ("", 0.0))[0]
    if guids:
        return named if named in guids else guids[0]
    return next(iter(declared), named)


def _key_proposal(
    entity: Entity, table: InventoryTable, column: EntityColumn, name: str, keys: Mapping[str, SourceColumn]
) -> ColumnProposal:
    """The key's or the parent key's line, with why a person should look at it."""
    if not name:
        return ColumnProposal(column.name, None, f"{table.text} has no column that is a key of one column")
    declared = table.columns[name]
    doubts = []
    if column.name == entity.key and name not in table.unique:
        doubts.append("nothing in the catalog says that it is unique")
    if column.name == entity.key and table.primary_key not in ((), (name,)):
        doubts.append(f"the primary key is ({', '.join(table.primary_key)})")
    parent = keys.get(entity.parent or "")
    if column.name == entity.parent_key and parent is not None and parent.type_name != declared.type_name:
        doubts.append(f"it is {declared.declared}, the parent's key is {parent.declared}")
    if declared.type_name not in READS[column.type]:
        by_number = is_whole_number(declared) and (parent is None or is_whole_number(parent))
        made = ": a uuid is made of county and number" if by_number else ""
        doubts.append(f"it is {declared.declared}, and {column.name} takes {column.type}{made}")
    return ColumnProposal(column.name, name, "; ".join(doubts))


def _parent_column(entity: Entity, table: InventoryTable, keys: Mapping[str, SourceColumn]) -> str | None:
    """The column that names the parent: called as the parent's key, or like it, and of its type."""
    key = keys.get(entity.parent or "")
    if key is None:
        return None
    same = [name for name in table.columns if name.lower() == key.name.lower()]
    if same:
        return same[0]
    wanted = (key.name, *COLUMN_WORDS.get(entity.parent_key or "", ()))
    scored = [
        (similarity(name, wanted), name)
        for name, column in table.columns.items()
        if column.type_name == key.type_name and name not in table.unique
    ]
    likeness, name = max(scored, default=(0.0, ""))
    return name if likeness >= SURE - 0.05 else None


def _strategy(
    entity: Entity, table: InventoryTable, sources: Mapping[str, str | None]
) -> tuple[str | None, str]:
    """(the mode to pin, or None for auto; how changes are then found)."""
    rowversion = next((n for n, c in table.columns.items() if c.type_name in _ROWVERSIONS), None)
    if rowversion is not None and not table.is_view:
        return None, f"rowversion column {rowversion}"
    stamp = sources.get(entity.change_column)
    if stamp is not None and table.columns[stamp].type_name in DATES - {"date"}:
        keys = [table.columns[name] for column in key_columns(entity) if (name := sources.get(column))]
        if any(is_whole_number(key) for key in keys):
            return None, "comparing the whole table: its key is a number, and no column is a rowversion"
        return None, f"{stamp}, in windows"
    return "compare", "no column shows a change: every run reads the table whole"


def _extra(entity: Entity, table: InventoryTable, used: set[str]) -> Iterator[ExtraProposal]:
    """The other columns; what may name or locate a person travels only if somebody says so."""
    known = {column.name for column in load_entities()[entity.name].columns}
    taken: set[str] = set()
    for name, column in table.columns.items():
        if name in used or column.type_name not in _CARRIED or column.is_lob or len(taken) >= MOST_EXTRA:
            continue
        label = _extra_name(name, known | taken)
        taken.add(label)
        doubt = "it may name or locate a person" if names_a_person(label, name, column) else ""
        yield ExtraProposal(label, name, doubt)


def _extra_name(name: str, taken: set[str]) -> str:
    words = "_".join(plain_words(name)) or "column"
    label = (words if words[0].isalpha() else f"c_{words}")[:58]
    number, free = 1, label
    while free in taken:
        number += 1
        free = f"{label}_{number}"
    return free


def _with_sample(
    source: SourceReader, entity: Entity, table: InventoryTable, proposal: TableProposal
) -> TableProposal:
    """The proposal with what a sample of the table says against it."""
    doubts = sample_doubts(source, entity, table, {c.canonical: c.source for c in proposal.columns})
    columns = tuple(
        replace(
            column, doubt="; ".join(text for text in (column.doubt, doubts.get(column.canonical, "")) if text)
        )
        for column in proposal.columns
    )
    return replace(proposal, columns=columns)
