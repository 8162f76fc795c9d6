"""Parses RPC messages to calls with decoded arguments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from airflow_provider_pacs.sandbox.model import Param, SqlError, SqlType
from airflow_provider_pacs.sandbox.wire.packets import Cursor
from airflow_provider_pacs.sandbox.wire.type_info import declared_parameters, read_type_info
from airflow_provider_pacs.sandbox.wire.values import read_value

_PROCEDURES: Final = {
    1: "sp_cursor",
    2: "sp_cursoropen",
    3: "sp_cursorprepare",
    4: "sp_cursorexecute",
    5: "sp_cursorprepexec",
    6: "sp_cursorunprepare",
    7: "sp_cursorfetch",
    8: "sp_cursoroption",
    9: "sp_cursorclose",
    10: "sp_executesql",
    11: "sp_prepare",
    12: "sp_execute",
    13: "sp_prepexec",
    14: "sp_prepexecrpc",
    15: "sp_unprepare",
}
_NEXT_CALL = (0x80, 0xFF, 0xFE)


@dataclass(frozen=True, slots=True)
class Argument:
    """One ParameterData: `name` is empty when it is positional."""

    name: str
    type: SqlType
    value: Any


@dataclass(frozen=True, slots=True)
class Call:
    """One procedure call of an RPC message."""

    procedure: str
    arguments: Sequence[Argument]

    def text(self, position: int) -> str:
        """An argument that must be text, as @stmt and @params must.

        Raises:
            SqlError: 214 when it is missing or of another type.
        """
        value = self.arguments[position].value if position < len(self.arguments) else None
        if not isinstance(value, str):
            raise SqlError(
                214, f"Procedure expects parameter {position + 1} of type 'ntext/nchar/nvarchar'.", state=2
            )
        return value


def parse_rpc(payload: bytes) -> list[Call]:
    """Split an RPC message into calls: fast_executemany sends many in one.

    Raises:
        ProtocolError: it is not well-formed.
    """
    cursor = Cursor(payload)
    cursor.skip_all_headers()
    calls: list[Call] = []
    while cursor.remaining:
        length = cursor.uint(2)
        if length == 0xFFFF:
            number = cursor.uint(2)
            name = _PROCEDURES.get(number, f"procedure {number}")
        else:
            name = cursor.text(length).rpartition(".")[2].strip("[]").lower()
        cursor.take(2)
        arguments: list[Argument] = []
        while cursor.remaining:
            if cursor.data[cursor.position] in _NEXT_CALL:
                cursor.take(1)
                break
            arguments.append(_argument(cursor))
        calls.append(Call(name, tuple(arguments)))
    return calls


def _argument(cursor: Cursor) -> Argument:
    name = cursor.b_varchar()
    cursor.take(1)
    code, sql_type, size = read_type_info(cursor)
    return Argument(name, sql_type, read_value(cursor, code, sql_type, size))


def bind(declarations: str | None, arguments: Sequence[Argument]) -> list[Param]:
    """Give arguments the names and types of the statement's parameter list.

    Raises:
        SqlError: 102 for a list that is none, 8178 for a parameter without a value, 8144 for a value without
            a parameter.
    """
    try:
        declared = declared_parameters(declarations or "")
    except ValueError as problem:
        raise SqlError(102, f"Incorrect syntax near {problem}.", severity=15) from problem
    by_name = {argument.name.lower(): argument for argument in arguments if argument.name}
    positional = [argument for argument in arguments if not argument.name]
    if len(arguments) > len(declared):
        raise SqlError(8144, "Procedure or function has too many arguments specified.", state=2)
    params: list[Param] = []
    for position, (name, sql_type) in enumerate(declared):
        argument = by_name.get(name.lower()) or (positional[position] if position < len(positional) else None)
        if argument is None:
            raise SqlError(
                8178, f"The parameterized query expects the parameter '{name}', which was not supplied."
            )
        params.append(Param(name, sql_type, argument.value))
    return params
