"""The shapes that make rows look real, as lookup tables, and where they come from.

Belongs here: quantile tables and profiles with their parameters, and the statistics that compare a
world with the public load data (docs/simulator.md shows the result).
Does not belong here: reading the reference data (the test does) and making rows (requests.py).

Sources of the parameters: Azure LLM inference trace 2023 (code), Mooncake FAST'25 synthetic trace,
ServeGen per-client windows; only summary facts were taken.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtri

from pipelines.simulate.streams import F64, I64

I32 = NDArray[np.int32]

WEEKEND_ACTIVE = 0.42
WEEKEND_LEVEL = 0.7
FAULT_SHARE = 0.012

TASK_SHARES = (
    # chat, edit, agent, test, review, infra, deploy
    (10, 30, 26, 12, 8, 7, 7),
    (24, 34, 18, 10, 8, 4, 2),
    (6, 20, 60, 8, 2, 2, 2),
    (50, 30, 10, 4, 4, 1, 1),
    (30, 30, 20, 8, 8, 2, 2),
)
"""Per archetype: builder, explorer, maximiser, tourist, evaluator."""

# Calls by hour of the business day (UTC+8): two office peaks and an evening, nights nearly empty.
_DOMESTIC_HOURS = (
    1.6, 0.9, 0.5, 0.3, 0.3, 0.4, 0.7, 1.3, 3.0, 6.4, 8.2, 7.4,
    4.0, 5.2, 8.0, 8.4, 8.0, 6.6, 4.4, 4.6, 5.8, 6.0, 4.8, 3.0,
)  # fmt: skip
_GLOBAL_SHIFT_HOURS = 9
"""Offices of global teams open so much later on the clock of UTC+8."""


def _steps(n: int) -> F64:
    return (np.arange(n) + 0.5) / n


@cache
def day_noise() -> F64:
    """How a team's day differs from its mean day: lognormal with mean 1, 4,096 quantiles."""
    sd = 0.8
    return np.asarray(np.exp(sd * ndtri(_steps(4096)) - sd**2 / 2))


@cache
def start_of_day_ms() -> I64:
    """Quantiles (4,096 for each region) of a session's start on its business day."""
    domestic = np.array(_DOMESTIC_HOURS)
    tables = []
    for hours in (domestic, np.roll(domestic, _GLOBAL_SHIFT_HOURS)):
        edges = np.concatenate([[0.0], np.cumsum(hours) / hours.sum()])
        tables.append(np.interp(_steps(4096), edges, np.arange(25) * 3_600_000.0))
    return np.concatenate(tables).astype(np.int64)


@cache
def pace_ms() -> I64:
    """Quantiles (1,024) of a session's pace, the mean gap between its calls: seconds to minutes."""
    pace = np.exp(np.log(11_000.0) + 0.9 * ndtri(_steps(1024)))
    return np.asarray(pace.astype(np.int64))


@cache
def gap_factor() -> I64:
    """Quantiles (256) of a gap relative to the pace, in 1/256: lognormal with mean about 1."""
    sd = 1.45
    factor = 256 * np.exp(sd * ndtri(_steps(256)) - sd**2 / 2)
    return np.asarray(np.maximum(1, factor).astype(np.int64))


@cache
def input_tokens() -> I32:
    """Quantiles (16,384) of input tokens: short completions, agent turns, and long contexts."""
    grid = np.linspace(np.log(20), np.log(250_000), 20_001)
    parts = (
        (0.35, np.log(1_500), 0.8),
        (0.47, np.log(6_000), 0.8),
        (0.18, np.log(22_000), 0.55),
    )
    return _mixture(grid, parts)


@cache
def output_tokens() -> I32:
    """Quantiles (16,384) of output tokens: tens for an edit, hundreds for an answer."""
    grid = np.linspace(np.log(1), np.log(16_000), 20_001)
    parts = (
        (0.57, np.log(22), 0.75),
        (0.39, np.log(120), 0.7),
        (0.04, np.log(400), 0.5),
    )
    return _mixture(grid, parts)


def _mixture(grid: F64, parts: tuple[tuple[float, float, float], ...]) -> I32:
    from scipy.special import ndtr

    cdf = sum(w * ndtr((grid - mean) / sd) for w, mean, sd in parts)
    table = np.exp(np.interp(_steps(16_384), np.asarray(cdf), grid))
    return table.astype(np.int32)


@cache
def cached_share() -> F64:
    """Quantiles (256) of the part of a later turn's input that the cache held."""
    from scipy.special import betaincinv

    warm = np.asarray(betaincinv(3.2, 0.9, _steps(206)))
    return np.concatenate([np.zeros(50), warm])


def measure(requests: pl.DataFrame, window_s: int = 600) -> dict[str, float]:
    """The statistics that the reference data is compared by, of canonical request rows."""
    ok = requests.filter(pl.col("status") == "ok").with_columns(
        pl.col("input_tokens", "cached_tokens", "output_tokens").cast(pl.Int64)
    )
    volume = ok.group_by("team").len()["len"].sort().to_numpy()
    at = pl.col("requested_at")
    timed = ok.select("team", ms=at.dt.epoch("ms")).sort("team", "ms")
    timed = timed.with_columns(window=pl.col("ms") // (1000 * window_s))
    gaps = timed.with_columns(gap=pl.col("ms").diff().over("team", "window")).drop_nulls("gap")
    burst = gaps.group_by("team", "window").agg(
        cv=pl.col("gap").std() / pl.col("gap").mean(), calls=pl.len()
    )
    span = int(timed["window"].max()) - int(timed["window"].min()) + 1  # type: ignore[arg-type]
    counts = (
        timed.group_by("team", "window")
        .len()
        .group_by("team")
        .agg(
            mean=pl.col("len").sum() / span,
            square=(pl.col("len").cast(pl.Int64) ** 2).sum() / span,
        )
    )
    fano = (counts["square"] - counts["mean"] ** 2) / counts["mean"]
    hours = ok.group_by(at.dt.offset_by("8h").dt.hour()).len()["len"]
    found = {
        "client_log_sd": float(np.log(volume).std()),
        "top_tenth_share": float(volume[-(len(volume) // 10) :].sum() / volume.sum()),
        "gap_cv_p50": _number(burst.filter(pl.col("calls") >= 4)["cv"].median()),
        "fano_p50": _number(fano.median()),
        "peak_hour": _number(hours.max()) / _number(hours.mean()),
        "cached_token_share": int(ok["cached_tokens"].sum()) / int(ok["input_tokens"].sum()),
    }
    for column, name in (("input_tokens", "input"), ("output_tokens", "output")):
        for q in (50, 75, 90, 99):
            found[f"{name}_p{q}"] = _number(ok[column].quantile(q / 100))
    return found


def _number(value: object) -> float:
    assert isinstance(value, int | float)
    return float(value)
