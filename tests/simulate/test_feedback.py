"""Quotas with their real resets, the chain and its matrix product, the planted odds ratio."""

from collections import defaultdict
from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from scipy.optimize import minimize

from pipelines.simulate import feedback, world
from pipelines.simulate.teams import PRESETS, Settings

QUOTA = {"lite": (1_200, 9_000, 18_000), "pro": (6_000, 45_000, 90_000)}


@pytest.fixture(scope="module")
def squeezed(tmp_path_factory: pytest.TempPathFactory) -> world.SimulationSummary:
    out = tmp_path_factory.mktemp("squeeze") / "landing"
    return world.simulate(
        out, teams=280, days=130, seed=8, world="quota-squeeze", dirt=0.0, processes=1
    )


@pytest.fixture(scope="module")
def calls(squeezed: world.SimulationSummary) -> pl.DataFrame:
    frames = [pl.read_parquet(p) for p in sorted((squeezed.out / "gateway").glob("*.parquet"))]
    return pl.concat(frames).filter("on_plan").sort("team", "requested_at")


def test_no_window_ever_holds_more_than_its_quota(
    squeezed: world.SimulationSummary, calls: pl.DataFrame
) -> None:
    """Rolling five hours, ISO week from Monday 00:00 UTC+8, month from the subscription day."""
    cycles: dict[str, list[tuple[date, date, str]]] = defaultdict(list)
    for path in sorted((squeezed.out / "plan").glob("subscriptions-*.jsonl")):
        for row in pl.read_ndjson(path).iter_rows(named=True):
            if row["event"] != "ended":
                a, b = (
                    (datetime.fromisoformat(row[k]) + timedelta(hours=8)).date()
                    for k in ("period_start", "period_end")
                )
                cycles[row["team"]].append((a, b, row["plan"]))
    busy = calls.filter(pl.col("team").is_in(list(cycles))).group_by("team").len()
    checked = 0
    for team in busy.sort("len").tail(25)["team"]:
        own = calls.filter(pl.col("team") == team)
        ok = own.filter(pl.col("status") == "ok")
        at = ok["requested_at"].dt.epoch("ms").to_numpy()
        day = ok["requested_at"].dt.offset_by("8h").dt.date().to_list()
        most = max(plan == "pro" for *_, plan in cycles[team])
        five, week, month = QUOTA["pro" if most else "lite"]
        ahead = np.searchsorted(at, at + 5 * 3_600_000) - np.arange(len(at))
        assert ahead.max() <= five
        weeks: dict[tuple[int, int], int] = defaultdict(int)
        for d in day:
            weeks[d.isocalendar()[:2]] += 1
        assert max(weeks.values()) <= week
        for a, b, plan in cycles[team]:
            assert sum(a <= d < b for d in day) <= QUOTA[plan][2] <= month
        checked += (own["status"] == "refused").any()
    assert checked > 5


def test_refused_only_at_a_full_quota(calls: pl.DataFrame) -> None:
    """Where a sitting is first refused by the five-hour limit, the window before it is full."""
    day = pl.col("requested_at").dt.offset_by("8h").dt.date()
    refused = calls.filter((pl.col("status") == "refused") & (pl.col("refused_by") == "5h"))
    first = refused.group_by("team", day.alias("day")).agg(pl.col("requested_at").min())
    assert first.height > 10
    for team, _, at in first.iter_rows():
        before = calls.filter(
            (pl.col("team") == team)
            & (pl.col("status") == "ok")
            & pl.col("requested_at").is_between(at - timedelta(hours=5), at)
        )
        assert before.height in (1_200, 6_000)


