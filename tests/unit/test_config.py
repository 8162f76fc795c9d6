"""County files: both spellings, every default, and every problem at once with file, field and line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from airflow_provider_pacs.sync.config import (
    CountyConfig,
    county_files,
    folder,
    load_county,
    table_maps,
    washington_fips,
)
from airflow_provider_pacs.sync.config.cron import five_field_cron
from airflow_provider_pacs.sync.config.folder import load_counties
from airflow_provider_pacs.sync.config.strict_yaml import MAX_BYTES
from airflow_provider_pacs.sync.runtime.errors import ConfigError

MODEL = Path(__file__).parents[2] / "dags" / "counties" / "benton_wa.yaml"
DESIGN_DOCUMENT = """
benton_wa_sync_schedule:
  pacs_sync:
    cron: "0 2 * * *"
    entities: [property, owner, value, structure]
    batch_size: 100
    enable_cdc: true
    timeout_minutes: 30
"""


def write(folder: Path, text: str, name: str = "benton_wa.yaml") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def problems(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_county(path)
    assert caught.value.code == "PACS-006"
    return caught.value.message.splitlines()


def test_a_column_that_the_county_lacks_is_null(tmp_path: Path) -> None:
    """A county without a legal description had to map some other column to it, or could not be set up."""
    columns = "{legal_description: null, last_modified: null, parcel_number: APN}"
    config = load_county(write(tmp_path, f"tables: {{property: {{columns: {columns}}}}}"))
    table = table_maps(config)["property"]
    mapped = dict(table.columns)
    assert mapped["parcel_number"] == "APN"
    assert not {"legal_description", "last_modified"} & mapped.keys()
    assert table.change_column is None


@pytest.mark.parametrize(("entity", "column"), [("property", "property_id"), ("owner", "property_id")])
def test_a_key_is_never_null(tmp_path: Path, entity: str, column: str) -> None:
    """Reported when the file is read: later it would take the DAGs of every county with it."""
    path = write(tmp_path, f"tables: {{{entity}: {{columns: {{{column}: null}}}}}}")
    (problem,) = problems(path)
    assert f"tables.{entity}.columns.{column}: null, but no row is without it" in problem


def test_the_design_documents_form_loads_unchanged(tmp_path: Path) -> None:
    config = load_county(write(tmp_path, DESIGN_DOCUMENT))
    assert (config.county, config.fips, config.name, config.timezone) == (
        "benton_wa",
        "53005",
        "Benton County, WA",
        "America/Los_Angeles",
    )
    assert (config.source.connection, config.source.profile, config.target.connection) == (
        "pacs_benton_wa",
        "generic",
        "terrafusion",
    )
    assert config.sync.entities == ("property", "owner", "value", "structure")
    assert (
        config.sync.cron,
        config.sync.batch_size,
        config.sync.enable_cdc,
        config.sync.timeout_minutes,
    ) == ("0 2 * * *", 100, True, 30)


def test_one_line_is_a_county_with_every_default(tmp_path: Path) -> None:
    config = load_county(write(tmp_path, "county: yakima_wa", "yakima_wa.yaml"))
    sync = config.sync
    assert config.fips == "53077"
    assert set(sync.entities) == {"property", "owner", "value", "structure"}
    assert (sync.batch_size, sync.timeout_minutes, sync.retries, sync.retry_delay_seconds, sync.pool) == (
        10_000,
        60,
        3,
        30,
        None,
    )
    assert (sync.lag_seconds, sync.overlap_minutes, sync.clock, sync.reconcile_cron) == (
        60,
        75,
        "local",
        "30 4 * * 0",
    )
    assert (config.delete_guard.max_rows, config.delete_guard.max_percent) == (25, 2.0)
    assert (config.tables, config.owner, config.tags) == ({}, "data-engineering", ())


def test_the_county_is_the_files_name(tmp_path: Path) -> None:
    """Case F7: a copy under another name is refused, whichever spelling it uses; the original is not."""
    assert load_county(write(tmp_path, "owner: me", "walla_walla_wa.yaml")).county == "walla_walla_wa"
    for text, field in (("county: walla_walla_wa", "county"), (DESIGN_DOCUMENT, "benton_wa_sync_schedule")):
        (messages,) = problems(write(tmp_path, text, "b_wa.yaml"))
        assert f"{field}: must be the file's name" in messages
    assert list(load_counties(tmp_path).good) == ["walla_walla_wa"]


def test_the_model_county_file_says_what_the_defaults_say(tmp_path: Path) -> None:
    model = load_county(MODEL).model_dump()
    defaults = load_county(
        write(tmp_path, "tags: [washington]\nsync: {entities: [property, owner, value, structure]}")
    ).model_dump()
    assert model == defaults


def test_a_child_without_its_parent_is_allowed(tmp_path: Path) -> None:
    assert load_county(write(tmp_path, "sync: {entities: [owner]}")).sync.entities == ("owner",)


def test_an_empty_section_means_its_defaults(tmp_path: Path) -> None:
    assert load_county(write(tmp_path, "sync:\nsource:\ntables:\n")) == load_county(
        write(tmp_path, "county: benton_wa")
    )


def test_schedules_may_be_switched_off(tmp_path: Path) -> None:
    sync = load_county(write(tmp_path, "sync: {cron: null, reconcile_cron: null}")).sync
    assert (sync.cron, sync.reconcile_cron) == (None, None)


def test_a_table_override(tmp_path: Path) -> None:
    config = load_county(
        write(tmp_path, "tables: {owner: {schema: oa, table: own er, columns: {owner_name: nm}}}")
    )
    table = config.tables["owner"]
    assert (table.schema, table.table, table.change_column, table.columns) == (
        "oa",
        "own er",
        None,
        {"owner_name": "nm"},
    )
    assert config.fingerprint != load_county(write(tmp_path, "county: benton_wa")).fingerprint


def test_every_problem_is_told_at_once_with_field_and_line(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "foo: 1\nsync:\n  cron: 0 25 * * *\n  entities: [property, ownr]\n  batch_size: 0\n  bach_size: 7\n"
        "tables:\n  owner: {tabel: x, columns: {owner_nam: y}, extra: {owner_name: y, Agent: y}}\nfips: "
        "53005\n",
        "ada_id.yaml",
    )
    messages = problems(path)
    assert all(line.startswith(f"{path}: ") for line in messages)
    expected = {
        "timezone: has no default outside Washington": "",
        "foo: unknown key": "(line 1)",
        "sync.cron: '0 25 * * *': '25' is no hour (0-23)": "(line 3)",
        "sync.entities.1: unknown entity 'ownr'; did you mean 'owner'? known: code, exemption, "
        "land, owner, property, sale, sale_property, structure, tax_area, value": "(line 4)",
        "sync.batch_size: Input should be greater than or equal to 1 (got 0)": "(line 5)",
        "sync.bach_size: unknown key; did you mean 'batch_size'?": "(line 6)",
        "tables.owner.tabel: unknown key; did you mean 'table'?": "(line 8)",
        "tables.owner.columns.owner_nam: unknown column; did you mean 'owner_name'?": "(line 8)",
        "tables.owner.extra.owner_name: owner_name is a column of its own: name its source under columns": "(line 8)",
        "tables.owner.extra.Agent: String should match pattern": "(line 8)",
        "fips: Input should be a valid string (got 53005); write it in quotes": "(line 9)",
    }
    assert len(messages) == len(expected)
    for what, line in expected.items():
        assert any(what in line_ and line_.endswith(line) for line_ in messages), (what, messages)


def test_problems_in_the_design_documents_form_name_its_own_fields(tmp_path: Path) -> None:
    messages = problems(write(tmp_path, DESIGN_DOCUMENT.replace("batch_size: 100", "batch_size: 0")))
    assert messages == [
        f"{tmp_path}/benton_wa.yaml: benton_wa_sync_schedule.pacs_sync.batch_size: Input should be greater "
        "than or equal to 1 (got 0) (line 6)"
    ]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "is empty"),
        ("# nothing\n", "is empty"),
        ("- benton_wa\n", "must be a mapping"),
        ("sync: {cron: [\n", "is not valid YAML"),
        ("county: a\n---\ncounty: b\n", "is not valid YAML"),
        ("county: benton_wa\ncounty: yakima_wa\n", "county: is written twice (again in line 2) (line 1)"),
        ("sync:\n  retries: 1\n  retries: 2\n", "sync.retries: is written twice (again in line 3) (line 2)"),
        ("county: Benton\n", "county: String should match pattern"),
        ("county: benton_wa_reconcile\n", "must not end in"),
        (
            "county: ada_id\ntimezone: America/Boise\n",
            "fips: no FIPS code is known for this county: set fips",
        ),
        ("timezone: America/Kennewick\n", "'America/Kennewick' is not an IANA time zone"),
        ("timezone: ../../etc/passwd\n", "is not an IANA time zone"),
        (
            "source: {profile: harris}\n",
            "source.profile: unknown profile 'harris'; did you mean 'harris_pacs_9'?",
        ),
        ("sync: {entities: []}\n", "sync.entities: Tuple should have at least 1 item"),
        ("sync: {entities: [owner, owner]}\n", "sync.entities: named more than once: owner"),
        ("sync: {enable_cdc: 'yes'}\n", "sync.enable_cdc: Input should be a valid boolean"),
        ("sync: {batch_size: 1.5}\n", "sync.batch_size: Input should be a valid integer (got 1.5)"),
        (
            "sync: {overlap_minutes: -1}\n",
            "sync.overlap_minutes: Input should be greater than or equal to 0 (got -1)",
        ),
        ("sync: {clock: server}\n", "sync.clock: Input should be 'local' or 'utc'"),
        ("delete_guard: {max_percent: .nan}\n", "delete_guard.max_percent: Input should be a finite number"),
        (
            "delete_guard: {max_percent: 101}\n",
            "delete_guard.max_percent: Input should be less than or equal to 100",
        ),
        ("tables: {parcel: {table: x}}\n", "tables.parcel: unknown entity 'parcel'"),
        (
            "a_wa_sync_schedule: {pacs_sync: {}}\nb_wa_sync_schedule: {pacs_sync: {}}\n",
            "b_wa_sync_schedule: one file is one county",
        ),
        ("a_wa_sync_schedule: {pacs_sync: {}}\nsync: {}\n", "sync: can't stand beside a_wa_sync_schedule"),
        ("benton_wa_sync_schedule: {pacs_snc: {}}\n", "must hold `pacs_sync:`"),
        ("1: 2\n", "Keys should be strings"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, what: str) -> None:
    messages = problems(write(tmp_path, text))
    assert any(what in line for line in messages), messages


def test_a_text_in_the_wrong_place_is_not_repeated(tmp_path: Path) -> None:
    messages = problems(write(tmp_path, "source: {connection: 'mssql://sa:hunter2@host', password: hunter2}"))
    assert len(messages) == 2
    assert "hunter2" not in "\n".join(messages)


def test_not_utf8_and_missing_are_configuration_errors_too(tmp_path: Path) -> None:
    path = tmp_path / "benton_wa.yaml"
    path.write_bytes("owner: Peña".encode("latin-1"))
    assert "is not UTF-8 text" in problems(path)[0]
    assert "can't be read" in problems(tmp_path / "gone.yaml")[0]


def test_a_byte_order_mark_is_no_problem(tmp_path: Path) -> None:
    path = tmp_path / "benton_wa.yaml"
    path.write_bytes("county: benton_wa".encode("utf-8-sig"))
    assert load_county(path).county == "benton_wa"


BOMB = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))
MERGES = "a0: &a0 {k0: 1}\n" + "".join(
    f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}], k{n}: 1}}\n" for n in range(1, 20)
)
OUT_OF_BOUNDS = {
    "alias bomb": (BOMB, "anchors and aliases"),
    "recursive": ("tags: &t [*t]", "anchors and aliases"),
    "merge bomb": (MERGES, "anchors and aliases"),
    "merge key": ("sync:\n  <<: {retries: 1}\n", "merge keys"),
    "size": ("# x\n" * 20_000, "is larger than 64 KB"),
    "depth": ("tags: " + "[" * 500 + "]" * 500, "levels"),
    "depth in blocks": ("".join(f"{' ' * n}a:\n" for n in range(200)), "levels"),
    "values": ("tags: [" + "a, " * 10_000 + "a]", "more than 5000 values"),
    "one long text": (f"owner: {'x' * 1_001}", "more than 1000 characters"),
    "a long key": (f"? {'x' * 1_001}\n: 1", "more than 1000 characters"),
    "NUL": ('owner: "a\\0b"', "a control character"),
    "escape": ('owner: "a\\eb"', "a control character"),
    "line separator": ('owner: "a\\u2028b"', "a control character"),
    "half a character": ('owner: "a\\ud800b"', "a control character"),
    "text that runs backwards": ('owner: "a\\u202eb"', "a control character"),
    "no character": ('owner: "a\\uffffb"', "a control character"),
    "tag": ("owner: !!binary aGk=", "tags (!) are not allowed"),
    "object": ("a: !!python/object:os.system x", "tags (!) are not allowed"),
    "digits": ("sync: {batch_size: " + "9" * 5_000 + "}", "more than 1000 characters"),
    "timeout": ("sync: {timeout_minutes: 99999999999999}", "sync.timeout_minutes: Input should be less"),
    "hexadecimal": ("sync: {batch_size: -0x" + "F" * 900 + "}", "(got a number out of every range)"),
    "negative": ("sync: {batch_size: -0xFFFFFFFFF}", "sync.batch_size: Input should be greater"),
    "batch": ("sync: {batch_size: 1000001}", "sync.batch_size"),
    "retries": ("sync: {retries: 101}", "sync.retries"),
    "delay": ("sync: {retry_delay_seconds: 86401}", "sync.retry_delay_seconds"),
    "lag": ("sync: {lag_seconds: 4294967296}", "sync.lag_seconds"),
    "overlap": ("sync: {overlap_minutes: 999999999999}", "sync.overlap_minutes"),
    "guard": ("delete_guard: {max_rows: 9223372036854775808}", "delete_guard.max_rows"),
    "guard as a float": ("delete_guard: {max_percent: 1e400}", "delete_guard.max_percent"),
    "tag of 300 characters": (f"tags: [{'t' * 300}]", "tags.0: String should have at most 100 characters"),
    "tag with a line": ('tags: ["a\\nb"]', "tags.0: String should match pattern"),
    "too many tags": (
        f"tags: [{', '.join(f't{n}' for n in range(21))}]",
        "tags: Tuple should have at most 20",
    ),
    "name": (f"name: {'n' * 129}", "name: String should have at most 128 characters"),
    "name of two lines": ('name: "a\\nb"', "name: String should match pattern"),
    "owner": (f"owner: {'n' * 129}", "owner: String should have at most 128 characters"),
    "timezone": (f"timezone: {'x' * 65}", "timezone: String should have at most 64 characters"),
    "cron": (f"sync: {{cron: '{'0,' * 150}0 * * * *'}}", "sync.cron: String should have at most 200"),
    "cron step": ("sync: {cron: '*/99999999999 * * * *'}", "is no minute"),
    "option's count": (
        "source: {profile: harris_pacs_9, options: {years: 4294967296}}",
        "years: must be a whole number from 1 to 100",
    ),
    "option's code with a line": (
        'source: {profile: harris_pacs_9, options: {property_types: ["R\\n"]}}',
        "property_types: must be a list of codes",
    ),
    "option's date": (
        'source: {profile: harris_pacs_9, options: {inactive_sentinels: ["2026-99-99"]}}',
        "inactive_sentinels: must be a list of dates",
    ),
    "option's list": (
        f"source: {{profile: harris_pacs_9, options: {{property_types: [{'R, ' * 201}]}}}}",
        "property_types: must be a list of codes",
    ),
    "target.tls": ("target: {tls: off}", "target.tls: Input should be 'warn' or 'strict'"),
}


@pytest.mark.parametrize("name", OUT_OF_BOUNDS)
def test_what_is_out_of_bounds_is_one_countys_problem(tmp_path: Path, name: str) -> None:
    """Case E5: refused by name, in little time, and the other counties are there."""
    text, what = OUT_OF_BOUNDS[name]
    messages = problems(write(tmp_path, text))
    assert any(what in line for line in messages), messages
    assert max(map(len, messages)) < 1_000
    write(tmp_path, "owner: me", "king_wa.yaml")
    loaded = load_counties(tmp_path)
    assert (list(loaded.good), len(loaded.broken)) == (["king_wa"], 1)


def test_texts_are_bounded_in_characters_and_files_in_bytes(tmp_path: Path) -> None:
    """Case E5: a name of 128 characters is one, however many bytes they take; a file's bytes are what is read."""
    assert load_county(write(tmp_path, f"name: {'😀' * 128}")).name == "😀" * 128
    problems(write(tmp_path, f"name: {'😀' * 129}"))
    fill = MAX_BYTES - len("owner: me\n#\n")
    load_county(write(tmp_path, f"owner: me\n#{'x' * fill}\n"))
    (message,) = problems(write(tmp_path, f"owner: me\n#{'x' * (fill + 1)}\n"))
    assert "larger than 64 KB" in message
    (message,) = problems(write(tmp_path, f"owner: me\n#{'é' * (fill // 2 + 1)}\n"))
    assert "larger than 64 KB" in message


