"""One table of values for every reader: a declared type, values as T-SQL literals, and the text that each must
become in PostgreSQL.

The texts are written by hand from SQL Server's and PostgreSQL's documentation, not taken from a program that
the tests compare.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_38 = "9999999999999999999999999999.9999999999"


@dataclass(frozen=True)
class Case:
    """Values of one source type for one canonical type. `expected` None: the cell is NULL and the row carries
    a reason in `_reject`.
    """

    declared: str
    canonical: str
    literals: tuple[str, ...]
    expected: tuple[str | None, ...]


def _case(declared: str, canonical: str, *pairs: tuple[str, str | None]) -> Case:
    return Case(declared, canonical, tuple(literal for literal, _ in pairs), tuple(text for _, text in pairs))


NUMERIC = (
    _case(
        "decimal(38, 10)",
        "numeric",
        (MAX_38, MAX_38),
        (f"-{MAX_38}", f"-{MAX_38}"),
        ("0.0000000001", "0.0000000001"),
    ),
    _case("decimal(9, 2)", "numeric", ("-9999999.99", "-9999999.99"), ("0.01", "0.01"), ("12.30", "12.30")),
    _case(
        "numeric(19, 0)", "numeric", ("-9999999999999999999", "-9999999999999999999"), ("0", "0"), ("7", "7")
    ),
    _case(
        "money",
        "numeric",
        ("-922337203685477.5808", "-922337203685477.5808"),
        ("922337203685477.5807", "922337203685477.5807"),
        ("0.1", "0.1000"),
    ),
    _case(
        "smallmoney",
        "numeric",
        ("-214748.3648", "-214748.3648"),
        ("214748.3647", "214748.3647"),
        ("1", "1.0000"),
    ),
    _case(
        "float",
        "numeric",
        ("0.1", "0.1"),
        ("-1.7976931348623157E308", "-17976931348623157" + "0" * 292),
        ("123456789.12345679", "123456789.12345679"),
    ),
    _case(
        "float",
        "numeric",
        ("5E-324", "0." + "0" * 323 + "5"),
        ("2.2250738585072014E-308", "0." + "0" * 307 + "22250738585072014"),
        ("0", "0"),
    ),
    _case(
        "real", "numeric", ("0.1", "0.1"), ("3.4028235E38", "34028235" + "0" * 31), ("-16777216", "-16777216")
    ),
    _case(
        "bigint",
        "numeric",
        ("-9223372036854775808", "-9223372036854775808"),
        ("9223372036854775807", "9223372036854775807"),
        ("0", "0"),
    ),
    _case("int", "numeric", ("-2147483648", "-2147483648"), ("2147483647", "2147483647"), ("0", "0")),
    _case("varchar(30)", "numeric", ("12.50", "12.50"), ("-7", "-7"), ("n/a", None)),
)
INTEGER = (
    _case("tinyint", "integer", ("0", "0"), ("255", "255"), ("1", "1")),
    _case("smallint", "integer", ("-32768", "-32768"), ("32767", "32767"), ("0", "0")),
    _case("int", "integer", ("-2147483648", "-2147483648"), ("2147483647", "2147483647"), ("0", "0")),
    _case(
        "bigint",
        "integer",
        ("-2147483648", "-2147483648"),
        ("2147483648", None),
        ("9223372036854775807", None),
    ),
    _case("decimal(10, 1)", "integer", ("1985.0", "1985"), ("1985.5", None), ("-1.0", "-1")),
    _case("float", "integer", ("1985", "1985"), ("1985.5", None), ("1E300", None)),
    _case("varchar(10)", "integer", ("1985", "1985"), ("19 85", None), ("", None)),
)
TIMESTAMP = (
    # 1/300 of a second, as the driver gives it: milliseconds.
    _case(
        "datetime",
        "timestamp",
        ("1753-01-01", "1753-01-01 00:00:00"),
        ("9999-12-31 23:59:59.997", "9999-12-31 23:59:59.997"),
        ("2024-02-29 23:30:00.003", "2024-02-29 23:30:00.003"),
    ),
    _case(
        "datetime",
        "timestamp",
        ("2024-02-29 23:59:59.999", "2024-03-01 00:00:00"),
        ("2024-02-29 23:30:00.005", "2024-02-29 23:30:00.007"),
        ("2024-02-29 23:30:00.001", "2024-02-29 23:30:00"),
    ),
    _case(
        "smalldatetime",
        "timestamp",
        ("1900-01-01", "1900-01-01 00:00:00"),
        ("2079-06-06 23:59:00", "2079-06-06 23:59:00"),
        ("2024-02-29 12:30:31", "2024-02-29 12:31:00"),
    ),
    _case(
        "date",
        "timestamp",
        ("0001-01-01", "0001-01-01 00:00:00"),
        ("9999-12-31", "9999-12-31 00:00:00"),
        ("2024-02-29", "2024-02-29 00:00:00"),
    ),
    *(
        _case(
            f"datetime2({scale})",
            "timestamp",
            ("0001-01-01", "0001-01-01 00:00:00"),
            (
                "9999-12-31 23:59:59.9999999"[: 20 + scale if scale else 19],
                ("9999-12-31 23:59:59." + "9" * min(scale, 6)).rstrip("."),
            ),
            (
                "2024-02-29 23:30:00.1111119"[: 20 + scale if scale else 19],
                ("2024-02-29 23:30:00." + "1" * min(scale, 6)).rstrip("."),
            ),
        )
        for scale in range(8)
    ),
    _case(
        "datetimeoffset(0)",
        "timestamp",
        ("2024-02-29 23:30:00 -08:00", "2024-03-01 07:30:00"),
        ("2024-01-01 00:00:00 +14:00", "2023-12-31 10:00:00"),
        ("2024-01-01 00:00:00 +00:00", "2024-01-01 00:00:00"),
    ),
    _case(
        "datetimeoffset(6)",
        "timestamp",
        ("2024-02-29 23:30:00.123456 -14:00", "2024-03-01 13:30:00.123456"),
        ("0001-01-01 00:00:00 +00:00", "0001-01-01 00:00:00"),
        ("9999-12-31 23:59:59.999999 +00:00", "9999-12-31 23:59:59.999999"),
    ),
    _case(
        "varchar(30)",
        "timestamp",
        ("2024-02-29", "2024-02-29 00:00:00"),
        ("2024-02-29 10:11:12.5", "2024-02-29 10:11:12.5"),
        ("02/29/2024", None),
    ),
)
_WIDE = "Ñandú – 😀 Ж €"
LONG = "ñ – € " * 3000
TEXT = (
    _case("char(6)", "text", ("ab", "ab"), ("ñ–€", "ñ–€"), ("", "")),
    _case("nchar(6)", "text", ("ab", "ab"), ("Жñ", "Жñ"), ("", "")),
    _case("varchar(20)", "text", ("ab  ", "ab  "), ("ñ – € ƒ", "ñ – € ƒ"), ("", "")),
    _case("varchar(max)", "text", ("ab  ", "ab  "), (LONG, LONG), ("", "")),
    _case("nvarchar(20)", "text", ("ab  ", "ab  "), (_WIDE, _WIDE), ("", "")),
    _case("nvarchar(max)", "text", (_WIDE, _WIDE), (LONG, LONG), ("", "")),
    _case("text", "text", ("a", "a"), (LONG, LONG), ("", "")),
    _case("ntext", "text", (_WIDE, _WIDE), (LONG, LONG), ("", "")),
    _case("xml", "text", ("<a>ñ</a>", "<a>ñ</a>"), ('<a b="1"/>', '<a b="1"/>'), ("", "")),
    # A value of type xml keeps no declaration; a text keeps whatever it is.
    _case(
        "xml",
        "text",
        ('<?xml version="1.0" encoding="utf-16"?><a>ñ</a>', "<a>ñ</a>"),
        ('<?xml version="1.0"?><a/>', "<a/>"),
        ("x", "x"),
    ),
    _case(
        "nvarchar(max)",
        "text",
        ('<?xml version="1.0" encoding="utf-16"?><a/>', '<?xml version="1.0" encoding="utf-16"?><a/>'),
        ("a", "a"),
        ("b", "b"),
    ),
    _case("time(0)", "text", ("23:59:59", "23:59:59"), ("00:00:00", "00:00:00"), ("12:30:00", "12:30:00")),
    _case(
        "time(7)",
        "text",
        ("23:59:59.9999999", "23:59:59.999999"),
        ("00:00:00", "00:00:00.000000"),
        ("12:30:00.1234567", "12:30:00.123456"),
    ),
    _case("int", "text", ("-7", "-7"), ("2147483647", "2147483647"), ("0", "0")),
    _case("decimal(9, 2)", "text", ("12.30", "12.30"), ("-9999999.99", "-9999999.99"), ("0", "0.00")),
    _case(
        "uniqueidentifier",
        "text",
        *(("00112233-4455-6677-8899-aabbccddeeff", "00112233-4455-6677-8899-AABBCCDDEEFF"),) * 3,
    ),
    _case("nvarchar(20)", "text", ("a\x00b", None), ("a\ufffdb", None), ("\"a\",\n'b'", "\"a\",\n'b'")),
)
BOOLEAN = (
    _case("bit", "boolean", ("1", "true"), ("0", "false"), ("1", "true")),
    _case("char(1)", "boolean", ("T", "true"), ("F", "false"), ("?", None)),
    _case("varchar(5)", "boolean", ("Y", "true"), ("n", "false"), ("", None)),
    _case("tinyint", "boolean", ("1", "true"), ("0", "false"), ("2", None)),
    _case("int", "boolean", ("1", "true"), ("0", "false"), ("-1", None)),
)
UUID = (
    _case(
        "uniqueidentifier",
        "uuid",
        *(("00112233-4455-6677-8899-AABBCCDDEEFF", "00112233-4455-6677-8899-aabbccddeeff"),) * 3,
    ),
    _case(
        "char(36)",
        "uuid",
        *(("00112233-4455-6677-8899-AABBCCDDEEFF", "00112233-4455-6677-8899-aabbccddeeff"),) * 3,
    ),
    _case(
        "varchar(40)",
        "uuid",
        ("{00112233-4455-6677-8899-AABBCCDDEEFF}", "00112233-4455-6677-8899-aabbccddeeff"),
        ("00112233445566778899AABBCCDDEEFF", "00112233-4455-6677-8899-aabbccddeeff"),
        ("R12345", None),
    ),
    # Keys that are no GUID: a profile with them needs another canonical key. Today each row says so and waits
    # in quarantine.
    _case("int", "uuid", ("1", None), ("2", None), ("3", None)),
    _case("bigint", "uuid", ("1", None), ("2", None), ("3", None)),
)
CASES = {
    "numeric": NUMERIC,
    "integer": INTEGER,
    "timestamp": TIMESTAMP,
    "text": TEXT,
    "boolean": BOOLEAN,
    "uuid": UUID,
}
