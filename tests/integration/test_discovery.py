"""A source that nobody has mapped: what a look at it proposes, which lines it marks, and that no value shows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from bad_counties import World, write_county
from bad_counties import trusting as trusting
from bad_counties import without_waiting as without_waiting
from bad_counties import world as world

from airflow_provider_pacs.cli import main
from airflow_provider_pacs.sync.config import CountyConfig, load_county
from airflow_provider_pacs.sync.config.new_county import DOUBT, NewCounty, Proposal
from airflow_provider_pacs.sync.config.new_county import write_county as write_new
from airflow_provider_pacs.sync.preflight.discovery import discover
from airflow_provider_pacs.sync.preflight.preview import HIDDEN, preview
from airflow_provider_pacs.sync.preflight.resolve import resolve_tables
from airflow_provider_pacs.sync.runtime.errors import ConfigError
from tests.support.harris import HarrisPacs
from tests.support.in_process import ADMIN, EngineWriter, InProcessPacs, InProcessReader

GUID = "00000000-0000-0000-0000-0000000000"
SECRET, PHONE, CITY = "Rumpelstilzchen Zz9", "555-0199", "Prosser"
DDL = (
    """CREATE TABLE dbo.tblParcelMaster (ParcelGuid uniqueidentifier NOT NULL PRIMARY KEY, APN varchar(30) NOT NULL,
       SitusAddr varchar(200) NULL, SitusCity varchar(60) NULL, SitusState char(2) NULL, SitusZip varchar(10) NULL,
       TotalAcres decimal(12, 4) NULL, YrBuilt smallint NULL, UpdDate datetime2(3) NULL, ActiveFlag char(1) NULL,
       ZoneCode varchar(10) NULL, Neighborhood int NULL, TaxpayerPhone varchar(20) NULL, Notes varchar(900) NULL,
       RV rowversion NOT NULL)""",
    """CREATE TABLE dbo.Ownership (RowNo int NOT NULL PRIMARY KEY, OwnershipGuid uniqueidentifier NOT NULL,
       ParcelGuid uniqueidentifier NOT NULL, FullName nvarchar(200) NULL, OwnTyp varchar(10) NULL,
       PctOwned decimal(9, 4) NULL, BeginDt date NULL, EndDt date NULL, UpdDate datetime NULL)""",
    """CREATE TABLE dbo.AssessmentRoll (AssessmentID int NOT NULL PRIMARY KEY, ParcelGuid uniqueidentifier NOT NULL,
       RollYear smallint NOT NULL, AssessedVal money NULL, MarketVal money NULL, LandVal money NULL,
       ImprVal money NULL)""",
    "CREATE UNIQUE INDEX UX_Ownership ON dbo.Ownership (OwnershipGuid)",
    "CREATE TABLE dbo.AuditLog (LogID int NOT NULL PRIMARY KEY, Message varchar(400) NULL, At datetime NULL)",
)  # fmt: skip


@pytest.fixture(scope="module")
def odd() -> Iterator[InProcessReader]:
    """A county whose names are its own."""
    engine = InProcessPacs()
    writer = EngineWriter(engine.login(*ADMIN, "PACS", "assessor", "PACS"))
    for table in ("PropertyOwner", "PropertyValue", "Structure", "Property"):
        writer.execute(f"DROP TABLE dbo.[{table}]")
    for statement in DDL:
        writer.execute(statement)
    for number in range(30):
        writer.execute(
            "INSERT INTO dbo.tblParcelMaster (ParcelGuid, APN, SitusAddr, SitusCity, SitusState, TotalAcres, "
            "YrBuilt, UpdDate, ActiveFlag, ZoneCode, Neighborhood, TaxpayerPhone) VALUES "
            f"('{GUID}{number:02d}', 'p-{number}', '{number} Main', '{CITY}', 'WA', 1.5, {number}, "
            f"'2020-01-02 03:04:05', 'Y', 'R{number}', 7, '{PHONE}')"
        )
        writer.execute(
            "INSERT INTO dbo.Ownership (RowNo, OwnershipGuid, ParcelGuid, FullName, OwnTyp, PctOwned, BeginDt) "
            f"VALUES ({number}, '{GUID}{number:02d}', '{GUID}{number:02d}', '{SECRET}', 'T', 0.5, '2020-01-02')"
        )
    with engine.reader() as reader:
        yield reader
    engine.close()


@pytest.fixture(scope="module")
def proposal(odd: InProcessReader) -> Proposal:
    return discover(odd)


def written(proposal: Proposal, folder: Path) -> tuple[Path, CountyConfig]:
    """The county's file as `pacs init` writes it."""
    return write_new(
        NewCounty(
            "odd_wa", "Odd County", "53999", "America/Los_Angeles", "pacs_odd_wa", profile=proposal.profile,
            entities=tuple(table.entity for table in proposal.tables), proposal=proposal,
        ),
        folder,
    )  # fmt: skip


