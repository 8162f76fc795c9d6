"""One table of values, six clients: pyodbc, arrow-odbc, mssql-python, pymssql, python-tds and FreeTDS decode
what the server encodes alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from tests.support.clients import CLIENTS, FREETDS, Request, ask
from tests.support.server import MssqlServer

MODULES = {"mssql-python": "mssql_python", "pymssql": "pymssql", "python-tds": "pytds"}
WIDE = "ñ – 😀 Ж €"
LONG = "ñ – € " * 2000
# Declared type, two T-SQL literals, the two values as text: six fractional digits at most, because Python has
# no more.
VALUES: list[tuple[str, tuple[str, str], tuple[str, str]]] = [
    ("bit", ("0", "1"), ("0", "1")),
    ("tinyint", ("0", "255"), ("0", "255")),
    ("smallint", ("-32768", "32767"), ("-32768", "32767")),
    ("int", ("-2147483648", "2147483647"), ("-2147483648", "2147483647")),
    ("bigint", ("-9223372036854775808", "9223372036854775807"), ("-9223372036854775808", "9223372036854775807")),
    ("real", ("1.5", "-16777216"), ("1.5", "-16777216.0")),
    ("float", ("0.1", "1.7976931348623157E308"), ("0.1", "1.7976931348623157e+308")),
    ("decimal(9, 2)", ("-9999999.99", "0.01"), ("-9999999.99", "0.01")),
    ("numeric(38, 10)", ("-9999999999999999999999999999.9999999999", "0.0000000001"), ("-9999999999999999999999999999.9999999999", "0.0000000001")),
    ("money", ("-922337203685477.5808", "922337203685477.5807"), ("-922337203685477.5808", "922337203685477.5807")),
    ("smallmoney", ("-214748.3648", "214748.3647"), ("-214748.3648", "214748.3647")),
    ("date", ("0001-01-01", "9999-12-31"), ("0001-01-01", "9999-12-31")),
    ("time(6)", ("00:00:00", "23:59:59.999999"), ("00:00:00.000000", "23:59:59.999999")),
    ("datetime", ("1753-01-01", "9999-12-31 23:59:59.997"), ("1753-01-01 00:00:00.000000", "9999-12-31 23:59:59.997000")),
    ("smalldatetime", ("1900-01-01", "2079-06-06 23:59:00"), ("1900-01-01 00:00:00.000000", "2079-06-06 23:59:00.000000")),
    ("datetime2(0)", ("0001-01-01", "9999-12-31 23:59:59"), ("0001-01-01 00:00:00.000000", "9999-12-31 23:59:59.000000")),
    ("datetime2(3)", ("1969-12-31 23:59:59.999", "9999-12-31 23:59:59.999"), ("1969-12-31 23:59:59.999000", "9999-12-31 23:59:59.999000")),
    ("datetime2(6)", ("0001-01-01", "9999-12-31 23:59:59.999999"), ("0001-01-01 00:00:00.000000", "9999-12-31 23:59:59.999999")),
    ("datetime2(7)", ("2024-02-29 23:30:00.1234561", "1969-12-31 23:59:59.9999991"), ("2024-02-29 23:30:00.123456", "1969-12-31 23:59:59.999999")),
    ("uniqueidentifier", ("00112233-4455-6677-8899-aabbccddeeff",) * 2, ("00112233-4455-6677-8899-AABBCCDDEEFF",) * 2),
    ("char(6)", ("ab", "ñ–€"), ("ab    ", "ñ–€   ")),
    ("varchar(20)", ("ab  ", "ñ – € ƒ"), ("ab  ", "ñ – € ƒ")),
    ("varchar(max)", ("ab  ", LONG), ("ab  ", LONG)),
    ("text", ("a", LONG), ("a", LONG)),
    ("nchar(4)", ("a", "Жñ"), ("a   ", "Жñ  ")),
    ("nvarchar(20)", ("ab  ", WIDE), ("ab  ", WIDE)),
    ("nvarchar(max)", (WIDE, LONG), (WIDE, LONG)),
    ("ntext", ("a", WIDE), ("a", WIDE)),
    ("xml", ("<a>ñ</a>", "<a/>"), ("<a>ñ</a>", "<a/>")),
    ("datetimeoffset(6)", ("2024-02-29 23:30:00.123456 -08:00", "0001-01-02 00:00:00 +14:00"),
     ("2024-02-29 23:30:00.123456-08:00", "0001-01-02 00:00:00.000000+14:00")),
    ("binary(4)", ("0x01", "0xffffffff"), ("01000000", "ffffffff")),
    ("varbinary(8)", ("0x0001", "0xff"), ("0001", "ff")),
    ("varbinary(max)", ("0x0001", "0x" + "d1" * 9000), ("0001", "d1" * 9000)),
    ("image", ("0x0001", "0x" + "d1" * 9000), ("0001", "d1" * 9000)),
]  # fmt: skip


@pytest.fixture(scope="module")
def request_for_all(mssql: MssqlServer) -> Iterator[Request]:
    columns = ", ".join(f"c{number} {declared} NULL" for number, (declared, _, _) in enumerate(VALUES))
    with mssql.table(f"k int NOT NULL, {columns}") as name:
        for row in (0, 1):
            mssql.execute(
                f"INSERT INTO dbo.{name} VALUES ({row}, "
                f"{', '.join(literal(values[row]) for _, values, _ in VALUES)})"
            )
        mssql.execute(f"INSERT INTO dbo.{name} VALUES (2, {', '.join(['NULL'] * len(VALUES))})")
        names = ", ".join(f"c{number}" for number in range(len(VALUES)))
        address = mssql.address
        yield {
            "host": address.host,
            "port": address.port or 1433,
            "database": address.database,
            "user": address.user,
            "password": address.password,
            "sql": f"SELECT {names} FROM dbo.{name} ORDER BY k",
        }


def literal(text: str) -> str:
    return text if text.startswith("0x") else "N'" + text.replace("'", "''") + "'"


@pytest.mark.parametrize("client", CLIENTS)
def test_what_a_client_decodes_is_what_was_inserted(request_for_all: Request, client: str) -> None:
    if client == "freetds" and not FREETDS:
        pytest.skip(
            "FreeTDS's ODBC driver is not installed: apt-get install tdsodbc (`.ci/prepare` does it where "
            "it may)"
        )
    if find_spec(MODULES.get(client, "pyodbc")) is None:
        pytest.skip(
            f"{client} is not installed: pip install -c constraints.txt -e '.[dev]' (`.ci/prepare` does it)"
        )
    rows = ask(client, request_for_all)
    assert len(rows) == 3
    for number, (declared, _, expected) in enumerate(VALUES):
        assert [row[number] for row in rows] == [*expected, None], declared
