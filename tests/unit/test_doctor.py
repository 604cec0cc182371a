"""The doctor: every broken part is named in one sentence that says what to do."""

import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from pipelines import doctor, night, settings
from tests import driver
from tests.hand import world


@pytest.fixture(scope="module")
def well(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("well")
    world.write(data / "landing")
    (data / "landing" / "gateway").mkdir(exist_ok=True)
    (data / "landing" / "gateway" / "odd.csv").write_text("a,b\n1,2\n", "utf-8")
    driver.run(data, now=night.utc_now())
    (data / "dagster").mkdir()
    return data


@pytest.fixture
def data(well: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(well, tmp_path / "data", symlinks=True)
    monkeypatch.setenv("CLOUDBOUND_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    return tmp_path / "data"


def found(part: str) -> doctor.Finding:
    return next(f for f in doctor.examine() if f.part == part)


def test_nothing_is_wrong_after_a_night(data: Path) -> None:
    findings = doctor.examine()
    assert [f for f in findings if f.status == "wrong"] == []
    assert doctor.is_well(findings)
    assert [f.part for f in findings] == [
        "python", "cores", "memory", "disk", "reference", "landing", "lake", "build", "published",
        "dagster",
    ]  # fmt: skip
    assert found("published").status == "ok"
    for finding in findings:
        assert finding.said.endswith(".") and "\n" not in finding.said


def test_an_empty_folder_says_how_to_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUDBOUND_DATA", str(tmp_path / "none"))
    assert "cloudbound ingest" in found("landing").said
    assert found("published").status == "wrong"
    assert not doctor.is_well(doctor.examine())


def _garbage(file: Path) -> None:
    file.unlink()
    file.write_bytes(b"not a database" * 1000)


def test_a_damaged_published_file(data: Path) -> None:
    _garbage(data / "cloudbound.duckdb")
    assert found("published").status == "wrong"
    assert "run cloudbound nightly" in found("published").said


def test_a_damaged_build_file(data: Path) -> None:
    _garbage(data / "build.duckdb")
    assert found("build").status == "wrong"
    assert "delete it" in found("build").said


def test_a_build_file_that_a_night_holds(data: Path) -> None:
    hold = (
        "import duckdb, sys, time; con = duckdb.connect(sys.argv[1]); print('held', flush=True); "
        "time.sleep(60)"
    )
    command = [sys.executable, "-c", hold, str(data / "build.duckdb")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None and holder.stdout.readline() == "held\n"
            assert found("build").status == "warn"
            assert "at work" in found("build").said
        finally:
            holder.kill()


def test_a_hole_in_the_lake(data: Path) -> None:
    next((data / "lake" / "requests").rglob("*.parquet")).unlink()
    assert found("lake").status == "wrong"
    assert "1 files of the lake are gone" in found("lake").said


def test_a_broken_inventory(data: Path) -> None:
    (data / "lake" / "inventory.json").write_text('[{"fingerprint": ', "utf-8")
    assert "inventory.json is broken" in found("lake").said


def test_a_file_that_could_not_be_read_is_a_warning(data: Path) -> None:
    assert found("lake").status == "warn"
    assert "gateway/odd.csv" in found("lake").said


def test_a_file_that_no_night_has_seen_is_a_warning(data: Path) -> None:
    (data / "landing" / "gateway" / "late.csv").write_text("a,b\n1,2\n", "utf-8")
    assert found("published").status == "warn"
    assert "run cloudbound nightly" in found("published").said


def test_a_broken_reference_file(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(settings.CHECKOUT / "data" / "reference", tmp_path / "reference")
    monkeypatch.setenv("CLOUDBOUND_REFERENCE", str(tmp_path / "reference"))
    assert found("reference").status == "ok"
    plans = tmp_path / "reference" / "plans.csv"
    plans.write_text(plans.read_text("utf-8").replace("plan", "plot", 1), "utf-8")
    assert found("reference").status == "wrong"
    assert "plans.csv" in found("reference").said
    (tmp_path / "reference" / "definition.toml").unlink()
    assert "definition.toml" in found("settings").said


def test_another_definition_than_the_published_one(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(settings.CHECKOUT / "data" / "reference", tmp_path / "reference")
    rule = tmp_path / "reference" / "definition.toml"
    rule.write_text(rule.read_text("utf-8").replace("min_at_risk = 10", "min_at_risk = 11"))
    monkeypatch.setenv("CLOUDBOUND_REFERENCE", str(tmp_path / "reference"))
    assert found("published").status == "warn"
    assert "is in force" in found("published").said


def test_too_little_disk(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LEAST_FREE_BYTES", 2**60)
    assert found("disk").status == "wrong"
    assert "free space" in found("disk").said


@pytest.mark.parametrize(
    ("home", "said"), [("somewhere", "no absolute path"), ("/", "holds no dagster.yaml")]
)
def test_a_dagster_home_that_is_none(
    data: Path, monkeypatch: pytest.MonkeyPatch, home: str, said: str
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", home)
    assert found("dagster").status == "wrong"
    assert said in found("dagster").said


def test_the_command_prints_findings_and_ends_with_their_code(data: Path) -> None:
    def run(*more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pipelines.cli", "doctor", *more]
        return subprocess.run(command, capture_output=True, text=True, env=os.environ, timeout=60)

    done = run("--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {row["status"] for row in json.loads(done.stdout)} <= {"ok", "warn"}
    shutil.rmtree(data / "landing")
    done = run()
    assert done.returncode == 1
    assert "\033[" not in done.stdout  # no colours where no terminal is
    assert "wrong  landing" in done.stdout


def test_a_file_of_another_program_is_not_taken_for_ours(data: Path) -> None:
    (data / "cloudbound.duckdb").unlink()
    with duckdb.connect(str(data / "cloudbound.duckdb")) as con:
        con.execute("create table other (a int)")
    assert found("published").status == "wrong"


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_a_terminal_has_colours_unless_no_color_is_set(
    tmp_path: Path, no_color: str, coloured: bool
) -> None:
    main_end, terminal = pty.openpty()
    try:
        subprocess.run(
            [sys.executable, "-m", "pipelines.cli", "doctor"],
            env=os.environ | {"CLOUDBOUND_DATA": str(tmp_path), "NO_COLOR": no_color},
            cwd=settings.CHECKOUT, stdout=terminal, timeout=120, check=False,
        )  # fmt: skip
        said = os.read(main_end, 65536).decode()
    finally:
        os.close(terminal)
        os.close(main_end)
    assert "landing" in said
    assert ("\033[" in said) == coloured