@pytest.mark.parametrize(
    ("promote", "what"),
    [
        ("{zone: text}", "promote.zone: is not under extra"),
        (
            "{lot: text}",
            "promote.lot: is not under extra: name its source there, then its type here; did you mean 'lots'",
        ),
        ("{lots: money}", "promote.lots: Input should be 'text', 'numeric'"),
        ("{lots: json}", "promote.lots: Input should be 'text', 'numeric'"),
        ('{"lots; DROP TABLE": text}', "String should match pattern"),
        ("{county_id: text}", "county_id is a name of the table's own"),
        ("[lots]", "promote: Input should be a valid dictionary"),
    ],
)
def test_what_can_not_be_promoted(tmp_path: Path, promote: str, what: str) -> None:
    text = f"tables: {{property: {{extra: {{lots: Lots, county_id: X}}, promote: {promote}}}}}"
    assert any(what in line for line in problems(write(tmp_path, text)))


def test_one_county_does_not_fill_every_countys_table(tmp_path: Path) -> None:
    """Case E5: the columns that a file promotes are added to the table of all counties."""
    names = [f"c{number}" for number in range(21)]
    extra, promote = (", ".join(f"{name}: {kind}" for name in names) for kind in ("X", "text"))
    text = f"tables: {{property: {{extra: {{{extra}}}, promote: {{{promote}}}}}}}"
    assert any(
        "promote: Dictionary should have at most 20 items" in line for line in problems(write(tmp_path, text))
    )


