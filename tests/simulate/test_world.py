"""Same seed, same bytes; a longer world extends a shorter one; bad input touches nothing."""

import hashlib
import json
import re
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipelines.simulate.world import MARKER, SimulationError, SimulationSummary, simulate


def bytes_of(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


@pytest.mark.parametrize("world", ["healthy", "quota-squeeze"])
def test_same_bytes_at_any_number_of_processes(tmp_path: Path, world: str) -> None:
    for processes in (1, 2):
        out = tmp_path / str(processes) / "landing"
        simulate(out, teams=80, days=40, seed=3, dirt=1.0, processes=processes, world=world)
    one = bytes_of(tmp_path / "1")
    assert one == bytes_of(tmp_path / "2")
    written = {re.sub(r"\d+", "0", name) for name in one}
    assert written >= FILES, FILES - written


FILES = {
    "landing/.simulated.json",
    "landing/gateway/requests-0-0-0.parquet",
    "landing/gateway/late-0-0-0.parquet",
    "landing/gateway/manifest.jsonl",
    "landing/litellm/spend-0-0-0.jsonl",
    "landing/plan/subscriptions-0-0.jsonl",
    "landing/stripe/events-0-0.jsonl",
    "landing/billing/0-0-0/focus-0.csv",
    "landing/billing/0-0-0/focus-0.csv.gz",
    "landing/directory/teams.csv",
    "landing/directory/account_links.csv",
    "landing/directory/assignments.csv",
    "landing/directory/channel_costs.csv",
    "truth/teams.parquet",
    "truth/accounts.parquet",
    "truth/shares.parquet",
    "truth/effects.parquet",
    "truth/experiments.parquet",
    "truth/channels.parquet",
}
"""Every family of files, numbers as 0."""


def test_another_seed_is_another_world(tmp_path: Path) -> None:
    for seed in (1, 2):
        simulate(tmp_path / str(seed) / "landing", teams=40, days=20, seed=seed, processes=1)
    one, other = (bytes_of(tmp_path / s / "landing/gateway") for s in "12")
    assert not set(one.values()) & set(other.values())


def _rows(out: Path, until: date) -> dict[str, Counter[Any]]:
    """Rows by family that belong to the days before `until`."""
    gateway = pl.concat(pl.read_parquet(p) for p in sorted((out / "gateway").glob("*.parquet")))
    edge = datetime(until.year, until.month, until.day)
    day = pl.col("requested_at").dt.offset_by("8h").dt.replace_time_zone(None)
    gateway = gateway.filter(day < edge).drop("received_at")
    spend = Counter(
        (r["request_id"], r["startTime"], r["team_id"], r["prompt_tokens"], r["status"])
        for p in (out / "litellm").glob("spend-*.jsonl")
        for r in map(json.loads, p.read_text("utf-8").splitlines())
        if datetime.fromisoformat(r["startTime"]) < edge.replace(day=edge.day - 1)
    )
    events = Counter(
        (r["event_id"], r["occurred_at"], r["plan"], r["net_amount"])
        for p in (out / "plan").glob("*-20*.jsonl")
        for r in map(json.loads, p.read_text("utf-8").splitlines())
        if r["occurred_at"] < until.isoformat()
    )
    hooks = Counter(
        line
        for p in (out / "stripe").glob("events-*.jsonl")
        for line in p.read_text("utf-8").splitlines()
        if datetime.fromtimestamp(json.loads(line)["created"], UTC).date() < until
    )
    small = {
        name: Counter(
            pl.read_csv(out / f"directory/{name}.csv", infer_schema=False)
            .filter(pl.col(at).str.slice(0, 10) < until.isoformat())
            .rows()
        )
        for name, at in (
            ("assignments", "assigned_at"),
            ("account_links", "recorded_at"),
            ("channel_costs", "month"),
        )
    }
    told = {"gateway": Counter(gateway.rows()), "litellm": spend, "plan": events, "stripe": hooks}
    return told | small


def test_a_longer_world_extends_a_shorter_one(tmp_path: Path) -> None:
    short, long = (
        simulate(tmp_path / str(d) / "landing", teams=150, days=d, seed=9, dirt=0.0, processes=1)
        for d in (70, 96)
    )
    until = date(2025, 3, 17)
    one, other = _rows(short.out, until), _rows(long.out, until)
    assert all(one.values())
    for family in ("gateway", "litellm", "plan", "stripe"):
        assert one[family] == other[family], family
    # Who comes later is not known yet, and the month goes on.
    for family in ("assignments", "account_links"):
        assert one[family] <= other[family], family
    month = {row for row in one["channel_costs"] if row[0] < "2025-03-01"}
    assert month <= set(other["channel_costs"])
    teams = [set((s.out / "directory/teams.csv").read_text().splitlines()) for s in (short, long)]
    assert teams[0] < teams[1]
    # Whole weeks are the same files; so are the exports of months that were over.
    one, other = bytes_of(short.out), bytes_of(long.out)
    whole = [k for k in one if k.startswith("gateway/") and "manifest" not in k]
    billed = [k for k in one if k.startswith("billing/2025-0") and k < "billing/2025-03-04"]
    assert len(whole) == 10
    assert billed
    assert [k for k in (*whole, *billed) if one[k] != other.get(k)] == []
    # What was decided stays decided.
    a, b = (pl.read_parquet(s.truth / "accounts.parquet") for s in (short, long))
    merged = b.filter(pl.col("merged_on").is_not_null())
    touched = [*merged["team_id"], *merged["merged_into"]]
    fixed = ["team_id", "region", "decoy", "intent", "offer", "takes_plan", "archetype"]
    assert a.select(fixed).equals(b.select(fixed))
    a, b = (k.filter(~pl.col("team_id").is_in(touched)) for k in (a, b))
    moved = a.filter(pl.col("moved_on").is_not_null()).select("team_id", "moved_on")
    assert moved.join(b.select("team_id", "moved_on"), on=["team_id", "moved_on"]).equals(moved)
    habits = a.filter(pl.col("integrated_on").is_not_null()).select("team_id", "integrated_on")
    both = habits.join(b, on=["team_id", "integrated_on"])
    assert both.height == habits.height


@pytest.mark.parametrize("world", ["quota-squeeze", "confounded", "trap"])
def test_longer_worlds_extend_shorter_ones_with_quotas_too(tmp_path: Path, world: str) -> None:
    """Whole weeks of requests, dirt and all, and the plan's months are the same files."""
    for days in (35, 50):
        simulate(tmp_path / str(days) / "landing", teams=90, days=days, seed=4, world=world)
    one, other = (bytes_of(tmp_path / f"{days}/landing") for days in (35, 50))
    whole = [k for k in one if re.match(r"(gateway|litellm)/.*\d", k)]
    whole += [k for k in one if re.match(r"(plan|stripe)/.*2025-01", k)]
    assert len(whole) >= 12
    assert [k for k in whole if one[k] != other.get(k)] == []


def test_names_are_for_people_and_in_both_languages(dirty: SimulationSummary) -> None:
    teams = pl.read_csv(dirty.out / "directory/teams.csv")
    for column in ("company", "office"):
        texts = {r: teams.filter(region=r)[column] for r in ("domestic", "global")}
        assert texts["domestic"].str.contains(r"\p{Han}").all()
        assert not texts["global"].str.contains(r"\p{Han}").any()
        assert teams[column].n_unique() > 300
    assert teams["office"].str.contains(r"\d").all()
    assert not teams["office"].str.contains("\n").any()
    bills = pl.read_csv(sorted((dirty.out / "billing").glob("*/focus-1.csv"))[-1], infer_schema=False,
                        truncate_ragged_lines=True)  # fmt: skip
    assert len({*bills["BillingAccountName"]} & {*teams["company"]}) > 100
    calls = pl.concat(pl.read_parquet(p) for p in (dirty.out / "gateway").glob("*.parquet"))
    assert calls["member"].str.contains(r"^u\d{7}-\d{2}$").all()
    assert calls["team"].str.contains(r"^team-\d{7}$").all()


def test_manifests_and_marker(dirty: SimulationSummary) -> None:
    for source in dirty.out.iterdir():
        if not source.is_dir():
            continue
        lines = (source / "manifest.jsonl").read_text().splitlines()
        entries = {e["file"]: e for e in map(json.loads, lines)}
        files = bytes_of(source)
        del files["manifest.jsonl"]
        assert {k: e["sha256"] for k, e in entries.items()} == files
        for entry in entries.values():
            assert datetime.fromisoformat(entry["recorded_at"]).tzinfo is not None
            assert (entry["format"], entry["timezone"]) == ("auto", "UTC")
    marker = json.loads((dirty.out / MARKER).read_text())
    assert marker["seed"] == 12
    assert marker["is_complete"] is True


def test_rows_per_day_is_about_what_was_asked(tmp_path: Path) -> None:
    summary = simulate(
        tmp_path / "landing", teams=300, days=30, seed=2, rows_per_day=1_500, processes=1
    )
    assert 0.7 < summary.request_rows / 30 / 1_500 < 1.4


def test_progress_ends_full(tmp_path: Path) -> None:
    seen: dict[str, tuple[int, int]] = {}
    simulate(
        tmp_path / "landing",
        teams=30,
        days=10,
        seed=1,
        processes=1,
        progress=lambda stage, done, total: seen.update({stage: (done, total)}),
    )
    assert list(seen) == ["habits", "labels", "request rows", "charges"]
    assert all(done == total for done, total in seen.values())


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"teams": -1}, "teams is -1"),
        ({"teams": 0}, "teams is 0"),
        ({"days": -5}, "days is -5"),
        ({"days": 10**6}, "days is 1000000"),
        ({"seed": -1}, "seed is -1"),
        ({"rows_per_day": 0}, "rows_per_day is 0"),
        ({"processes": 0}, "processes is 0"),
        ({"dirt": 1.5}, "dirt is 1.5"),
        ({"dirt": float("nan")}, "dirt is nan"),
        ({"intent": -0.1}, "intent is -0.1"),
        ({"stripe_share": 2.0}, "stripe_share is 2.0"),
        ({"world": "utopia"}, "no world 'utopia'"),
        ({"start": date(1890, 1, 1)}, "start is 1890-01-01"),
    ],
)
def test_bad_input_is_one_sentence_and_touches_nothing(
    tmp_path: Path, wrong: dict[str, Any], says: str
) -> None:
    out = tmp_path / "landing"
    with pytest.raises(SimulationError, match=says) as caught:
        simulate(out, **{"teams": 10, "days": 10, "seed": 1, "processes": 1, **wrong})
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_target_in_use_is_left_alone_without_force(tmp_path: Path) -> None:
    out = tmp_path / "landing"
    out.mkdir()
    (out / "mine.txt").write_text("keep")
    with pytest.raises(SimulationError, match="not empty"):
        simulate(out, teams=10, days=10, seed=1, processes=1)
    assert bytes_of(tmp_path) == {"landing/mine.txt": hashlib.sha256(b"keep").hexdigest()}
    simulate(out, teams=10, days=10, seed=1, processes=1, force=True)
    assert (out / "mine.txt").read_text() == "keep"
    with pytest.raises(SimulationError, match="is a file"):
        simulate(out / "mine.txt", teams=10, days=10, seed=1, processes=1, force=True)


def test_force_leaves_nothing_of_the_old_world(tmp_path: Path) -> None:
    old, new = tmp_path / "old" / "landing", tmp_path / "new" / "landing"
    simulate(old, teams=20, days=40, seed=1, processes=1)
    simulate(old, teams=20, days=15, seed=1, processes=1, force=True)
    simulate(new, teams=20, days=15, seed=1, processes=1)
    assert bytes_of(tmp_path / "old") == bytes_of(tmp_path / "new")


def test_truth_lies_inside_a_folder_not_called_landing(tmp_path: Path) -> None:
    summary = simulate(tmp_path / "world", teams=20, days=10, seed=1, processes=1)
    assert summary.truth == tmp_path / "world" / "truth"
    assert (summary.truth / "teams.parquet").is_file()


def test_a_rate_is_fitted_to_more_days_than_are_tried(tmp_path: Path) -> None:
    made = simulate(tmp_path / "landing", teams=1_000, days=75, seed=3, rows_per_day=3_000)
    assert 0.7 < made.request_rows / (75 * 3_000) < 1.4
