"""`pacs preview COUNTY`: a few rows of an entity, as the source sends them and as the platform would get
them.
"""

from __future__ import annotations

import argparse

from airflow_provider_pacs.cli.connections import Answer, open_source, read_config

ABOUT = "Try the mapping on a few rows: the source's values beside the mapped ones. Writes nothing."
_WIDTH = 48


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("--entity", default="property", help="which entity (default property)")
    parser.add_argument("--rows", type=int, default=10, help="how many rows, at most 100 (default 10)")
    parser.add_argument("--personal", action="store_true", help="show names and addresses too")


def run(arguments: argparse.Namespace) -> Answer:
    """The rows, one block each; a row that would be set aside says why."""
    from airflow_provider_pacs.sync.preflight.preview import preview

    config = read_config(arguments)
    with open_source(arguments, config, attempts=1) as source:
        rows = preview(config, source, arguments.entity, rows=arguments.rows, personal=arguments.personal)
    lines = []
    for number, row in enumerate(rows, start=1):
        aside = f" would be set aside: {', '.join(row.rejected)}" if row.rejected else ""
        lines.append(f"row {number}{aside}")
        for cell in row.cells:
            values = f"{_short(cell.source):<{_WIDTH}} {_short(cell.mapped):<{_WIDTH}}"
            lines.append(f"  {cell.column:<22} {values} {_short(cell.comes_from)}")
    head = [f"  {'column':<22} {'source':<{_WIDTH}} {'mapped':<{_WIDTH}} from"] if rows else []
    return Answer([row.as_dict() for row in rows], [*head, *lines] or [f"{arguments.entity} has no rows."])


def _short(text: str | None) -> str:
    told = "NULL" if text is None else repr(text)[1:-1] or "''"
    return told if len(told) <= _WIDTH else told[: _WIDTH - 3] + "..."