def test_a_county_with_the_profiles_own_names_is_proposed_without_a_doubt() -> None:
    """Every column of the generic profile is recognised, and nothing is marked."""
    engine = InProcessPacs()
    with engine.reader() as reader:
        proposal = discover(reader)
    engine.close()
    assert (proposal.profile, proposal.all_doubts, proposal.absent) == ("generic", (), ())
    from airflow_provider_pacs.sync.profiles import load_tables

    for table in proposal.tables:
        known = load_tables("generic")[table.entity]
        assert (table.table, table.mode) == (known.table, None)
        assert tuple((c.canonical, c.source) for c in table.columns) == known.columns


def test_a_county_with_odd_names_is_recognised(proposal: Proposal) -> None:
    tables = {table.entity: table for table in proposal.tables}
    assert {name: table.table for name, table in tables.items()} == {
        "property": "tblParcelMaster",
        "owner": "Ownership",
        "value": "AssessmentRoll",
    }
    assert proposal.absent == ("structure",)
    columns = {name: {c.canonical: c.source for c in table.columns} for name, table in tables.items()}
    assert columns["property"] == {
        "property_id": "ParcelGuid", "parcel_number": "APN", "address": "SitusAddr", "city": "SitusCity",
        "state": "SitusState", "zip_code": "SitusZip", "legal_description": None, "acreage": "TotalAcres",
        "year_built": "YrBuilt", "last_modified": "UpdDate", "is_active": "ActiveFlag",
    }  # fmt: skip
    assert columns["owner"]["owner_name"] == "FullName"
    assert columns["owner"]["property_id"] == columns["value"]["property_id"] == "ParcelGuid"
    assert columns["value"]["tax_year"] == "RollYear"
    assert {table.entity: table.mode for table in proposal.tables} == {
        "property": None, "owner": None, "value": "compare",
    }  # fmt: skip


def test_what_is_doubtful_is_marked_with_its_reason(proposal: Proposal) -> None:
    doubts = "\n".join(proposal.all_doubts)
    for text in (
        "tables.property.columns.legal_description: no column",
        "tables.property.columns.zip_code: it is empty in all 30 rows",
        "tables.property.columns.year_built: most of its values are no years",
        "tables.owner.columns.owner_id: the primary key is (RowNo)",
        "tables.owner.columns.ownership_percentage: most of its values are at most 1",
        "tables.owner.columns.owner_type: the name is only similar",
        "tables.value.columns.value_id: it is int, and value_id takes uuid",
        "tables.property.extra.taxpayer_phone: it may name or locate a person",
        "no table looks like structure",
    ):
        assert text in doubts
    assert "tables.property.columns.parcel_number" not in doubts
    assert "tables.property.columns.state" not in doubts