def test_refusals_switch_models_and_tasks(calls: pl.DataFrame) -> None:
    """On the days after a refusal a team leans less on its first model and deploys less."""
    day = pl.col("requested_at").dt.offset_by("8h").dt.date()
    ok = calls.with_columns(day=day)
    refused = ok.filter(pl.col("status") == "refused").select("team", "day").unique()
    after = refused.with_columns(pl.col("day").dt.offset_by("1d"), is_after=True).unique()
    rows = ok.filter(pl.col("status") == "ok").join(after, on=["team", "day"], how="left")
    rows = rows.filter(pl.col("team").is_in(refused["team"].to_list()))
    main = rows.group_by("team", "model").len().sort("len").group_by("team").last()
    rows = rows.join(main.select("team", favourite="model"), on="team")
    shares = rows.group_by(pl.col("is_after").fill_null(False)).agg(
        favourite=(pl.col("model") == pl.col("favourite")).mean(),
        deploys=pl.col("task").is_in(["infra", "deploy"]).mean(),
    )
    calm, upset = (shares.filter(pl.col("is_after") == k).row(0, named=True) for k in (False, True))
    assert upset["favourite"] < calm["favourite"] - 0.1
    assert upset["deploys"] < calm["deploys"]


def test_the_step_is_a_matrix_product() -> None:
    """One day of one team, by three explicit matrices."""
    leave_calm, leave_upset, up, down, hazard = 0.1, 0.2, 0.5, 0.0, 0.03
    renew = np.eye(6)
    renew[0, 0], renew[0, 2] = 1 - leave_calm, leave_calm
    renew[1, 1], renew[1, 2] = 1 - leave_upset, leave_upset
    mood = np.eye(6)
    mood[0, 0], mood[0, 1], mood[1, 1], mood[1, 0] = 1 - up, up, 1 - down, down
    move = np.eye(6)
    for state, factor, to in ((0, 1.0, 3), (1, 0.5, 3), (2, 0.35, 4)):
        move[state, state], move[state, to] = 1 - hazard * factor, hazard * factor
    law = np.array([[0.5, 0.2, 0.1, 0.1, 0.05, 0.05]])
    one = np.ones(1)
    stepped = feedback._step(
        law,
        np.array([[leave_calm, leave_upset]]),
        np.array([feedback.CHURNED]),
        up * one,
        down * one,
        hazard * one,
    )
    assert stepped[0] == pytest.approx((law @ renew @ mood @ move)[0], abs=1e-15)
    assert stepped.sum() == pytest.approx(1.0, abs=1e-15)


def test_cycles_say_which_limit_bound(squeezed: world.SimulationSummary) -> None:
    cycles = pl.read_parquet(squeezed.truth / "cycles.parquet")
    assert {"sittings_refused_5h", "sittings_refused_week", "sittings_refused_month"} < set(
        cycles.columns
    )
    assert (cycles["refused"] > 0).sum() > 5
    limits = pl.sum_horizontal(pl.col("^sittings_refused.*$"))
    assert cycles.select(((pl.col("refused") > 0) == (limits > 0)).all()).item()


def test_confounded_world_plants_twice_the_odds_and_shows_half() -> None:
    """Crude 0.57 has the wrong sign; adjusted for demand it is 2."""
    parts = []
    for seed in range(3):
        s = Settings(2_500, 300, seed, world.START, 0.0, PRESETS["confounded"].intent, "confounded")
        parts.append(feedback.whole(s).cycles)
    cycles = pl.concat(parts)
    bound = (cycles["refused"] > 0).to_numpy()
    left = (~cycles["renewed"]).to_numpy()
    crude = _odds(left[bound].mean()) / _odds(left[~bound].mean())
    assert 0.45 < crude < 0.72
    quota = np.where(cycles["plan"].to_numpy() == "pro", 90_000, 18_000)
    demand = np.log(np.maximum((cycles["accepted"] + cycles["refused"]).to_numpy(), 1) / quota)
    first = (cycles["cycle"] == 0).to_numpy()
    x = np.column_stack([np.ones(len(left)), bound, demand, first]).astype(float)
    fit = minimize(
        lambda b: np.logaddexp(0, x @ b).sum() - (left * (x @ b)).sum(),
        np.zeros(4),
        jac=lambda b: x.T @ (1 / (1 + np.exp(-(x @ b))) - left),
    )
    error = np.sqrt(fit.hess_inv[1, 1])
    assert abs(fit.x[1] - np.log(2)) < 3.5 * error
    assert error < 0.2


def _odds(p: float) -> float:
    return p / (1 - p)
