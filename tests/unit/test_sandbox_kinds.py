"""Which county a sandbox serves: profiles and sizes by name, and the demo's county files."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_pacs.sandbox import site
from airflow_provider_pacs.sandbox.commands import run
from airflow_provider_pacs.sandbox.counties.harris import county as harris
from airflow_provider_pacs.sandbox.counties.profiles import KINDS
from airflow_provider_pacs.sandbox.demo import command
from airflow_provider_pacs.sandbox.demo.bring_up import DemoCounty, county_files

COUNTIES = Path(__file__).parents[2] / "dags" / "counties"
HARRIS = DemoCounty("benton_wa", "harris_pacs_9", "tiny")


def test_every_kind_knows_its_sizes_and_says_which_there_are() -> None:
    for kind in KINDS.values():
        assert [kind.check(size) for size in ("tiny", "seed")] == [False, False]
        with pytest.raises(
            ValueError, match=r"unknown sandbox size 'huge': use one of tiny, seed, benton, or properties=N"
        ):
            kind.check("huge")
    assert KINDS["harris_pacs_9"].check("benton"), "277 columns of that many rows have no room in memory"
    with pytest.raises(ValueError, match="from 100 on"):
        KINDS["harris_pacs_9"].check("properties=99")


def test_a_profile_that_the_sandbox_has_no_county_of_is_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(
        site.UsageError, match="no county of profile 'aumentum': use one of generic, harris_pacs_9"
    ):
        site.prepare(tmp_path / "new", profile="aumentum")
    assert not (tmp_path / "new").exists()
    assert (
        run(["serve", "--profile", "harris_pacs_9", "--size", "properties=x", "--dir", str(tmp_path / "new")])
        == 2
    )
    assert "unknown sandbox size 'properties=x'" in capsys.readouterr().err


def test_a_prepared_site_tells_its_database_and_keeps_it_where_told(tmp_path: Path) -> None:
    kept = site.prepare(tmp_path, size="tiny", profile="harris_pacs_9", keep=True)
    assert kept.endpoint("127.0.0.1", 1).url().endswith("/pacs_oltp?encrypt=yes&trust_server_certificate=no")
    kept.engine.con.execute('DELETE FROM "pacs_oltp.dbo"."situs"')
    kept.close()
    again = site.prepare(tmp_path, size="tiny", profile="harris_pacs_9", keep=True)
    assert again.engine.con.execute('SELECT count(*) FROM "pacs_oltp.dbo"."situs"').fetchone() == (0,), (
        "kept rows are not made anew"
    )
    again.close()


def test_a_county_that_has_no_room_in_memory_lives_in_a_file_that_goes_with_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harris, "IN_MEMORY", 250)
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch" / "pacs.duckdb").write_text("left by a killed server", "utf-8")
    made = site.prepare(tmp_path, size="tiny", profile="harris_pacs_9")
    assert (tmp_path / "scratch" / "pacs.duckdb").exists()
    made.close()
    assert not (tmp_path / "scratch").exists()


def test_the_demo_s_county_file_names_the_profile_and_is_else_as_it_is_written(tmp_path: Path) -> None:
    made = county_files(COUNTIES, tmp_path / "counties", (HARRIS,)) / "benton_wa.yaml"
    before, after = (file.read_text("utf-8").splitlines() for file in (COUNTIES / "benton_wa.yaml", made))
    changed = [(old.split()[1], new.split()[1]) for old, new in zip(before, after, strict=True) if old != new]
    assert changed == [("generic", "harris_pacs_9")]
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "benton_wa.yaml").write_text("county: benton_wa\n", "utf-8")
    with pytest.raises(ValueError, match="names 0 profiles"):
        county_files(tmp_path / "bad", tmp_path / "copied", (HARRIS,))


def test_the_demo_asks_the_profile_whether_it_has_the_size(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--profile", "harris_pacs_9", "--size", "properties=300,owners=2"])
    assert "argument --size: unknown sandbox size" in capsys.readouterr().err