def test_what_is_promoted(tmp_path: Path) -> None:
    text = "tables: {property: {extra: {lots: Lots, zone: Z}, promote: {lots: integer}}}"
    config = load_county(write(tmp_path, text))
    assert config.tables["property"].promote == {"lots": "integer"}


@pytest.mark.parametrize("text", ["name: 2001-99-99", 'name: "hunter2', "name: hunter2: x", "name: [hunter2"])
def test_no_value_of_a_file_is_quoted_in_a_parse_error(tmp_path: Path, text: str) -> None:
    """A password that stands in the wrong place reaches neither the banner nor the page."""
    (message,) = problems(write(tmp_path, text))
    assert "is not valid YAML" in message
    assert "hunter2" not in message
    assert "2001" not in message


def test_nothing_is_made_of_a_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Case E5: an alias is refused while the file is read, before a single value is built."""
    monkeypatch.setattr(yaml.SafeLoader, "get_single_node", lambda loader: pytest.fail("built"))
    for text in (BOMB, MERGES, "tags: [" + "a, " * 10_000 + "a]"):
        problems(write(tmp_path, text))


def test_a_file_of_many_problems_names_the_first_fifty(tmp_path: Path) -> None:
    messages = problems(write(tmp_path, "".join(f"k{n}: 1\n" for n in range(500))))
    assert len(messages) == 51
    assert messages[-1].endswith("and 450 more")


def test_what_nobody_thought_of_is_one_countys_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case E5: an error of any kind while a file is loaded is that file's."""
    load = folder.load_county
    monkeypatch.setattr(folder, "load_county", lambda file: 1 / 0 if file.stem == "benton_wa" else load(file))
    write(tmp_path, "owner: me")
    write(tmp_path, "owner: me", "king_wa.yaml")
    loaded = load_counties(tmp_path)
    assert list(loaded.good) == ["king_wa"]
    assert "ZeroDivisionError" in loaded.broken[0].message
    assert loaded.reasons == {"benton_wa": loaded.broken[0]}


