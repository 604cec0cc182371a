"""The hand-written world through the real command line: every team as its literal says."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import driver
from tests.hand import world

COLUMNS = """team_id, subscribed_on, integrated_on, state_at_t0, moved_on, moved_after_t0_on,
censored_on, team_class, churned_on, after_churn, merged_into, merged_on, merged_into_native"""


def cloudbound(data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipelines.cli", *arguments],
        env=os.environ | {"CLOUDBOUND_DATA": str(data)},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hand")
    world.write(folder / "landing")
    done = cloudbound(folder, "nightly")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return folder


def answer(data: Path, *arguments: str) -> Any:
    done = cloudbound(data, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_team_is_as_its_literal_says(data: Path) -> None:
    found = {r[0]: r for r in driver.query(data, f"select {COLUMNS} from journey.teams")}
    expected = {
        e.team: (
            e.team, e.subscribed_on, e.integrated_on, e.state, e.moved_on, e.converted_on,
            e.censored_on, e.team_class, e.churned_on, e.after_churn, e.merged_into,
            e.merged_on, e.merged_into_native,
        )
        for e in world.EXPECTED.values()
    }  # fmt: skip
    assert {t: found.get(t) for t in expected} == expected


def test_headline_answers_with_the_keys_of_the_contract(data: Path) -> None:
    number = answer(data, "headline")
    assert number["as_of"] == str(world.AS_OF)
    assert number["data_complete_on"] == str(world.COMPLETE)
    assert number["horizon_days"] == 90
    counted = (number["teams"], number["moved"], number["at_risk"])
    assert counted == (world.HEADLINE.teams, world.HEADLINE.moved, world.HEADLINE.at_risk)
    assert number["share"] == pytest.approx(world.HEADLINE.share, abs=1e-12)
    assert set(number["mature"]) == {"teams", "moved", "share", "ci_low", "ci_high"}
    assert set(number["itt"]) == {"teams", "moved", "at_risk", "share", "ci_low", "ci_high"}
    assert number["stale"] is False
    assert len(number["naive"]) == 6


def test_outcomes_in_explain_are_the_literals(data: Path) -> None:
    for team in ("billable-21-days", "absorbed-undecided", "seen-for-89-days", "t0-after-c"):
        expected = next(e for e in world.EXPECTED.values() if e.team == team)
        explained = answer(data, "explain", team)
        assert {int(h): o for h, o in explained["outcome"].items()} == expected.outcomes, team


def test_explain_says_how_near_a_window_came(data: Path) -> None:
    days = {d["usage_on"]: d for d in answer(data, "explain", "billable-20-days")["days"]}
    first = next(d for d in days.values() if d["is_billable"])
    assert (first["billable_days"], first["is_qualifying"]) == (20, False)
    assert {d["billable_days"] for d in days.values() if not d["is_billable"]} == {None}


def test_explain_names_file_and_line_that_decided(data: Path) -> None:
    explained = answer(data, "explain", "linked")
    fed = {e["what"]: e for e in explained["evidence"]}
    ids = {
        "first paid subscription (S)": "cus_77",
        "request on T0": "ak-77",
        "charge on the qualifying day": "0077001",
    }
    for what, source_id in ids.items():
        path = data / "landing" / fed[what]["file"]
        assert path.is_file()
        if path.suffix in (".csv", ".jsonl"):
            line = path.read_text("utf-8").splitlines()[fed[what]["line"] - 1]
            assert source_id in line


def test_parts_of_a_breakdown_sum_to_the_total(data: Path) -> None:
    number = answer(data, "headline", "--by", "team_class")
    for name in ("teams", "moved", "at_risk"):
        assert sum(g[name] for g in number["groups"]) == number[name]


def test_a_second_night_changes_no_number_and_says_so(data: Path) -> None:
    before = driver.query(data, "select name, hash from ops.table_hashes order by 1")
    done = cloudbound(data, "nightly")
    assert done.returncode == 0, done.stderr
    assert "no published number changed" in done.stdout
    assert driver.query(data, "select name, hash from ops.table_hashes order by 1") == before


def test_the_same_two_clocks_reproduce_a_print(data: Path, tmp_path: Path) -> None:
    world.write(tmp_path / "landing")
    past = cloudbound(tmp_path, "nightly", "--as-of", "2026-02-01")
    assert past.returncode == 0, past.stderr
    first = answer(tmp_path, "headline")
    assert first["data_complete_on"] == "2026-01-01"
    assert cloudbound(tmp_path, "nightly").returncode == 0
    assert answer(tmp_path, "headline")["as_of"] == str(world.AS_OF)
    assert cloudbound(tmp_path, "nightly", "--as-of", "2026-02-01").returncode == 0
    again = answer(tmp_path, "headline")
    assert {**again, "published_at": None} == {**first, "published_at": None}
