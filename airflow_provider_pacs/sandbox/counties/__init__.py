"""The counties that a sandbox serves: declared tables, generated rows and a night's changes."""