def test_a_fips_code_is_one_countys(tmp_path: Path) -> None:
    """Case E6: two files with one code are both refused; a third county is not."""
    write(tmp_path, 'fips: "53005"')
    write(tmp_path, 'fips: "53005"\ntimezone: America/Boise', "ada_id.yaml")
    write(tmp_path, "owner: me", "king_wa.yaml")
    loaded = load_counties(tmp_path)
    assert list(loaded.good) == ["king_wa"]
    (messages,) = loaded.broken
    assert "ada_id.yaml" in messages.message
    assert "benton_wa.yaml" in messages.message
    assert "'53005' is claimed by 2 counties" in messages.message
    assert loaded.reasons == {"ada_id": messages, "benton_wa": messages}


def test_a_configuration_is_frozen_and_its_fingerprint_stable(tmp_path: Path) -> None:
    config = load_county(write(tmp_path, DESIGN_DOCUMENT))
    with pytest.raises(ValidationError):
        config.owner = "x"  # type: ignore[misc]
    again = CountyConfig.model_validate(yaml.safe_load(yaml.safe_dump(config.model_dump(mode="json"))))
    assert again == config
    assert again.fingerprint == config.fingerprint
    assert len(config.fingerprint) == 64
    assert (
        load_county(write(tmp_path, DESIGN_DOCUMENT.replace("100", "101"))).fingerprint != config.fingerprint
    )


