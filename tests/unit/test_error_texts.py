"""What of an error's text leaves the process: the page, Airflow's banner and form, the task's log, the journal.

A message of ours holds no credential, whatever got into it; of a foreign error only the class and the place are
shown.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from airflow_provider_pacs import dag_builder
from airflow_provider_pacs.hooks.pacs import PacsHook
from airflow_provider_pacs.monitor import targets
from airflow_provider_pacs.monitor.app import make_app
from airflow_provider_pacs.monitor.presenters import target_line
from airflow_provider_pacs.sync.config import CountyConfig, folder
from airflow_provider_pacs.sync.runtime.errors import ConfigError, PacsError, RetryableError
from airflow_provider_pacs.sync.runtime.secrets import describe_foreign, mask_credentials
from airflow_provider_pacs.sync.source.errors import scrub as scrub_source
from airflow_provider_pacs.sync.steps.failures import fail_run_on_error
from airflow_provider_pacs.sync.target.postgres.errors import scrub as scrub_target

PACKAGE = Path(dag_builder.__file__).parent
SECRET = "hunter2"
CREDENTIALS = (
    "postgresql://sync:hunter2@db.county.gov:5432/platform can't be read",
    "mssql://sync:a/b@hunter2@db/pacs",
    "mssql://sync:p w?hunter2@db/pacs",
    "connection failed: host=db password=hunter2 dbname=d",
    "password = 'hunter2 \\' and more'",
    "DRIVER={ODBC Driver 18 for SQL Server};SERVER=db;UID=sync;PWD={hunter2};Encrypt=yes",
    "AccessToken=hunter2;x",
    'could not translate host name "hunter2@db" to address',
)
ROW = "Could not convert 'SMITH, JOHN' with type str: tried to convert to int64"


@pytest.mark.parametrize("text", CREDENTIALS)
def test_no_message_of_ours_holds_a_credential(text: str) -> None:
    error = ConfigError(f"benton_wa: {text}", remedy="write postgresql://user:password@host:5432/database")
    assert SECRET not in f"{error} {error.message} {error!r} {error.args}"
    assert "benton_wa" in str(error)
    assert "user:password@host" in str(error)  # what we tell people to write stays
    assert SECRET not in mask_credentials(text)


@pytest.mark.parametrize("text", CREDENTIALS)
@pytest.mark.parametrize("scrub", [scrub_source, scrub_target])
@pytest.mark.parametrize("names", [True, False])
def test_both_ends_drivers_are_masked_alike(text: str, scrub: Any, names: bool) -> None:
    assert SECRET not in scrub(text, names=names)


@pytest.mark.parametrize(
    "text",
    [
        "Violation of PRIMARY KEY constraint 'PK'. Cannot insert duplicate key in object 'dbo.t'. The duplicate key "
        "value is (SMITH).",
        "Arithmetic overflow error for type int, value = 5551234000.000000.",
        "Conversion failed when converting the varchar value 'SMITH' to data type int.",
        "String or binary data would be truncated in table 'a', column 'b'. Truncated value: 'SMITH'.",
        "Truncated value: SMITH",
    ],
)
def test_a_value_of_sql_server_is_cut_with_or_without_quotes(text: str) -> None:
    shown = scrub_source(text, names=False)
    assert "SMITH" not in shown
    assert "5551234000" not in shown


def test_of_a_foreign_error_class_and_place_are_shown() -> None:
    with pytest.raises(AttributeError) as caught:
        folder.load_counties(7)  # type: ignore[arg-type]
    assert describe_foreign(caught.value).startswith("AttributeError at sync/config/")
    assert describe_foreign(ValueError(ROW)) == "ValueError"


def fails(*_: Any, **__: Any) -> Any:
    raise ValueError(f"{ROW} {CREDENTIALS[0]}")


@pytest.fixture
def circuit(monkeypatch: pytest.MonkeyPatch) -> CountyConfig:
    monkeypatch.setattr(targets, "_circuits", {})
    monkeypatch.setattr(targets, "DEADLINE_SECONDS", 60.0)  # a slow machine changes no answer
    return CountyConfig.model_validate({"county": "benton_wa", "target": {"connection": "t"}})


@pytest.mark.parametrize("place", ["target_params", "_stored", "OpsReader.__init__"])
def test_a_target_that_fails_in_no_foreseen_way_shows_the_page_its_class(
    place: str, circuit: CountyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An extra that is no JSON, a port that is no number, a journal that holds what no version wrote."""
    for name, stand_in in (("target_params", lambda _: {}), ("_stored", lambda _: None)):
        monkeypatch.setattr(targets, name, stand_in)
    owner, _, name = place.rpartition(".")
    monkeypatch.setattr(getattr(targets, owner) if owner else targets, name, fails)
    with pytest.raises(PacsError) as caught:
        targets.ask(circuit, lambda reader: reader)
    shown = f"{caught.value} {caught.value.__cause__!r}"
    assert "ValueError" in shown
    assert "SMITH" not in shown
    assert SECRET not in shown
    asked, _ = targets.ask_each([circuit], lambda reader, ids: ids)["t"]
    line = target_line(asked, 1).model_dump_json()
    assert "ValueError" in line
    assert "SMITH" not in line
    assert targets._circuits["t"].busy == 0


