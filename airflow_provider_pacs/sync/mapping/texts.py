"""A number of the source -> its text, exactly: the one mapper for text columns, numeric columns and `extra`.

Integers have no exponent and no `.0`, decimals keep their digits, and a float is the shortest text that
reads back as the same value, written out. Arrow's own texts are those but for exponents
(`1.04881010001e+11`, `0E-10`) and minus zero.
"""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

_MOST_PLAIN_SCALE = 6
"""Decimals with more digits after the point are those that Arrow may write with an exponent."""


def is_number(kind: pa.DataType) -> bool:
    """Whether values of the type are numbers."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def number_text(values: pa.Array) -> tuple[pa.Array, pa.Array | None]:
    """Texts, and where a value is no number (infinite or NaN, which SQL Server has not); None where all
    are.
    """
    bad = None
    if pa.types.is_floating(values.type):
        bad = pc.fill_null(pc.invert(pc.is_finite(values)), False)
        values = pc.if_else(bad, pa.scalar(None, values.type), values)
    texts = pc.cast(values, pa.string())
    if pa.types.is_floating(values.type) or has_exponents(values.type):
        texts = _written_out(texts)
    return texts, bad


def has_exponents(kind: pa.DataType) -> bool:
    """Whether Arrow may write a decimal of the type with an exponent."""
    return bool(pa.types.is_decimal(kind) and not 0 <= kind.scale <= _MOST_PLAIN_SCALE)


def _written_out(texts: pa.Array) -> pa.Array:
    """The same numbers without an exponent and without the sign of zero."""
    odd = pc.fill_null(pc.match_substring_regex(texts, r"[eE]|^-0$"), False)
    if not pc.any(odd).as_py():
        return texts
    plain = [_plain(text) for text in pc.filter(texts, odd).to_pylist()]
    return pc.replace_with_mask(texts, odd, pa.array(plain, pa.string()))


def _plain(text: str) -> str:
    return "0" if text == "-0" else format(Decimal(text), "f")