def test_county_files_are_sorted_and_hidden_ones_left_alone(tmp_path: Path) -> None:
    for name in ("b.yml", "a.yaml", ".hidden.yaml", "notes.txt"):
        write(tmp_path, "x", name)
    (tmp_path / "folder.yaml").mkdir()
    assert [file.name for file in county_files(tmp_path)] == ["a.yaml", "b.yml"]
    assert county_files(tmp_path / "a.yaml") == [tmp_path / "a.yaml"]
    with pytest.raises(ConfigError, match=r"no such folder"):
        county_files(tmp_path / "gone")


def test_a_broken_file_hides_no_other_and_a_county_has_one_file(tmp_path: Path) -> None:
    write(tmp_path, "county: benton_wa", "benton_wa.yaml")
    write(tmp_path, "county: benton_wa", "benton_wa.yml")
    write(tmp_path, "sync: {batch_size: 0}", "yakima_wa.yaml")
    write(tmp_path, "owner: me", "king_wa.yaml")
    loaded = load_counties(tmp_path)
    assert list(loaded.good) == ["king_wa"]
    assert len(loaded.broken) == 2
    messages = "\n".join(error.message for error in loaded.broken)
    assert (
        f"{tmp_path}/benton_wa.yaml, {tmp_path}/benton_wa.yml: county: 'benton_wa' is claimed by 2 files"
        in messages
    )
    assert "yakima_wa.yaml: sync.batch_size" in messages
    assert set(loaded.reasons) == {"benton_wa", "yakima_wa"}


