"""What the source has: tables, columns, features, permissions, identity, and how they drift."""