def test_the_file_loads_marks_its_doubts_and_holds_no_value(proposal: Proposal, tmp_path: Path) -> None:
    """No value of a row is written, whatever stands in the source."""
    path, config = written(proposal, tmp_path)
    text = path.read_text("utf-8")
    assert load_county(path) == config
    marked = [line for line in text.splitlines() if DOUBT in line and not line.startswith("#")]
    lines = [doubt for doubt in proposal.all_doubts if doubt.startswith("tables.")]
    assert len(marked) == len(lines)
    assert config.tables["property"].columns["legal_description"] is None
    assert config.tables["property"].extra == {"zone_code": "ZoneCode", "neighborhood": "Neighborhood"}
    assert '    #   taxpayer_phone: "TaxpayerPhone"' in text
    for value in (SECRET, PHONE, CITY, "Main", "p-1", "R1"):
        assert value not in text


def test_what_was_proposed_is_read(proposal: Proposal, odd: InProcessReader, tmp_path: Path) -> None:
    """Null for a column that the county lacks is left out of the SELECT; the rest is read as proposed."""
    _, config = written(proposal, tmp_path)
    only = config.model_copy(update={"sync": config.sync.model_copy(update={"entities": ("property",)})})
    choices = resolve_tables(only, odd)
    assert choices["property"].strategy == "rowversion"
    assert "legal_description" not in dict(choices["property"].table.map.columns)
    assert [row.rejected for row in preview(only, odd, "property", rows=3)] == [()] * 3


def test_a_table_whose_key_is_a_number_is_proposed_as_it_will_be_read(tmp_path: Path) -> None:
    """Case D12: a stamp finds no changes where the key is a number; what is proposed is what a run then does."""
    engine = InProcessPacs()
    writer = EngineWriter(engine.login(*ADMIN, "PACS", "assessor", "PACS"))
    for table in ("PropertyOwner", "PropertyValue", "Structure", "Property"):
        writer.execute(f"DROP TABLE dbo.[{table}]")
    writer.execute(
        "CREATE TABLE dbo.tblParcels (PclID int NOT NULL PRIMARY KEY, GeoNo varchar(50) NOT NULL, "
        "SitusAddr varchar(255) NULL, SitusCity varchar(80) NULL, LegalDesc varchar(500) NULL, "
        "ActiveYN bit NOT NULL, Rev rowversion NOT NULL, DtLastChg datetime NOT NULL)"
    )
    writer.execute(
        "CREATE TABLE dbo.tblBldgs (BldgNo int NOT NULL PRIMARY KEY, PclID int NOT NULL, BldgType varchar(20) "
        "NULL, YrBuilt smallint NULL, LivingSqFt int NULL, Beds smallint NULL, Baths decimal(4, 1) NULL, "
        "CondCd varchar(5) NULL, DtLastChg datetime NOT NULL)"
    )
    with engine.reader() as reader:
        proposal = discover(reader)
        choices = resolve_tables(written(proposal, tmp_path)[1], reader)
    engine.close()
    said = {table.entity: table.strategy for table in proposal.tables}
    assert said["property"] == "rowversion column Rev"
    assert said["structure"].startswith("comparing the whole table: its key is a number")
    assert {name: choice.strategy for name, choice in choices.items()} == {
        "property": "joined", "structure": "compare",
    }  # fmt: skip
    assert {choice.table.name for choice in choices.values()} == {"dbo.tblParcels", "dbo.tblBldgs"}
    assert "profile" not in choices["property"].reason
    assert "structure_id takes uuid: a uuid is made of county and number" in "\n".join(proposal.all_doubts)


def test_a_harris_pacs_is_told_from_any_other() -> None:
    engine = HarrisPacs()
    with engine.reader() as reader:
        proposal = discover(reader)
    engine.close()
    assert (proposal.profile, proposal.tables, proposal.all_doubts) == ("harris_pacs_9", (), ())


def test_a_login_that_sees_nothing_says_so(odd: InProcessReader) -> None:
    class Blind:
        address_text = "h/d"

        def query(self, sql: str, params: tuple[object, ...] = ()) -> list[dict[str, object]]:
            return []

    with pytest.raises(ConfigError, match="sees no table in h/d"):
        discover(Blind())  # type: ignore[arg-type]


