"""Declared T-SQL types and tables, and the system catalog that shows them."""
