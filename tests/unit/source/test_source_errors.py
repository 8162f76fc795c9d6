"""SQL Server's errors: every number and SQLSTATE of correctness.md C8 is classified once, as it says; nothing
secret and no row value gets out.
"""

from __future__ import annotations

import subprocess
import sys
import traceback

import arrow_odbc
import pyodbc
import pytest

from airflow_provider_pacs.sync.runtime.errors import (
    ConfigError,
    DataError,
    FatalError,
    PacsError,
    RetryableError,
)
from airflow_provider_pacs.sync.source import errors
from airflow_provider_pacs.sync.source.errors import (
    BY_NUMBER,
    BY_STATE,
    classify,
    mapped_errors,
    read_report,
    scrub,
)

TRANSIENT = """
20, 64, 121, 233, 601, 615, 617, 669, 921, 926, 927, 941, 952, 982, 988, 997, 1203, 1204, 1205, 1221, 1222, 1232, 2816, 3635, 3941, 3947,
3948, 3950, 3953, 3957, 3960, 3961, 3966, 3980, 4184, 4117, 4221, 8628, 8645, 8651, 9515, 10053, 10054, 10060, 10922, 10928, 10929, 10930,
10936, 11001, 14906, 17197, 17889, 18401, 40143, 40189, 40197, 40501, 40540, 40613, 40623, 40642, 40648, 40671, 40675, 40890, 40903, 40918,
41301, 41302, 41305, 41325, 41339, 41383, 41614, 41619, 41640, 41700, 41701, 41823, 41839, 41840, 42029, 42108, 42109, 45153, 45156, 45157,
45161, 45179, 45182, 45319, 45547, 49510, 49802, 49918, 49919, 49920, 49977, 49983, 104, 110, 111, 258, -2
"""
CONFIG = """18456, 18452, 18470, 18486, 18487, 18488, 4064, 207, 208, 229, 230, 262, 297, 300, 313, 916, 22117, 15404, 33009, 4060"""
DATA = "8114, 8115, 245"
TRANSIENT_STATES = "08001 08004 08007 08S01 HYT00 HYT01 40001 40003 IMC06"
CONFIG_STATES = "28000 42000 42S02 42S22 IM002 01000"
DATA_STATES = "22001 22018 23000 23505"


def numbers(text: str) -> list[int]:
    return [int(number) for number in text.replace("\n", " ").split(",")]


def from_pyodbc(state: str, *records: tuple[str, int], kind: type[Exception] = pyodbc.Error) -> Exception:
    parts = [
        f"[{state}] [Microsoft][ODBC Driver 18 for SQL Server][SQL Server]{text} ({number})"
        for text, number in records
    ]
    return kind(state, f"{parts[0]} (SQLExecDirectW)" + "".join(f"; {part}" for part in parts[1:]))


def from_arrow(state: str, text: str, number: int) -> Exception:
    error = arrow_odbc.Error.__new__(arrow_odbc.Error)
    where = "ODBC emitted an error calling 'SQLExecute':\n"
    Exception.__init__(
        error,
        f"{where}State: {state}, Native error: {number}, Message: [Microsoft][ODBC Driver 18 for SQL "
        f"Server][SQL Server]{text}",
    )
    return error


def both(state: str, text: str, number: int) -> list[Exception]:
    return [from_pyodbc(state, (text, number)), from_arrow(state, text, number)]


CASES = [
    *((number, RetryableError) for number in numbers(TRANSIENT)),
    *((number, ConfigError) for number in numbers(CONFIG)),
    *((number, DataError) for number in numbers(DATA)),
]


@pytest.mark.parametrize(("number", "kind"), CASES)
def test_a_listed_number_is_covered_once_and_decides_before_the_state(
    number: int, kind: type[PacsError]
) -> None:
    assert sum(number in group for group, _ in BY_NUMBER) == 1
    for state in ("42000", "HY000", "28000", "40001"):
        for error in both(state, "Something.", number):
            mapped = classify(error)
            assert type(mapped) is kind
            assert mapped.__cause__ is error


def test_no_number_is_in_two_groups() -> None:
    assert sum(len(group) for group, _ in BY_NUMBER) == len(
        frozenset().union(*(group for group, _ in BY_NUMBER))
    )
    assert sum(len(group) for group, _ in BY_STATE) == len(
        frozenset().union(*(group for group, _ in BY_STATE))
    )


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        *((state, RetryableError) for state in TRANSIENT_STATES.split()),
        *((state, ConfigError) for state in CONFIG_STATES.split()),
        *((state, DataError) for state in DATA_STATES.split()),
        ("HY000", FatalError),
    ],
)
def test_a_state_decides_where_no_number_does(state: str, kind: type[PacsError]) -> None:
    for error in both(state, "Something.", 0) + both(state, "Something.", 99999):
        assert type(classify(error)) is kind


@pytest.mark.parametrize(
    ("number", "state", "code"),
    [
        (18456, "28000", "PACS-002"),
        (0, "28000", "PACS-002"),
        (207, "42S22", "PACS-003"),
        (208, "42S02", "PACS-003"),
        (229, "42000", "PACS-003"),
        (1205, "40001", "PACS-001"),
        (4060, "42000", "PACS-006"),
        (245, "22018", "PACS-004"),
        (102, "42000", "PACS-010"),
    ],
)
def test_codes(number: int, state: str, code: str) -> None:
    assert {classify(error).code for error in both(state, "Something.", number)} == {code}


