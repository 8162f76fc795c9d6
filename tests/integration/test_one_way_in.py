"""One way in: no code but the publisher's writes rows of schema `pacs`, and in the database every such write of
every kind of run belongs to a publish transaction (docs/adr/0008-one-way-in.md).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_pacs.sync import steps
from airflow_provider_pacs.sync.records import Backfill
from tests.integration.conftest import CountyMaker
from tests.support.county import County, key, of
from tests.support.server import only_the_sandbox

PACKAGE = Path(__file__).parents[2] / "airflow_provider_pacs"
PUBLISHER = {f"sync/target/postgres/{name}.py" for name in ("apply", "publisher", "restore")}
_WRITE = re.compile(
    r"\b(?:INSERT\s+INTO|UPDATE(?!\s+SET\b)|DELETE\s+FROM|MERGE\s+INTO|TRUNCATE(?:\s+TABLE)?|COPY|"
    r"CREATE\s+(?:UNLOGGED\s+)?TABLE(?:\s+IF\s+NOT\s+EXISTS)?)\s+(?:ONLY\s+)?"
    r"(?P<place>\{\w*\}|\"?\w+\"?\.\S+|$)"
)
"""A statement that writes rows, and its place: a placeholder, a qualified name, or what follows the string.

A bare name is a temporary table: schema `pacs` is on nobody's search path.
"""
_PUBLISHED = re.compile(r'^"?pacs(_part)?"?\.')


class _Writes(ast.NodeVisitor):
    """(line, place) of each write of a module, placeholders resolved to the expression that fills them."""

    def __init__(self) -> None:
        self.writes: list[tuple[int, str]] = []
        self._assigned: list[dict[str, str]] = [{}]
        self._seen: set[int] = set()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._assigned.append(
            {
                target.id: ast.unparse(each.value)
                for each in ast.walk(node)
                if isinstance(each, ast.Assign)
                for target in each.targets
                if isinstance(target, ast.Name)
            }
        )
        self.generic_visit(node)
        self._assigned.pop()

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # a docstring
            self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Attribute) and node.func.attr == "format":
            named = {word.arg: ast.unparse(word.value) for word in node.keywords if word.arg}
            for word in node.keywords:
                if word.arg is None:
                    named |= self._entries(ast.unparse(word.value))
            for text in self._texts(node.func.value):
                self._seen.add(id(text))
                self._note(text, [ast.unparse(value) for value in node.args], named)
        self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        text, parts = "", []
        for value in node.values:
            if isinstance(value, ast.FormattedValue):
                parts.append(ast.unparse(value.value))
                text += "{}"
            elif isinstance(value, ast.Constant):
                self._seen.add(id(value))
                text += str(value.value).replace("{}", "()")
        self._note(ast.copy_location(ast.Constant(text), node), parts, {})

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str) and id(node) not in self._seen:
            self._note(node, [], {})

    def _entries(self, name: str) -> dict[str, str]:
        """The entries of a dict literal that was assigned to a name, or that stands there itself."""
        made = ast.parse(self._assigned[-1].get(name, name), mode="eval").body
        if not isinstance(made, ast.Dict):
            return {}
        pairs = zip(made.keys, made.values, strict=True)
        return {str(key.value): ast.unparse(value) for key, value in pairs if isinstance(key, ast.Constant)}

    def _texts(self, node: ast.AST) -> Iterator[ast.Constant]:
        for each in ast.walk(node):
            if isinstance(each, ast.Constant) and isinstance(each.value, str):
                yield each

    def _note(self, node: ast.Constant, unnamed: list[str], named: dict[str, str]) -> None:
        text = str(node.value)
        for match in _WRITE.finditer(text):
            place = match["place"]
            if place.startswith("{"):
                number = text[: match.start("place")].count("{}")
                place = named.get(place[1:-1], place) if place != "{}" else [*unnamed, "?"][number]
                place = self._assigned[-1].get(place, place)
            self.writes.append((node.lineno, place))


def writes(text: str) -> list[tuple[int, str]]:
    """The writes of a module's text."""
    visitor = _Writes()
    visitor.visit(ast.parse(text))
    return visitor.writes


