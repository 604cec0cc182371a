"""Simulated rows against the public load data, within stated bounds (docs/simulator.md)."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pipelines.simulate import calibration
from pipelines.simulate.world import simulate

REFERENCE = Path(__file__).parents[2].parent / "shared" / "data" / "requests"
needs_reference = pytest.mark.skipif(
    not REFERENCE.is_dir(), reason=f"the public load data is not at {REFERENCE}"
)


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    out = tmp_path_factory.mktemp("load") / "landing"
    simulate(out, teams=900, days=98, seed=21, dirt=0.0, processes=1)
    regions = pl.read_csv(out / "directory/teams.csv").select(team="team_id", region="region")
    frames = [pl.read_parquet(p) for p in sorted((out / "gateway").glob("*.parquet"))]
    return pl.concat(frames).join(regions, on="team", how="left")


@pytest.fixture(scope="module")
def found(calls: pl.DataFrame) -> dict[str, float]:
    return calibration.measure(calls)


def test_teams_differ_as_clients_of_a_real_service_do(found: dict[str, float]) -> None:
    assert 1.5 < found["client_log_sd"] < 2.4
    assert 0.60 <= found["top_tenth_share"] <= 0.79


@needs_reference
def test_client_inequality_against_servegen(found: dict[str, float]) -> None:
    clients = pl.read_csv(REFERENCE / "servegen/servegen_clients_summary_even.csv")
    spread = [np.log(g["requests"]).std() for _, g in clients.group_by("model")]
    assert min(spread) - 0.2 < found["client_log_sd"] < max(spread)


@needs_reference
def test_bursts_against_servegen(found: dict[str, float]) -> None:
    """Gaps inside ten minutes vary more than a Poisson process (1), counts far more (1)."""
    windows = pl.read_parquet(REFERENCE / "servegen/servegen_client_windows_even.parquet")
    real = windows.filter(pl.col("rate") > 0)["cv"].median()
    assert isinstance(real, float)
    assert abs(found["gap_cv_p50"] - real) < 0.3
    assert found["fano_p50"] > 4


@needs_reference
def test_daily_profile_against_servegen(found: dict[str, float]) -> None:
    profiles = json.loads((REFERENCE / "servegen/servegen_load_profiles.json").read_text())
    peaks = [max(p["hour"]) / np.mean(p["hour"]) for p in profiles.values()]
    assert min(peaks) < found["peak_hour"] < max(peaks) + 0.3


@needs_reference
@pytest.mark.parametrize("kind", ["input", "output"])
@pytest.mark.parametrize("q", [50, 75, 90, 99])
def test_tokens_lie_between_completion_and_agent_traces(
    found: dict[str, float], kind: str, q: int
) -> None:
    """Azure's 2023 code trace (completions) and Mooncake's tool-like trace are the two ends."""
    azure = pl.read_csv(REFERENCE / "AzureLLMInferenceTrace_code.csv")
    lines = (REFERENCE / "mooncake_synthetic_trace.jsonl").read_text().splitlines()
    mooncake = [json.loads(line)[f"{kind}_length"] for line in lines]
    short = azure["ContextTokens" if kind == "input" else "GeneratedTokens"].quantile(q / 100)
    ends = sorted([float(short or 0), float(np.quantile(mooncake, q / 100))])
    assert ends[0] * 0.9 <= found[f"{kind}_p{q}"] <= ends[1] * 1.1


@needs_reference
def test_cached_share_against_mooncake(found: dict[str, float]) -> None:
    """Prefix blocks seen before, weighted by tokens."""
    seen: set[int] = set()
    hit = total = 0
    for line in (REFERENCE / "mooncake_synthetic_trace.jsonl").read_text().splitlines():
        row = json.loads(line)
        blocks = 0
        for block in row["hash_ids"]:
            if block not in seen:
                break
            blocks += 1
        seen.update(row["hash_ids"])
        hit += min(blocks * 512, row["input_length"])
        total += row["input_length"]
    assert abs(found["cached_token_share"] - hit / total) < 0.12


def test_hours_and_weekdays(calls: pl.DataFrame) -> None:
    local = calls.with_columns(local=pl.col("requested_at").dt.offset_by("8h"))

    def by_hour(region: str) -> np.ndarray:
        hours = local.filter(pl.col("region") == region)["local"].dt.hour()
        return np.bincount(hours.to_numpy(), minlength=24) / hours.len()

    domestic, abroad = by_hour("domestic"), by_hour("global")
    assert domestic[9:19].sum() > 0.6
    assert domestic[1:6].sum() < 0.06
    lag = int(np.argmax([(np.roll(domestic, k) * abroad).sum() for k in range(24)]))
    assert 7 <= lag <= 11
    weekday = local.group_by(pl.col("local").dt.weekday()).len().sort("local")["len"].to_numpy()
    assert weekday[5:].mean() < 0.5 * weekday[:5].mean()


def test_one_session_stays_on_one_business_day(calls: pl.DataFrame) -> None:
    days = calls.group_by("session").agg(
        pl.col("requested_at").dt.offset_by("8h").dt.date().n_unique()
    )
    assert days["requested_at"].max() == 1