def test_a_number_in_the_connections_place_shows_the_page_no_text(
    circuit: CountyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same through a real connection: `connect_timeout` holds a password that slipped there."""
    monkeypatch.setenv(
        "AIRFLOW_CONN_T",
        '{"conn_type": "postgres", "host": "/nowhere", "extra": {"connect_timeout": "hunter2"}}',
    )
    with pytest.raises(PacsError, match="ValueError at") as caught:
        targets.ask(circuit, lambda reader: reader)
    assert SECRET not in str(caught.value)


def test_the_api_answers_with_a_masked_text() -> None:
    app = make_app()
    app.dependency_overrides = {dependency.dependency: lambda: None for dependency in app.router.dependencies}

    def broken() -> None:
        raise RetryableError(f"t: {CREDENTIALS[0]}")

    app.router.add_api_route("/api/broken", broken)
    answer = TestClient(app).get("/api/broken")
    assert answer.status_code == 503
    assert SECRET not in answer.text


def test_airflows_form_shows_no_foreign_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PacsHook, "check_connection", fails)
    works, shown = PacsHook().test_connection()
    assert not works
    assert shown.startswith("ValueError")
    assert "SMITH" not in shown


def test_a_file_that_fails_in_no_foreseen_way_shows_no_foreign_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither while it is loaded nor while its DAGs are built, and not in the DAG processor's log either."""
    (tmp_path / "benton_wa.yaml").write_text("owner: me\n", "utf-8")
    monkeypatch.setattr(dag_builder, "sync_dag", fails)
    with pytest.raises(ConfigError, match="benton_wa: its DAGs can't be built: ValueError") as built:
        dag_builder.raise_broken_counties(tmp_path)
    assert dag_builder.build_county_dags(tmp_path) == {}
    monkeypatch.setattr(folder, "load_county", fails)
    (loaded,) = folder.load_counties(tmp_path).broken
    assert "can't be loaded: ValueError" in loaded.message
    for shown in (str(built.value), str(loaded), caplog.text):
        assert "SMITH" not in shown
        assert SECRET not in shown


def test_the_journal_keeps_no_foreign_text() -> None:
    class Runs:
        said = ""

        def end(self, run_id: str, message: str) -> None:
            self.said = message

    class Journal:
        runs = Runs()

    journal: Any = Journal()
    with pytest.raises(ValueError, match="SMITH"), fail_run_on_error(journal, "r"):
        fails()
    assert journal.runs.said.startswith("ValueError")
    assert "SMITH" not in journal.runs.said


FOREIGN = {"Exception", "BaseException"}


def quoted(handler: ast.ExceptHandler) -> Iterator[int]:
    """Lines in which a handler makes a text of the error that it caught, or logs it."""
    for node in ast.walk(handler):
        if isinstance(node, ast.FormattedValue) and getattr(node.value, "id", None) == handler.name:
            yield node.lineno
        if isinstance(node, ast.Call):
            called = getattr(node.func, "id", getattr(node.func, "attr", ""))
            named = any(getattr(argument, "id", None) == handler.name for argument in node.args)
            if (
                called in ("str", "repr", "info", "warning", "error", "debug") and named
            ) or called == "exception":
                yield node.lineno


def test_no_handler_of_every_error_quotes_one() -> None:
    """The kind: who catches `Exception` has caught somebody else's error, and shows none of its text."""
    quoting, handlers = [], 0
    for file in sorted(PACKAGE.rglob("*.py")):
        if file.is_relative_to(PACKAGE / "sandbox"):
            continue
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ExceptHandler) and node.type is not None:
                caught = {getattr(part, "id", "") for part in ast.walk(node.type)}
                handlers += bool(caught & FOREIGN)
                quoting += [f"{file}:{line}" for line in quoted(node) if caught & FOREIGN]
    assert handlers > 8
    assert quoting == []
