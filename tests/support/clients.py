"""Six clients that decode what the server encodes, none of them ours: comes in an address and a query, goes
out rows of plain text.

Each runs in a process of its own (`python -m tests.support.clients NAME`, a JSON request on standard input),
because two of them bring a TLS library of their own and two a driver.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import struct
import subprocess
import sys
import uuid
from collections.abc import Callable, Sequence
from decimal import Decimal
from glob import glob
from pathlib import Path
from typing import Any

Request = dict[str, Any]
Rows = list[list[str | None]]
ROOT = Path(__file__).parents[2]
FREETDS = (
    *glob("/usr/lib/*/odbc/libtdsodbc.so"),
    *glob("/usr/lib*/libtdsodbc.so*"),
    *glob("/opt/homebrew/lib/libtdsodbc.so"),
)


def ask(client: str, request: Request) -> Rows:
    """The rows of a query as one client sees them."""
    command = [sys.executable, "-m", "tests.support.clients", client]
    done = subprocess.run(
        command, cwd=ROOT, input=json.dumps(request), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, f"{client}:\n{done.stderr[-3000:]}"
    rows: Rows = json.loads(done.stdout)
    return rows


def plain(value: Any) -> str | None:
    """One value as text that does not depend on the client."""
    match value:
        case None:
            return None
        case bool():
            return str(int(value))
        case float():
            return repr(value)
        case Decimal():
            return format(value, "f")
        case dt.datetime():
            return value.isoformat(" ", "microseconds")
        case dt.time():
            return value.isoformat("microseconds")
        case bytes() | bytearray():
            return bytes(value).hex()
        case uuid.UUID():
            return str(value).upper()
    # arrow-odbc gives datetimeoffset as the driver's own text.
    return re.sub(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6})\d? ([+-]\d\d:\d\d)$", r"\1\2", str(value))


def _offset(raw: bytes) -> str:
    year, month, day, hour, minute, second, nanos, hours, minutes = struct.unpack("<6hI2h", raw)
    zone = dt.timezone(dt.timedelta(hours=hours, minutes=minutes))
    return dt.datetime(year, month, day, hour, minute, second, nanos // 1000, zone).isoformat(
        " ", "microseconds"
    )


def _odbc(driver: str, request: Request, more: str) -> str:
    return (
        f"DRIVER={{{driver}}};SERVER={request['host']},{request['port']};DATABASE={request['database']};UID={request['user']};"
        f"PWD={{{request['password']}}};{more}"
    )


def microsoft_pyodbc(request: Request) -> Sequence[Sequence[Any]]:
    """The usual way: pyodbc over Microsoft's driver."""
    import pyodbc

    connection = pyodbc.connect(
        _odbc("ODBC Driver 18 for SQL Server", request, "Encrypt=yes;TrustServerCertificate=yes")
    )
    connection.add_output_converter(-155, _offset)
    return list(connection.execute(request["sql"]))


def arrow(request: Request) -> Sequence[Sequence[Any]]:
    """arrow-odbc over Microsoft's driver."""
    import arrow_odbc
    import pyarrow as pa

    address = _odbc("ODBC Driver 18 for SQL Server", request, "Encrypt=yes;TrustServerCertificate=yes")
    reader = arrow_odbc.read_arrow_batches_from_odbc(
        request["sql"], connection_string=address, max_text_size=100_000, max_binary_size=100_000
    )
    table = pa.Table.from_batches(list(reader), reader.schema)
    columns = [_microseconds(column).to_pylist() for column in table.columns]
    return list(zip(*columns, strict=True))


def _microseconds(column: Any) -> Any:
    """Cut to what Python's types can hold, downwards also before 1970."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.type == pa.timestamp("ns"):
        return pc.floor_temporal(column, 1, "microsecond").cast(pa.timestamp("us"))
    return column.cast(pa.time64("us"), safe=False) if column.type == pa.time64("ns") else column


def microsoft_python(request: Request) -> Sequence[Sequence[Any]]:
    """mssql-python, Microsoft's own DB-API module."""
    import mssql_python

    address = _odbc("", request, "Encrypt=yes;TrustServerCertificate=yes").removeprefix("DRIVER={};")
    connection = mssql_python.connect(address)
    cursor = connection.cursor()
    cursor.execute(request["sql"])
    return [tuple(row) for row in cursor.fetchall()]


def pymssql(request: Request) -> Sequence[Sequence[Any]]:
    """pymssql, on a FreeTDS of its own."""
    import pymssql as client

    address = {name: request[name] for name in ("user", "password", "database")}
    connection = client.connect(
        server=request["host"], port=str(request["port"]), tds_version="7.4", **address
    )
    cursor = connection.cursor()
    cursor.execute(request["sql"])
    return list(cursor.fetchall())


def python_tds(request: Request) -> Sequence[Sequence[Any]]:
    """python-tds, an implementation of the protocol in Python alone."""
    import pytds

    address = {name: request[name] for name in ("user", "password", "database")}
    connection = pytds.connect(dsn=request["host"], port=request["port"], **address)
    cursor = connection.cursor()
    cursor.execute(request["sql"])
    return list(cursor.fetchall())


def freetds(request: Request) -> Sequence[Sequence[Any]]:
    """The same pyodbc over FreeTDS's own ODBC driver (Debian's tdsodbc)."""
    import pyodbc

    address = _odbc(
        FREETDS[0], request, f"PORT={request['port']};TDS_Version=7.4;ClientCharset=UTF-8;Encryption=require"
    )
    connection = pyodbc.connect(address.replace(f"{request['host']},{request['port']}", request["host"]))
    connection.add_output_converter(-155, _offset)
    return list(connection.execute(request["sql"]))


CLIENTS: dict[str, Callable[[Request], Sequence[Sequence[Any]]]] = {
    "pyodbc": microsoft_pyodbc,
    "arrow-odbc": arrow,
    "mssql-python": microsoft_python,
    "pymssql": pymssql,
    "python-tds": python_tds,
    "freetds": freetds,
}


if __name__ == "__main__":
    answer = CLIENTS[sys.argv[1]](json.load(sys.stdin))
    json.dump([[plain(value) for value in row] for row in answer], sys.stdout)
