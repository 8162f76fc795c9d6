"""Runs in an environment of its own (`.ci/comparison`): a comparison tool that others keep lays a table of the
source beside one of the target.

    python external_comparison.py < request.json

A request names both ends, both tables and their columns, the key first. The answer is one line of JSON: the keys
that the tool finds on one side alone or with another row.
"""

import json
import sys

from data_diff import TableSegment, connect
from data_diff.hashdiff_tables import HashDiffer

REQUEST = json.load(sys.stdin)


def segment(side: dict) -> TableSegment:
    """One side's table with its columns in order."""
    key, *others = side["columns"]
    database = connect(side["address"], thread_count=1)
    path, where = tuple(side["table"]), side["where"]
    return TableSegment(
        database, path, (key,), extra_columns=tuple(others), where=where, case_sensitive=True
    ).with_schema()


differ = HashDiffer(bisection_threshold=20, bisection_factor=4)
differing = differ.diff_tables(segment(REQUEST["source"]), segment(REQUEST["target"]))
print(json.dumps(sorted({str(row[0]) for _, row in differing})))
