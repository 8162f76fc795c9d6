"""Whether a source's column that nobody has declared may name or locate a person: its looks decide."""

from __future__ import annotations

import re

from airflow_provider_pacs.sync.schema.columns import TEXTS, SourceColumn

LONGEST_CODE = 80
"""Bytes of the widest text column that is taken for a code; a wider one holds free text."""
_PERSONAL_NAME = re.compile(
    r"name|owner|taxpayer|addr|street|situs|phone|mobile|fax|mail|ssn|social|birth|dob|deceas|spouse|agent|"
    r"contact|comment|note|remark|dba|tax_?id|licen[cs]e|passport|iban|account",
    re.IGNORECASE,
)


def names_a_person(label: str, column: str, declared: SourceColumn | None) -> bool:
    """Whether a column may hold a name, an address or free text.

    Args:
        label: what the county calls it.
        column: the source's name for it.
        declared: its declaration; None where it is unknown.
    """
    wide = (
        declared is not None
        and declared.type_name in TEXTS
        and (declared.is_lob or declared.max_length > LONGEST_CODE)
    )
    return wide or bool(_PERSONAL_NAME.search(f"{label} {column}"))
