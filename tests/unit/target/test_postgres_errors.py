"""PostgreSQL's errors: what each SQLSTATE becomes, and that DETAIL, CONTEXT and row values get nowhere."""

from __future__ import annotations

import traceback
from types import SimpleNamespace

import psycopg
import pytest
from psycopg import errors

from airflow_provider_pacs.sync.runtime.errors import (
    ConfigError,
    DataError,
    FatalError,
    PacsError,
    RetryableError,
)
from airflow_provider_pacs.sync.target.postgres.errors import BY_STATE, classify, mapped_errors

RETRY = (
    "08000 08003 08006 08007 57P01 57P02 57P03 57014 40001 40P01 40003 53100 53200 53300 25006 55P03 58030"
)
CONFIG = "28000 28P01 3D000 42501 42P01 42703 42883 3F000 0A000"
DATA = "22001 22003 22007 22021 22P02 23502 23503 23505 23514 21000"
FATAL = "42601 XX000 25P02 54000"


def failure(state: str, primary: str, detail: str = "") -> psycopg.Error:
    try:
        kind: type[psycopg.Error] = errors.lookup(state)
    except KeyError:
        kind = type("Unknown", (psycopg.DatabaseError,), {"sqlstate": state})
    shown = f"{primary}\nDETAIL:  {detail}\nCONTEXT:  COPY staging, line 3" if detail else primary

    class WithDiag(kind):  # type: ignore[valid-type,misc]
        diag = SimpleNamespace(message_primary=primary)

    return WithDiag(shown)


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        *((state, RetryableError) for state in RETRY.split()),
        *((state, ConfigError) for state in CONFIG.split()),
        *((state, DataError) for state in DATA.split()),
        *((state, FatalError) for state in FATAL.split()),
    ],
)
def test_a_state_becomes_what_to_do_next(state: str, kind: type[PacsError]) -> None:
    error = failure(state, "something")
    mapped = classify(error, where="db/platform")
    assert type(mapped) is kind
    assert mapped.__cause__ is error
    assert mapped.message.startswith("db/platform: something")


def test_no_state_is_in_two_groups() -> None:
    assert sum(len(group) for group, _ in BY_STATE) == len(
        frozenset().union(*(group for group, _ in BY_STATE))
    )


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("28P01", "PACS-002"),
        ("42P01", "PACS-003"),
        ("42501", "PACS-003"),
        ("3D000", "PACS-006"),
        ("23505", "PACS-004"),
    ],
)
def test_codes(state: str, code: str) -> None:
    assert classify(failure(state, "x")).code == code


@pytest.mark.parametrize(
    ("state", "primary", "detail"),
    [
        ("22P02", 'invalid input syntax for type integer: "Smith"', ""),
        ("22P02", 'invalid input syntax for type integer: "J. "Jack" Smith\n(1)"', ""),
        ("22007", 'invalid input syntax for type date: "Smith', ""),
        (
            "23505",
            'duplicate key value violates unique constraint "owner_pkey"',
            "Key (name)=(Smith) already exists.",
        ),
        ("P0001", "owner 'Smith' is bad", ""),
    ],
)
def test_row_values_get_nowhere(state: str, primary: str, detail: str) -> None:
    with pytest.raises(PacsError) as caught, mapped_errors():
        raise failure(state, primary, detail)
    shown = "".join(traceback.format_exception(caught.value)).split("raise failure", 1)[-1]
    assert "Smith" not in shown
    assert ("owner_pkey" in shown) == (state == "23505")


@pytest.mark.parametrize(
    ("text", "kind", "code"),
    [
        ('connection failed: FATAL:  password authentication failed for user "x"', ConfigError, "PACS-002"),
        ('connection failed: FATAL:  no pg_hba.conf entry for host "1.2.3.4"', ConfigError, "PACS-002"),
        ('connection failed: FATAL:  database "nope" does not exist', ConfigError, "PACS-006"),
        ("connection failed: SSL error: certificate verify failed", ConfigError, "PACS-006"),
        (
            'connection to server at "127.0.0.1", port 1 failed: Connection refused',
            RetryableError,
            "PACS-001",
        ),
        ("[Errno -2] Name or service not known", RetryableError, "PACS-001"),
        ("connection timeout expired", RetryableError, "PACS-001"),
        ("the connection is closed", RetryableError, "PACS-001"),
    ],
)
def test_a_connection_that_fails_has_no_state(text: str, kind: type[PacsError], code: str) -> None:
    mapped = classify(psycopg.OperationalError(text))
    assert (type(mapped), mapped.code) == (kind, code)
    assert mapped.remedy


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:s3cr3t@127.0.0.1:abc/db",
        "host=127.0.0.1 password=s3cr3t nonsense=1",
        "postgresql://u:s3cr3t@h/db?x=1",
        "u:s3cr3t",
    ],
)
def test_a_connection_text_is_never_shown(url: str) -> None:
    with pytest.raises(ConfigError) as caught, mapped_errors():
        psycopg.connect(url)
    assert "s3cr3t" not in str(caught.value) + str(caught.value.__cause__)


def test_a_real_refusal_is_retryable() -> None:
    with pytest.raises(RetryableError), mapped_errors("127.0.0.1:1/db"):
        psycopg.connect("host=127.0.0.1 port=1 dbname=db connect_timeout=3")


def test_only_psycopgs_errors_are_mapped() -> None:
    with pytest.raises(KeyError), mapped_errors():
        raise KeyError("x")
    own = DataError("x")
    assert classify(own) is own
