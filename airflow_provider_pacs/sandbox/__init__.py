"""A wire-level sandbox PACS: speaks TDS 7.4 to Microsoft's own driver, answers from DuckDB. It is not SQL Server and never says so."""
