"""PACS 9.0 as a Washington county runs it: its core tables and a generated county in them."""
