"""A wire-level sandbox PACS: speaks TDS 7.4 to Microsoft's own driver, answers from DuckDB.

It is not SQL Server.

On the wire it must name itself as SQL Server does (`Microsoft SQL Server` in LOGINACK, its version and
edition), or the driver would not go on. Everywhere else it calls itself a sandbox: its server is
`pacs-sandbox`, and `@@VERSION` says what it is.
"""