def may_publish(place: str) -> bool:
    """Whether a place may be a table of schema `pacs`: all but the journal's and staging tables may."""
    if place.startswith("pacs_ops."):
        return False
    return not re.match(r"^(stage\(|[\w.]*\bstage\b|sql\.Identifier\((OPS|STAGE|'pacs_ops'))", place)


PLANTED = [
    'sql.SQL("UPDATE {} SET a = 1").format(partition(entity, county))',
    'def f():\n    t = partition(entity, county)\n    x = sql.SQL("DELETE FROM {t} AS a WHERE {c}").format(c=1, t=t)',
    'execute("DELETE FROM pacs.property")',
    'execute(f"INSERT INTO pacs_part.{name} VALUES (1)")',
    'execute(f"COPY {table} FROM STDIN")',
    'sql.SQL("MERGE INTO {l} AS l USING {s} AS s").format(l=partition(e, c), s=stage(t))',
    'execute("TRUNCATE " + name)',
    'execute("INSERT INTO pacs.value_history SELECT 1")',
]


@pytest.mark.parametrize("text", PLANTED)
def test_a_planted_write_is_noticed(text: str) -> None:
    """The search itself must not fall silent."""
    assert any(may_publish(place) for _, place in writes(text))


def test_only_the_publisher_has_statements_that_write_published_rows() -> None:
    """Rows of schema `pacs` come in one way; elsewhere only the journal and staging tables are written."""
    strangers, published = set(), set()
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if name.startswith("sandbox/"):
            continue
        for line, place in writes(path.read_text("utf-8")):
            if may_publish(place):
                (published if name in PUBLISHER else strangers).add((name, line, place))
    allowed = {(name, place) for name, _, place in strangers} & NO_ROWS
    assert {(name, place) for name, _, place in strangers} - allowed == set(), sorted(strangers)
    assert allowed == NO_ROWS, "the list of exceptions names what is no longer there"
    assert {name for name, _, _ in published} == {
        f"sync/target/postgres/{name}.py" for name in ("apply", "restore")
    }
    assert len(published) >= 5, "insert, update, tombstone, first load, redaction"


NO_ROWS = {("sync/target/postgres/ddl.py", "root(entity)")}
"""(file, place) of statements that write no row: the roots are made empty."""


def test_no_migration_writes_published_rows() -> None:
    """An upgrade changes columns; values come from the source."""
    for path in sorted(PACKAGE.rglob("migrations/*.sql")):
        for match in _WRITE.finditer(path.read_text("utf-8")):
            made = match[0].startswith("CREATE")
            assert made or not _PUBLISHED.match(match["place"]), f"{path.name}: {match[0]}"


