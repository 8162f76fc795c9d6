"""What people read of a county's DAGs in Airflow: their page, their parameters' help, their questions."""

from __future__ import annotations

import json
import re

from airflow_provider_pacs.sync.config import CountyConfig

RUN_HELP = "The id of the run to undo, as the page and `pacs audit` show it."
ONTO_HELP = "Undo every run after it instead: the county is as this run left it."
ROLLBACK_BODY = """{% set p = ti.xcom_pull(task_ids='propose') or {} %}Undone: {% for r in p.get('runs', []) %}{{ r.kind }} `{{ r.run_id }}` {% endfor %}

| entity | rows that get their image back | rows that go | live rows that leave |
|---|---|---|---|
{% for name, e in p.get('entities', {}).items() %}| {{ name }} | {{ e.restored }} | {{ e.removed }} | {{ e.leaving }} of {{ e.live }} |
{% endfor %}
Digest `{{ p.get('digest', '')[:16] }}`. **Approve** puts them back and the county on hold: no run publishes until somebody resumes.
"""  # noqa: E501


def as_text(name: str) -> str:
    """A text of a county's file for a field that Airflow renders: Jinja's literal of it, so it stays a text
    whatever is in it.
    """
    return f"{{{{ {json.dumps(name, ensure_ascii=False)} }}}}"


PENDING_BODY = """The source no longer has these rows, and there are more of them than one run may delete by itself.

| set | entity | what | digest |
|---|---|---|---|
{% for s in (ti.xcom_pull(task_ids='pending') or {'sets': []})['sets'] %}| {{ s.pending_id }} | {{ s.entity }} | {{ s.reason }} | `{{ s.digest[:16] }}` |
{% endfor %}
**Approve** looks every row up at the source once more and deletes those that are still gone. **Reject** keeps them all.
"""  # noqa: E501


MODE_HELP = "`auto` reads what changed where the source allows it; `full` reads everything and compares."


def county_page(config: CountyConfig, cron: str | None) -> str:
    """Write the page that the Airflow UI shows beside the DAG; connection ids only, no secrets."""
    guard = config.delete_guard
    return f"""# {_markdown(config.name)} (FIPS {config.fips})

| | |
|---|---|
| Source | connection `{config.source.connection}`, profile `{config.source.profile}` |
| Target | connection `{config.target.connection}` |
| Entities | {", ".join(config.sync.entities)} |
| Schedule | {f"`{cron}` in {config.timezone}" if cron else "by hand only"} |
| Change feed | {"the best that the source allows" if config.sync.enable_cdc else "off: every run compares everything"} |
| Time limit | {config.sync.timeout_minutes} minutes per task; a run that takes longer is listed under missed deadlines |

Nobody reads a row that has not passed its checks. An entity that fails them keeps its last good data; the others are published,
and the run ends failed.

**Deletes.** A run deletes at most {guard.max_rows} rows or {guard.max_percent:g} % of an entity, whichever is more. A larger set is held, and
everything else is published. Decide on a held set in DAG `pacs_{config.county}_approvals`
(Required Actions) or with `pacs approve {config.county}`; until somebody does, those rows stay.
"""  # noqa: E501


def _markdown(name: str) -> str:
    """A name as Markdown that shows it: no link, image or HTML comes of it."""
    return re.sub(r"([\\`*_{}\[\]()<>#+!|&~-])", r"\\\1", name)
