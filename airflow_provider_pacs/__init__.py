"""Keeps a county's PACS (SQL Server) and a PostgreSQL platform database exactly in step, and proves it."""