def test_login_to_a_missing_database_is_about_the_database() -> None:
    error = from_pyodbc(
        "28000",
        ("Login failed for user 'reader'.", 18456),
        ('Cannot open database "PAX" requested by the login.', 4060),
    )
    assert read_report(error).numbers == (18456, 4060)
    mapped = classify(error, where="db:1433/PAX")
    assert (type(mapped), mapped.code) == (ConfigError, "PACS-006")
    assert "database" in mapped.remedy


def test_a_number_in_the_text_is_not_a_number_of_the_server() -> None:
    error = from_pyodbc(
        "42S02",
        ("Invalid object name 'dbo.x (1205)'. Process (1205) said so", 208),
        ("Statement(s) could not be prepared.", 8180),
    )
    assert read_report(error).number == 208


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        (
            "SSL Provider: [error:0A000086:SSL routines::certificate verify failed:self-signed certificate]",
            "Trust the CA",
        ),
        (
            "SSL Provider: [error:0A000086:SSL routines::certificate verify failed:certificate has expired]",
            "renewed",
        ),
        (
            "SSL Provider: [error:0A000086:SSL routines::certificate verify failed:subject name does not "
            "match host name]",
            "host_name_in_certificate",
        ),
        (
            "SSL Provider: The certificate chain was issued by an authority that is not trusted.",
            "Trust the CA",
        ),
        ("SSL Provider: [error:0A000102:SSL routines::unsupported protocol]", "TLS version"),
    ],
)
def test_a_certificate_is_not_tried_again(text: str, remedy: str) -> None:
    for error in both("08001", text, -1):
        mapped = classify(error)
        assert type(mapped) is ConfigError
        assert remedy in mapped.remedy


def test_a_connection_that_breaks_in_the_handshake_is_tried_again() -> None:
    for error in both("08S01", "SSL Provider: Error code 0x2746", 10054):
        assert type(classify(error)) is RetryableError


def test_an_unreachable_host_is_tried_again_and_named() -> None:
    for error in both("HYT00", "Login timeout expired", 0) + both(
        "08001", "TCP Provider: Error code 0x2AF9", 11001
    ):
        mapped = classify(error, where="db.benton.local:1433/PACS")
        assert (type(mapped), mapped.code) == (RetryableError, "PACS-001")
        assert "db.benton.local:1433" in mapped.message
        assert "firewall" in mapped.remedy


def test_a_missing_driver_is_named_with_what_to_install() -> None:
    lost = pyodbc.Error(
        "01000",
        "[01000] [unixODBC][Driver Manager]Can't open lib 'ODBC Driver 18 for SQL Server' : file not found "
        "(0) (SQLDriverConnect)",
    )
    assert "'ODBC Driver 18 for SQL Server' is not installed" in classify(lost).message
    unknown = pyodbc.InterfaceError(
        "IM002",
        "[IM002] [unixODBC][Driver Manager]Data source name not found and no default driver specified (0)",
    )
    mapped = classify(unknown, driver="ODBC Driver 17 for SQL Server")
    assert type(mapped) is ConfigError
    assert "ODBC Driver 17 for SQL Server" in mapped.message
    assert "msodbcsql18" in mapped.remedy
    assert type(classify(ImportError("libodbc.so.2: cannot open shared object file"))) is ConfigError


@pytest.mark.parametrize("value", ["John Smith", "O'Brien", 'J. "Jack" Smith', "Smith' and (1205)", "a\nb"])
def test_a_row_value_in_a_message_gets_nowhere(value: str) -> None:
    for error in both(
        "22018", f"Conversion failed when converting the varchar value '{value}' to data type int.", 245
    ):
        with pytest.raises(DataError) as caught, mapped_errors("db/PACS"):
            raise error
        shown = "".join(traceback.format_exception(caught.value))
        assert "Conversion failed when converting the varchar value" in shown
        assert not any(
            word in shown.split("Conversion failed")[-1] for word in ("Smith", "Brien", "Jack", "a\nb")
        )
        assert type(classify(error)) is DataError, "the scrubbed cause still says what it is"


@pytest.mark.parametrize(
    "text",
    [
        "Driver={ODBC};Server=tcp:db;UID={sa};PWD={a}}b;c};Encrypt=yes; is invalid",
        "PWD={a}}b;c} is invalid",
        "pwd = a}b;c",
        "Invalid value in mssql://sa:a}b;c@db/PACS",
        "Password='a}b;c'",
        "AccessToken=a}b;c",
    ],
)
def test_secrets_are_scrubbed(text: str) -> None:
    for error in both("HY000", text, 0):
        shown = "".join(traceback.format_exception(classify(error)))
        assert "a}" not in shown
        assert "a}" not in scrub(text, names=True)


def test_names_stay_where_they_help_and_long_texts_are_cut() -> None:
    assert (
        "'dbo.property_val'"
        in classify(from_pyodbc("42S02", ("Invalid object name 'dbo.property_val'.", 208))).message
    )
    assert len(scrub("x" * 5000, names=True)) == 200


def test_only_the_drivers_errors_are_mapped() -> None:
    with pytest.raises(KeyError), mapped_errors():
        raise KeyError("x")
    own = DataError("x")
    assert classify(own) is own
    with pytest.raises(DataError) as caught, mapped_errors():
        raise own
    assert caught.value is own
    assert type(classify(ValueError("x"))) is FatalError
    assert type(classify(ConnectionResetError())) is RetryableError


def test_importing_the_mapping_imports_no_driver() -> None:
    code = (
        f"import sys, {errors.__name__}; sys.exit(bool({{'pyodbc', 'arrow_odbc', 'pyarrow'}} & "
        "set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
