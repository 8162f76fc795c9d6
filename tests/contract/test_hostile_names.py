"""Names out of a county's catalog or file that would be more than names: Microsoft's parser finds one SELECT,
and in it the very same names.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_pacs.sync.incremental.full import full_query, keys_query, lob_query
from airflow_provider_pacs.sync.incremental.last_modified import late, since_query, window_query
from airflow_provider_pacs.sync.incremental.statements import flagged_query
from airflow_provider_pacs.sync.runtime.errors import ConfigError
from airflow_provider_pacs.sync.schema.tsql import qualified, quote
from tests.contract import statements
from tests.contract.test_emitted_tsql import read_as_one
from tests.contract.tsql_parser import TsqlParser

PIECES = [
    *(
        "]",
        "]]",
        "[",
        "'",
        "''",
        '"',
        '""',
        "--",
        "/*",
        "*/",
        ";",
        ".",
        ",",
        "(",
        ")",
        "?",
        "@P1",
        "@@",
        "#",
        "$(x)",
        "\\",
        "%",
        " ",
        "\t",
    ),
    *("\n", "\r\n", "\r", "\u2028", "\x85", "\x0b", "\x1a", "\x7f", "\ufeff", "\u202e", "\u0301", "\ufffe"),
    *(
        "GO",
        "\nGO\n",
        "\r\ngo 5\r\n",
        "; DROP TABLE x",
        "]; EXEC xp_cmdshell 'x'; --",
        "' OR 1=1 --",
        "] WITH (NOLOCK)",
        "] AS s; SELECT [x",
    ),
    *("SELECT", "N'", "🏡", "é", "ß", "地番", "x" * 60, "]" * 60, "🏡" * 40, "PropertyID"),
]
HOSTILE = st.lists(
    st.sampled_from(PIECES) | st.characters(codec="utf-8", exclude_characters="\x00\uffff"),
    min_size=1,
    max_size=5,
).map("".join)
GOOD = HOSTILE.map(lambda name: name.encode("utf-16-le")[:256].decode("utf-16-le", "ignore"))
UNFIT = st.sampled_from(
    ["", "\x00", "a\x00b", "\uffff", "\ud800", "x\udfffy", "x" * 129, "🏡" * 65, "]" * 129]
)
WHOLE = {
    "full": full_query,
    "keys": lambda resolved: keys_query(resolved, ("1", "2")),
    "window": lambda resolved: window_query(resolved, statements.Window(None, statements.STAMP)),
    "since": lambda resolved: since_query(resolved, statements.STAMP),
    "flagged": lambda resolved: flagged_query(resolved, late(resolved), statements.STAMP),
}


def examples(count: int) -> settings:
    """So many examples, however slow the machine."""
    return settings(
        max_examples=count,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def is_name(text: str) -> bool:
    """What SQL Server takes as a delimited identifier: 1 to 128 UTF-16 code units, none that is no character."""
    units = len(text.encode("utf-16-le", "surrogatepass")) // 2
    return (
        1 <= units <= 128
        and not {"\x00", "\uffff"} & set(text)
        and not any("\ud800" <= character <= "\udfff" for character in text)
    )


def test_three_thousand_names_stay_one_name_each(tsql: TsqlParser) -> None:
    """Case 83: whatever is in a name, it is one name."""
    count = 0

    @examples(120)
    @given(names=st.lists(GOOD, min_size=26, max_size=28, unique=True))
    def stays(names: list[str]) -> None:
        nonlocal count
        count += len(names)
        parsed_names = tsql.parse_all(
            f"SELECT s.{quote(name)} AS {quote(name)} FROM {qualified(name, name)} AS s" for name in names
        )
        for name, result in zip(names, parsed_names, strict=True):
            (select,) = result.statements()
            read_as_one([select], result.sql)
            assert (select.tables, select.columns, select.aliases) == (
                ((name, name),),
                (("s", name),),
                (name,),
            )

    stays()
    assert count >= 3_000


@examples(300)
@given(name=HOSTILE | UNFIT)
def test_what_is_no_name_is_refused_and_nothing_else(name: str) -> None:
    if is_name(name):
        assert quote(name)[1:-1].replace("]]", "]") == name
    else:
        with pytest.raises(ConfigError, match="not a SQL Server identifier"):
            quote(name)


@examples(60)
@given(
    names=st.lists(GOOD, min_size=15, max_size=15, unique_by=str.lower),
    builder=st.sampled_from(sorted(WHOLE)),
)
def test_a_table_of_hostile_names_is_read_by_these_names(
    tsql: TsqlParser, names: list[str], builder: str
) -> None:
    """Case 83: schema, table and every column at once, through every builder that reads whole rows."""
    renamed = dict(zip(["dbo", "Property", *statements.make_shape().map.sources], names, strict=True))
    resolved = statements.make_shape(rename=renamed.__getitem__)
    sql = WHOLE[builder](resolved).sql
    select = read_as_one(tsql.parse(sql).statements(), sql)
    assert select.tables == ((names[0], names[1]),)
    assert set(select.columns) - {("DAY",), ("NANOSECOND",)} == {
        ("s", name) for name in names[2:]
    }  # units of DATEADD are read as columns
    assert select.aliases[:13] == (
        *(canonical for canonical, _ in resolved.map.columns),
        "extra.0",
        "extra.1",
    )
    measured = lob_query(resolved)
    assert measured is not None
    (lobs,) = tsql.parse(measured.sql).statements()
    assert {parts[-1] for parts in lobs.columns} == {
        name for name in names[2:] if resolved.columns[name].is_lob
    }


@examples(60)
@given(type_name=GOOD.map(str.lower))
def test_a_type_of_hostile_name_stays_one_type(tsql: TsqlParser, type_name: str) -> None:
    """The name of a type comes from the county's catalog too: CREATE TYPE takes any name."""
    resolved = statements.make_shape()
    key = replace(resolved.columns[resolved.map.key], type_name=type_name)
    resolved = replace(resolved, columns={**resolved.columns, resolved.map.key: key})
    sql = keys_query(resolved, ("1",)).sql
    select = read_as_one(tsql.parse(sql).statements(), sql)
    assert type_name in select.types


@pytest.mark.parametrize("name", ["", "a\x00b", "\uffff", "\ud800", "x" * 129, "🏡" * 65])
def test_a_refusal_names_the_remedy_in_one_line(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        quote(name)
    assert caught.value.remedy
    assert "\n" not in str(caught.value)
    str(caught.value).encode()


@pytest.mark.parametrize("declared", [*statements.DATE_TYPES, *statements.KEY_TYPES, *statements.OTHER_TYPES])
def test_a_declared_type_is_written_as_it_was_declared(tsql: TsqlParser, declared: str) -> None:
    table = statements.make_shape().map
    column = statements.shape_of(table, {source: declared for source in table.sources}).columns[table.key]
    assert column.declared == declared
    (statement,) = tsql.parse(f"DECLARE @x {column.declared}").statements()
    assert statement.types == {declared.partition("(")[0]}
