"""`read_to_nowhere.py <mssql url>`: every row of dbo.Property through the product's reader, and away.

Prints the rows.
"""

from __future__ import annotations

import sys

from airflow_provider_pacs.sync.incremental.full import full_query, lob_query
from airflow_provider_pacs.sync.profiles import load_tables
from airflow_provider_pacs.sync.schema.catalog import describe
from airflow_provider_pacs.sync.source.address import SourceAddress
from airflow_provider_pacs.sync.source.sqlserver import SqlServerReader

with SqlServerReader(SourceAddress.from_url(sys.argv[1])) as reader:
    table = describe(reader, load_tables("generic", {})["property"])
    lobs = lob_query(table)

    def longest() -> int:
        return max(int(value or 0) for value in reader.query(lobs.sql)[0].values()) if lobs else 0

    print(sum(batch.num_rows for batch in reader.stream(full_query(table).sql, lob_bound=longest)))
