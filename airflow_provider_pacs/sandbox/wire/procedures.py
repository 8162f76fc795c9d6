"""System procedures that the driver calls by itself, with the result sets of SQL Server.

Without sp_datatype_info_100 the driver cuts datetime parameters to whole seconds, silently.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa

from airflow_provider_pacs.sandbox.model import (
    MAX,
    Column,
    DescribesParameters,
    EngineSession,
    Param,
    ResultSet,
    SqlError,
    SqlType,
)
from airflow_provider_pacs.sandbox.wire.rpc import Call
from airflow_provider_pacs.sandbox.wire.type_info import type_info

_NAME, _TINY, _SMALL, _INT, _BIT, _LONG_NAME = (
    SqlType("nvarchar", 128),
    SqlType("tinyint"),
    SqlType("smallint"),
    SqlType("int"),
    SqlType("bit"),
    SqlType("nvarchar", 4000),
)
_ARROW = {
    "nvarchar": pa.string(),
    "tinyint": pa.uint8(),
    "smallint": pa.int16(),
    "int": pa.int32(),
    "bit": pa.bool_(),
}

_DATATYPE_COLUMNS: Final = (
    ("TYPE_NAME", _NAME),
    ("DATA_TYPE", _SMALL),
    ("PRECISION", _INT),
    ("LITERAL_PREFIX", _NAME),
    ("LITERAL_SUFFIX", _NAME),
    ("CREATE_PARAMS", _NAME),
    ("NULLABLE", _SMALL),
    ("CASE_SENSITIVE", _SMALL),
    ("SEARCHABLE", _SMALL),
    ("UNSIGNED_ATTRIBUTE", _SMALL),
    ("MONEY", _SMALL),
    ("AUTO_INCREMENT", _SMALL),
    ("LOCAL_TYPE_NAME", _NAME),
    ("MINIMUM_SCALE", _SMALL),
    ("MAXIMUM_SCALE", _SMALL),
    ("SQL_DATA_TYPE", _SMALL),
    ("SQL_DATETIME_SUB", _SMALL),
    ("NUM_PREC_RADIX", _INT),
    ("INTERVAL_PRECISION", _SMALL),
    ("USERTYPE", _SMALL),
)

# Name, ODBC type, precision, literal prefix and suffix, CREATE_PARAMS, searchable, scales, SQL_DATA_TYPE,
# datetime subtype, radix.
_DATATYPES: Final[tuple[tuple[Any, ...], ...]] = (
    ("datetimeoffset", -155, 34, "'", "'", "scale", 3, 0, 7, -155, 0, None),
    ("time", -154, 16, "'", "'", "scale", 3, 0, 7, -154, 0, None),
    ("xml", -152, 0, "N'", "'", None, 0, None, None, -152, None, None),
    ("sql_variant", -150, 8000, None, None, None, 2, 0, 0, -150, None, 10),
    ("uniqueidentifier", -11, 36, "'", "'", None, 2, None, None, -11, None, None),
    ("ntext", -10, 1073741823, "N'", "'", None, 1, None, None, -10, None, None),
    ("nvarchar", -9, 4000, "N'", "'", "max length", 3, None, None, -9, None, None),
    ("sysname", -9, 128, "N'", "'", None, 3, None, None, -9, None, None),
    ("nchar", -8, 4000, "N'", "'", "length", 3, None, None, -8, None, None),
    ("bit", -7, 1, None, None, None, 2, 0, 0, -7, None, None),
    ("tinyint", -6, 3, None, None, None, 2, 0, 0, -6, None, 10),
    ("bigint", -5, 19, None, None, None, 2, 0, 0, -5, None, 10),
    ("image", -4, 2147483647, "0x", None, None, 0, None, None, -4, None, None),
    ("varbinary", -3, 8000, "0x", None, "max length", 2, None, None, -3, None, None),
    ("binary", -2, 8000, "0x", None, "length", 2, None, None, -2, None, None),
    ("timestamp", -2, 8, "0x", None, None, 2, None, None, -2, None, None),
    ("text", -1, 2147483647, "'", "'", None, 1, None, None, -1, None, None),
    ("char", 1, 8000, "'", "'", "length", 3, None, None, 1, None, None),
    ("numeric", 2, 38, None, None, "precision,scale", 2, 0, 38, 2, None, 10),
    ("decimal", 3, 38, None, None, "precision,scale", 2, 0, 38, 3, None, 10),
    ("money", 3, 19, "$", None, None, 2, 4, 4, 3, None, 10),
    ("smallmoney", 3, 10, "$", None, None, 2, 4, 4, 3, None, 10),
    ("int", 4, 10, None, None, None, 2, 0, 0, 4, None, 10),
    ("smallint", 5, 5, None, None, None, 2, 0, 0, 5, None, 10),
    ("float", 6, 53, None, None, None, 2, None, None, 6, None, 2),
    ("real", 7, 24, None, None, None, 2, None, None, 7, None, 2),
    ("varchar", 12, 8000, "'", "'", "max length", 3, None, None, 12, None, None),
    ("date", 91, 10, "'", "'", None, 3, 0, 0, 9, 1, None),
    ("datetime2", 93, 27, "'", "'", "scale", 3, 0, 7, 9, 3, None),
    ("datetime", 93, 23, "'", "'", None, 3, 3, 3, 9, 3, None),
    ("smalldatetime", 93, 16, "'", "'", None, 3, 0, 0, 9, 3, None),
)
_NUMBERS = {-6, -5, 2, 3, 4, 5, 6, 7}
_IDENTITY = {-6, -5, 2, 3, 4, 5}
_TEXTS = {-10, -9, -8, -1, 1, 12}

_DESCRIBE_COLUMNS: Final = (
    ("parameter_ordinal", _INT),
    ("name", _NAME),
    ("suggested_system_type_id", _INT),
    ("suggested_system_type_name", SqlType("nvarchar", 256)),
    ("suggested_max_length", _SMALL),
    ("suggested_precision", _TINY),
    ("suggested_scale", _TINY),
    ("suggested_user_type_id", _INT),
    ("suggested_user_type_database", _NAME),
    ("suggested_user_type_schema", _NAME),
    ("suggested_user_type_name", _NAME),
    ("suggested_assembly_qualified_type_name", _LONG_NAME),
    ("suggested_xml_collection_id", _INT),
    ("suggested_xml_collection_database", _NAME),
    ("suggested_xml_collection_schema", _NAME),
    ("suggested_xml_collection_name", _NAME),
    ("suggested_is_xml_document", _BIT),
    ("suggested_is_case_sensitive", _BIT),
    ("suggested_is_fixed_length_clr_type", _BIT),
    ("suggested_is_input", _BIT),
    ("suggested_is_output", _BIT),
    ("formal_parameter_name", _NAME),
    ("suggested_tds_type_id", _INT),
    ("suggested_tds_length", _INT),
)

# sys.types.system_type_id, and max_length, precision, scale of the types that have only one.
_SYSTEM_TYPES: Final = {
    "image": (34, 16, 0, 0),
    "text": (35, 16, 0, 0),
    "uniqueidentifier": (36, 16, 0, 0),
    "date": (40, 3, 10, 0),
    "time": (41, 5, 16, 7),
    "datetime2": (42, 8, 27, 7),
    "datetimeoffset": (43, 10, 34, 7),
    "tinyint": (48, 1, 3, 0),
    "smallint": (52, 2, 5, 0),
    "int": (56, 4, 10, 0),
    "smalldatetime": (58, 4, 16, 0),
    "real": (59, 4, 24, 0),
    "money": (60, 8, 19, 4),
    "datetime": (61, 8, 23, 3),
    "float": (62, 8, 53, 0),
    "ntext": (99, 16, 0, 0),
    "bit": (104, 1, 1, 0),
    "decimal": (106, 17, 38, 0),
    "numeric": (108, 17, 38, 0),
    "smallmoney": (122, 4, 10, 4),
    "bigint": (127, 8, 19, 0),
    "varbinary": (165, 8000, 0, 0),
    "varchar": (167, 8000, 0, 0),
    "binary": (173, 8000, 0, 0),
    "char": (175, 8000, 0, 0),
    "rowversion": (189, 8, 0, 0),
    "nvarchar": (231, 8000, 0, 0),
    "nchar": (239, 8000, 0, 0),
    "xml": (241, -1, 0, 0),
}


def answer(engine: EngineSession, call: Call) -> ResultSet:
    """The result set of a procedure.

    Raises:
        SqlError: 2812 for a procedure that the sandbox does not have; 11503 when the engine can't tell the
            types of parameters.
    """
    if call.procedure in ("sp_datatype_info_100", "sp_datatype_info_90", "sp_datatype_info"):
        wanted = call.arguments[0].value if call.arguments else 0
        rows = [_datatype(row) for row in _DATATYPES if wanted in (0, None, row[1])]
        return _result(_DATATYPE_COLUMNS, rows)
    if call.procedure == "sp_describe_undeclared_parameters":
        if not isinstance(engine, DescribesParameters):
            raise SqlError(11503, "The sandbox cannot deduce the types of parameters.")
        return _result(
            _DESCRIBE_COLUMNS,
            [
                _described(position, param)
                for position, param in enumerate(engine.describe_parameters(call.text(0)), 1)
            ],
        )
    raise SqlError(2812, f"Could not find stored procedure '{call.procedure}'.", state=62)


def _result(columns: Sequence[tuple[str, SqlType]], rows: Sequence[Sequence[Any]]) -> ResultSet:
    arrays = [
        pa.array([row[position] for row in rows], _ARROW[sql_type.name])
        for position, (_, sql_type) in enumerate(columns)
    ]
    batch = pa.RecordBatch.from_arrays(arrays, [name for name, _ in columns])
    return ResultSet([Column(name, sql_type) for name, sql_type in columns], iter([batch]))


def _datatype(row: tuple[Any, ...]) -> tuple[Any, ...]:
    name, code, precision, prefix, suffix, create, searchable, low, high, sql_code, subtype, radix = row
    number = code in _NUMBERS
    unsigned = int(name == "tinyint") if number else None
    money = int(name in ("money", "smallmoney"))
    identity = (0 if code in _IDENTITY else None) if number else None
    head = (
        name,
        code,
        precision,
        prefix,
        suffix,
        create,
        1,
        int(code in _TEXTS),
        searchable,
        unsigned,
        money,
        identity,
    )
    return (*head, name, low, high, sql_code, subtype, radix, None, 0)


def _described(position: int, param: Param) -> tuple[Any, ...]:
    sql_type = param.type
    name = sql_type.name
    code, length, precision, scale = _SYSTEM_TYPES[name]
    spelled = name
    if name in ("varchar", "nvarchar", "char", "nchar", "varbinary", "binary"):
        length = (
            MAX if sql_type.length == MAX else sql_type.length * (2 if name in ("nvarchar", "nchar") else 1)
        )
        spelled = f"{name}({'max' if sql_type.length == MAX else sql_type.length})"
    elif name in ("decimal", "numeric"):
        precision, scale, spelled = (
            sql_type.precision,
            sql_type.scale,
            f"{name}({sql_type.precision},{sql_type.scale})",
        )
    elif name in ("time", "datetime2", "datetimeoffset"):
        precision, scale, spelled = (
            precision - (7 - sql_type.scale),
            sql_type.scale,
            f"{name}({sql_type.scale})",
        )
    tds_length = 65535 if length == MAX else length
    nothing = (None,) * 9
    return (
        position,
        param.name,
        code,
        spelled,
        length,
        precision,
        scale,
        *nothing,
        False,
        False,
        False,
        True,
        False,
        None,
        type_info(sql_type)[0],
        tds_length,
    )