_WATCH = """
CREATE SCHEMA IF NOT EXISTS watch;
CREATE TABLE IF NOT EXISTS watch.written (xid xid8, what text, place text, statement text);
CREATE TABLE IF NOT EXISTS watch.journal (xid xid8, action text, run_id uuid);
GRANT USAGE ON SCHEMA watch TO PUBLIC;
GRANT INSERT ON ALL TABLES IN SCHEMA watch TO PUBLIC;
CREATE OR REPLACE FUNCTION watch.note_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO watch.written
  VALUES (pg_current_xact_id(), TG_OP, TG_TABLE_SCHEMA || '.' || TG_TABLE_NAME, current_query());
  RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION watch.note_action() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO watch.journal VALUES (pg_current_xact_id(), NEW.action, NEW.run_id);
  RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION watch.note_table() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO watch.written SELECT pg_current_xact_id(), command_tag, object_identity, current_query()
  FROM pg_event_trigger_ddl_commands() WHERE schema_name = 'pacs_part' AND command_tag LIKE 'CREATE TABLE%';
END $$;
DROP EVENT TRIGGER IF EXISTS watch_tables;
CREATE EVENT TRIGGER watch_tables ON ddl_command_end EXECUTE FUNCTION watch.note_table();
CREATE OR REPLACE TRIGGER watch_actions AFTER INSERT ON pacs_ops.audit
  FOR EACH ROW EXECUTE FUNCTION watch.note_action();
CREATE OR REPLACE TRIGGER watch_rows AFTER INSERT OR UPDATE OR DELETE ON pacs.property
  FOR EACH ROW EXECUTE FUNCTION watch.note_row();
CREATE OR REPLACE TRIGGER watch_rows AFTER INSERT OR UPDATE OR DELETE ON pacs.owner
  FOR EACH ROW EXECUTE FUNCTION watch.note_row();
"""
"""Row triggers on the roots are cloned to a partition when it is attached; before that a partition is filled by
CREATE TABLE AS, which the event trigger sees.
"""
_WRITTEN = """
SELECT w.xid::text AS xid, w.what, w.place, w.statement, r.kind
FROM watch.written AS w
LEFT JOIN watch.journal AS j ON j.xid = w.xid AND j.action = 'run.publish'
LEFT JOIN pacs_ops.sync_run AS r ON r.run_id = j.run_id
"""


@pytest.fixture
def county_(make_county: CountyMaker) -> Iterator[County]:
    """A county whose platform notes every written row with its transaction."""
    only_the_sandbox("one run after another with a clock that a test moves")
    county = make_county(("property", "owner"), sections={"delete_guard": {"max_rows": 5, "max_percent": 0}})
    county.target.migrate()
    county.target.connection.execute(_WATCH)
    county.sql("TRUNCATE watch.written, watch.journal")
    yield county
    county.sql("DROP EVENT TRIGGER watch_tables")


def test_every_write_belongs_to_a_publish_transaction(county_: County) -> None:
    """Sync, reconcile, backfill and an approval all write; each written row's transaction is one that published a
    run. Somebody else's write is noticed, so the watch itself works.
    """
    county = county_
    county.add("property", *range(1, 31))
    county.add("owner", *range(1, 31))
    county.sync()
    county.clock.step(hours=1)
    county.change("property", 1, City="Finley")
    county.remove("property", 30)
    county.add("property", 31)
    county.clock.step(hours=1)
    assert county.sync()[1].clean

    county.change("property", 2, at=None, City="Benton City")
    outcome, certificate = county.reconciled()
    assert (of(outcome, "property").updated, certificate.clean) == (1, True)

    county.change("property", 3, at=county.stamp(days=20), City="Kiona")
    window = Backfill("property", county.stamp(days=30), county.stamp(days=10))
    outcome, _ = steps.backfill(county.config, county.source, county.target, window=window)
    assert of(outcome, "property").updated == 1

    county.remove("owner", *range(1, 21))
    assert county.sync()[1].state == "pending"
    (pending,) = steps.pending_deletes(county.config, county.target)
    (decision,) = steps.approve(
        county.config,
        county.source,
        county.target,
        sets=[(pending.pending_id, pending.digest)],
        actor="an assessor",
        trigger="test",
    )
    assert decision.deleted == 20

    written = county.sql(_WRITTEN)
    assert {row["statement"] for row in written if row["kind"] is None} == set()
    assert {row["kind"] for row in written} == {"sync", "reconcile", "backfill", "approval"}
    assert {row["what"] for row in written} == {"CREATE TABLE AS", "INSERT", "UPDATE"}, (
        "nothing is ever deleted"
    )

    stranger = f"UPDATE {county.partition('property')} SET city = 'elsewhere' WHERE property_id = %s"
    county.sql(stranger, key("property", 4))
    (row,) = [row for row in county.sql(_WRITTEN) if row["kind"] is None]
    assert row["what"] == "UPDATE"
    assert county.reconcile().clean
