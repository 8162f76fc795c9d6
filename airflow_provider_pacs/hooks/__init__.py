"""Hooks: connection ids come in; open sources and targets go out."""