@pytest.mark.parametrize(
    "cron", ["0 2 * * *", "*/15 6-18 * * MON-FRI", "0,30 0 1 jan,jul 7", "0  2 * *   sun"]
)
def test_crons_that_are_accepted(cron: str) -> None:
    assert five_field_cron(cron) == " ".join(cron.split())


@pytest.mark.parametrize(
    "cron",
    [
        "@daily",
        "0 2 * *",
        "0 0 2 * * *",
        "60 * * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 8",
        "*/0 * * * *",
        "1--2 * * * *",
        "² * * * *",
    ],
)
def test_crons_that_are_refused(cron: str) -> None:
    with pytest.raises(ValueError, match=r"fields|is no "):
        five_field_cron(cron)


def test_washingtons_39_counties() -> None:
    codes = washington_fips()
    assert len(codes) == len(set(codes.values())) == 39
    assert sorted(codes.values()) == [f"53{number:03d}" for number in range(1, 78, 2)]
    assert (codes["king_wa"], codes["pend_oreille_wa"]) == ("53033", "53051")


def test_the_engine_reads_counties_without_airflow() -> None:
    code = "import sys; sys.modules['airflow'] = None; import airflow_provider_pacs.sync.config.folder"
    subprocess.run([sys.executable, "-c", code], check=True)
