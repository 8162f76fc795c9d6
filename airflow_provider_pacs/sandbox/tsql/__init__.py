"""T-SQL over DuckDB: statements, expressions, sessions, transactions and the engine behind the port in `model`."""