def test_names_that_would_break_out_of_a_comment_stay_in_it(tmp_path: Path) -> None:
    """A catalog is untrusted input: a name with a line end must not become a setting."""
    from airflow_provider_pacs.sync.config.new_county import ColumnProposal, ExtraProposal, TableProposal

    evil = 'x" # : {target: [connection]} \\n- &a *a !!b'
    table = TableProposal(
        "property", evil, evil, (ColumnProposal("parcel_number", evil, evil),), (ExtraProposal("a", evil, evil),),
        strategy=evil, doubt=evil,
    )  # fmt: skip
    proposal = Proposal("generic", (table,), doubts=(evil,))
    path, config = written(proposal, tmp_path)
    assert config.target.connection == "terrafusion"
    assert config.tables["property"].table == evil
    assert set(yaml.safe_load(path.read_text("utf-8"))) == {
        "county", "fips", "name", "timezone", "source", "target", "sync", "tables",
    }  # fmt: skip


@pytest.mark.usefixtures("trusting", "without_waiting")
def test_init_looks_at_a_source_over_the_wire(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Issue 15: the county's file is proposed from the catalog; the password comes from a file."""
    monkeypatch.delenv("AIRFLOW__PACS__COUNTIES_PATH", raising=False)
    (tmp_path / "url").write_text(world.source.url, "utf-8")
    words = ["init", "benton_wa", "--counties", str(tmp_path / "counties"), "--json"]
    assert main([*words, "--source-url-file", str(tmp_path / "url")]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["profile"] == "generic"
    config = load_county(Path(answer["file"]))
    assert config.tables["owner"].table == "PropertyOwner"
    assert config.sync.entities == ("property", "owner", "structure", "value")
    assert world.source.password not in Path(answer["file"]).read_text("utf-8")


@pytest.mark.usefixtures("trusting", "without_waiting")
def test_preview_shows_extra(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Case F4: what a county carries in `extra` was left out of the preview."""
    columns = {"extra": {"built": "YearBuilt", "owner_note": "City"}}
    folder = write_county(tmp_path, {"tables": {"property": columns}})
    words = ["preview", "benton_wa", "--counties", str(folder), "--source-url", world.source.url, "--json"]
    assert main(words) == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == 10
    cells = [{cell["column"]: cell for cell in row["cells"]} for row in rows]
    assert {each["extra.built"]["source"] for each in cells} == {
        each["year_built"]["source"] for each in cells
    }
    assert all(each["extra.built"]["mapped"] == each["extra.built"]["source"] for each in cells)
    assert {each["extra.owner_note"]["source"] for each in cells} == {HIDDEN}  # its name says so
    assert main([*words, "--personal"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert HIDDEN not in {cell["source"] for row in shown for cell in row["cells"]}


@pytest.mark.usefixtures("trusting", "without_waiting")
def test_a_county_that_never_ran_was_not_seen_before(
    world: World, pg_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Case F6: `check` said "the same database as before" of a county that never ran."""
    folder = write_county(tmp_path, {})
    ends = ["--source-url", world.source.url, "--target-url", pg_url]
    words = ["benton_wa", "--counties", str(folder), *ends]

    def identity() -> str:
        assert main(["check", *words, "--quick", "--json"]) == 0
        findings = {f["id"]: f for f in json.loads(capsys.readouterr().out)["findings"]}
        assert findings["database.identity"]["state"] == "ok"
        return str(findings["database.identity"]["text"])

    assert identity().startswith("Not seen before: PACS on ")  # the target has no schemas yet
    assert main(["migrate", *words[:3], *ends[2:]]) == 0
    capsys.readouterr()
    assert identity().startswith("Not seen before: PACS on ")
    assert main(["sync", *words]) == 0
    capsys.readouterr()
    assert identity().startswith("The same database as before: PACS on ")
