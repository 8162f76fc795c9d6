"""`pacs preview COUNTY`: a few rows of an entity, as the source sends them and as the platform would get
them.
"""

from __future__ import annotations

import click

from airflow_provider_pacs.cli.connections import open_source, read_config
from airflow_provider_pacs.cli.invocation import Answer, Invocation, PacsCommand, county_command
from airflow_provider_pacs.cli.progress import report_progress

_WIDTH = 48


@click.command("preview", cls=PacsCommand)
@county_command(source=True, target=False)
@click.option("--entity", default="property", help="Which entity (default property).")
@click.option("--rows", type=int, default=10, help="How many rows, at most 100 (default 10).")
@click.option("--personal", is_flag=True, help="Show names and addresses too.")
def command(invocation: Invocation, entity: str, rows: int, personal: bool) -> Answer:
    """Try the mapping on a few rows: the source's values beside the mapped ones. Writes nothing.

    A row that would go to quarantine says why. Columns of `extra` follow the entity's own, as extra.NAME.
    """
    from airflow_provider_pacs.sync.preflight.preview import preview

    config = read_config(invocation)
    with (
        report_progress(invocation, f"reading {entity}"),
        open_source(invocation, config, attempts=1) as source,
    ):
        previewed = preview(config, source, entity, rows=rows, personal=personal)
    lines = []
    for number, row in enumerate(previewed, start=1):
        aside = f" would be set aside: {', '.join(row.rejected)}" if row.rejected else ""
        lines.append(f"row {number}{aside}")
        for cell in row.cells:
            values = f"{_short(cell.source):<{_WIDTH}} {_short(cell.mapped):<{_WIDTH}}"
            lines.append(f"  {cell.column:<22} {values} {_short(cell.comes_from)}")
    head = [f"  {'column':<22} {'source':<{_WIDTH}} {'mapped':<{_WIDTH}} from"] if previewed else []
    return Answer([row.as_dict() for row in previewed], [*head, *lines] or [f"{entity} has no rows."])


def _short(text: str | None) -> str:
    shown = "NULL" if text is None else repr(text)[1:-1] or "''"
    return shown if len(shown) <= _WIDTH else shown[: _WIDTH - 3] + "..."
