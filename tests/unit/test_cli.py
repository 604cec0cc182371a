"""The command line: every bad use is one sentence and the right exit code, never a traceback."""

import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from pipelines import to_json


def cloudbound(data: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipelines.cli", *arguments],
        env=os.environ | {"CLOUDBOUND_DATA": str(data)} | more,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nightly"], "holds no files"),
        (["headline"], "There is no published file"),
        (["headline", "--horizon", "soon"], "--horizon"),
        (["explain", "nobody"], "There is no published file"),
        (["open", "--sql", "select 1"], "There is no published file"),
        (["ingest", "nowhere.csv", "--source", "x"], "There is no file or folder nowhere.csv"),
        (["ingest", "nowhere.csv", "--source", "../x"], "can't be a source name"),
        (["ingest", "nowhere.csv"], "--source"),
        (["nightly", "--as-of", "yesterday"], "is not a date like"),
        (["nightly", "--known-at", "now"], "is not a time like"),
        (["simulate", "--out", "w", "--teams", "-1", "--days", "5", "--seed", "1"], "teams"),
        (["funnel", "--events", "none.csv", "--steps", "a,b"], "none.csv"),
        (["funnel", "--events", "x.csv", "--steps", "a", "--window", "soon"], "x.csv"),
        (["fly"], "fly"),
        (["report"], "There is no published file"),
    ],
)
def test_bad_use_is_one_sentence(tmp_path: Path, arguments: list[str], said: str) -> None:
    done = cloudbound(tmp_path, *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_a_bad_reference_folder_is_named(tmp_path: Path) -> None:
    done = cloudbound(tmp_path, "nightly", CLOUDBOUND_REFERENCE=str(tmp_path / "none"))
    assert done.returncode == 2
    assert "No definition.toml in" in done.stderr


def test_demo_refuses_a_landing_that_it_did_not_write(tmp_path: Path) -> None:
    (tmp_path / "landing" / "mine").mkdir(parents=True)
    (tmp_path / "landing" / "mine" / "a.csv").write_text("a,b\n1,2\n")
    done = cloudbound(tmp_path, "demo", "--teams", "5", "--days", "30")
    assert done.returncode == 2
    assert "did not write" in done.stderr
    assert (tmp_path / "landing" / "mine" / "a.csv").is_file()


def test_ingest_dry_run_takes_nothing_in(tmp_path: Path) -> None:
    file = tmp_path / "teams.csv"
    file.write_text("team_id,region\nt1,domestic\n,global\n")
    done = cloudbound(tmp_path, "ingest", str(file), "--source", "directory", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "looks like canonical_teams" in done.stdout
    assert "2 rows read, 1 accepted, 1 rejected" in done.stdout
    assert not (tmp_path / "landing").exists()


def test_ingest_refuses_other_bytes_under_a_taken_name(tmp_path: Path) -> None:
    file = tmp_path / "teams.csv"
    file.write_text("team_id,region\nt1,domestic\n")
    assert cloudbound(tmp_path, "ingest", str(file), "--source", "directory").returncode == 0
    assert cloudbound(tmp_path, "ingest", str(file), "--source", "directory").returncode == 0
    file.write_text("team_id,region\nt1,global\n")
    done = cloudbound(tmp_path, "ingest", str(file), "--source", "directory")
    assert done.returncode == 2
    assert "already there with other content" in done.stderr


def test_ingest_keeps_snapshot_folders(tmp_path: Path) -> None:
    for name in ("2026-01-01", "2026-01-02"):
        (tmp_path / "exports" / name).mkdir(parents=True)
        (tmp_path / "exports" / name / "bill.csv").write_text(f"a\n{name}\n")
    both, one = tmp_path / "exports", tmp_path / "exports" / "2026-01-02"
    assert cloudbound(tmp_path, "ingest", str(both), "--source", "billing").returncode == 0
    assert cloudbound(tmp_path, "ingest", str(one), "--source", "again").returncode == 0
    landing = tmp_path / "landing"
    assert (landing / "billing" / "2026-01-01" / "bill.csv").is_file()
    assert (landing / "again" / "2026-01-02" / "bill.csv").is_file()
    rows = (landing / "billing" / "manifest.jsonl").read_text().splitlines()
    assert {json.loads(r)["file"] for r in rows} == {"2026-01-01/bill.csv", "2026-01-02/bill.csv"}


def test_json_keeps_every_digit_and_never_nan() -> None:
    text = to_json.dumps([{"a": Decimal("0.000000000000000001"), "b": float("nan"), "c": None}])
    assert text == '[{"a": 0.000000000000000001, "b": null, "c": null}]'
    assert json.loads(text, parse_float=Decimal)[0]["a"] == Decimal("0.000000000000000001")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_is_printed_and_completes(tmp_path: Path, shell: str) -> None:
    done = cloudbound(tmp_path, "completion", shell)
    assert done.returncode == 0 and "_CLOUDBOUND_COMPLETE" in done.stdout
    asked = {"COMP_WORDS": "cloudbound he", "COMP_CWORD": "1"}
    if shell == "fish":
        asked["COMP_CWORD"] = "he"
    script = Path(sys.executable).with_name("cloudbound")  # the variable is named after it
    env = os.environ | {"_CLOUDBOUND_COMPLETE": f"{shell}_complete"} | asked
    words = subprocess.run([script], env=env, capture_output=True, text=True, timeout=60)
    assert "headline" in words.stdout and "nightly" not in words.stdout


def test_simulate_says_in_json_what_it_wrote(tmp_path: Path) -> None:
    out = tmp_path / "landing"
    command = [
        "simulate",
        "--out",
        str(out),
        "--teams",
        "30",
        "--days",
        "40",
        "--seed",
        "1",
        "--json",
    ]
    done = cloudbound(tmp_path, *command)
    assert done.returncode == 0, done.stderr
    wrote = json.loads(done.stdout)
    assert wrote["out"] == str(out) and wrote["teams"] >= 30 and wrote["request_rows"] > 0
