"""Many small worlds of known truth through the real SQL, all at once: do intervals cover?

    python -m tests.coverage --worlds 2000 --teams 150

Belongs here: proof C of docs/metric.md. Does not belong here: the simulator's own worlds
(tests/simulate), planted labels (test_end_to_end.py).

Every world is one acquisition channel of one build file, so that one pass over sql/ judges them
all by its breakdown. A team's move is the earlier of a cure-Weibull (the plan) and an exponential
(organic), rounded up to days, so that with cure share p, shape k, scale s and rate r
P(W - T0 <= h) = 1 - (1 - p (1 - exp(-(h / s)^k))) exp(-r h). T0 is spread over half a year: most
teams are censored. One team in eight is a native, which has to stay out.
"""

import argparse
import json
import math
import tempfile
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from pipelines import definition, rerun, tables, warehouse
from pipelines.definition import Definition
from pipelines.rollup import charges, requests
from pipelines.settings import CHECKOUT

AS_OF = date(2026, 9, 1)
FIRST_T0 = AS_OF - timedelta(days=250)
ENTRY_DAYS = 180
HABIT_DAYS = (8, 6, 4, 2, 0)
SUBSCRIBED_BEFORE = 10
# Two kinds of teams: share of the world, cure share, shape, scale, organic rate a day.
KINDS = ((0.6, 0.25, 1.3, 40.0, 0.0005), (0.4, 0.08, 0.8, 60.0, 0.0005))


def truth(days: int) -> float:
    """Share of a world's population that has moved within so many days of T0."""
    return sum(
        weight * (1 - (1 - p * (1 - math.exp(-((days / scale) ** shape)))) * math.exp(-rate * days))
        for weight, p, shape, scale, rate in KINDS
    )


def fill(path: Path, worlds: int, teams: int, seed: int, rules: Definition) -> None:
    """A build file with the facts of all worlds."""
    rng = np.random.default_rng(seed)
    n = worlds * teams
    kind = np.searchsorted(np.cumsum([k[0] for k in KINDS])[:-1], rng.random(n))
    _, cure, shape, scale, rate = np.array(KINDS).T
    plan = scale[kind] * rng.exponential(size=n) ** (1 / shape[kind])
    plan[rng.random(n) >= cure[kind]] = np.inf
    gap = np.ceil(np.minimum(plan, rng.exponential(size=n) / rate[kind]))
    t0 = rng.integers(0, ENTRY_DAYS, n)
    is_native = rng.random(n) < 1 / 8
    first_charge = np.where(is_native, t0 - SUBSCRIBED_BEFORE - 60, t0 + gap)
    people = pl.DataFrame(
        {
            "team_id": [f"team-{i}" for i in range(n)],
            "channel": np.char.mod("w%05d", np.arange(n) // teams),
            "t0": t0,
            "first_charge": np.where(np.isfinite(first_charge), first_charge, 10_000).astype(int),
        }
    ).with_columns(t0_on=_day("t0"), subscribed_on=_day("t0") - pl.duration(days=SUBSCRIBED_BEFORE))
    with warehouse.build(path) as con:
        for name, frame in _facts(people, rules).items():
            warehouse.replace_table(con, name, frame)


def _day(column: str) -> pl.Expr:
    return pl.lit(FIRST_T0) + pl.duration(days=pl.col(column))


def _facts(people: pl.DataFrame, rules: Definition) -> dict[str, pl.DataFrame]:
    active = people.join(pl.DataFrame({"before": HABIT_DAYS}), how="cross").select(
        "team_id",
        usage_on=pl.col("t0_on") - pl.duration(days="before"),
        member_id=pl.lit("m"),
        accepted=pl.lit(rules.active_day_requests, pl.Int64),
    )
    charged = (
        people.join(pl.DataFrame({"after": range(40)}), how="cross")
        .with_columns(at=pl.col("first_charge") + pl.col("after"))
        .with_columns(usage_on=_day("at"))
        .filter(pl.col("usage_on") < AS_OF)
        .select(
            "team_id",
            "usage_on",
            family=pl.lit("deploy"),
            source=pl.lit("cloud"),
            net_cny=pl.lit(5).cast(charges.NET),
        )
    )
    started = people.select(
        "team_id",
        "subscribed_on",
        plan=pl.lit("lite"),
        event=pl.lit("started"),
        occurred_at=pl.col("subscribed_on").cast(pl.Datetime("us", "UTC")),
        occurred_on="subscribed_on",
        period_start_on="subscribed_on",
        period_end_on=pl.lit(AS_OF + timedelta(days=60)),
        net_amount=pl.lit(40),
        list_amount=pl.lit(40),
    )
    directory = people.select("team_id", "channel", region=pl.lit("r"), industry=pl.lit("i"))
    empty = {
        tables.TEAM_SPANS.name: tables.TEAM_SPANS.columns,
        tables.IDENTITY_STRETCHES.name: tables.IDENTITY_STRETCHES.columns,
    }
    dates = {"from_on": pl.Date, "to_on": pl.Date, "is_linked": pl.Boolean}
    return {
        "fact.member_days": _with(active, requests.MEMBER_DAYS),
        "fact.usage_days": pl.DataFrame(schema=requests.USAGE_DAYS),
        "fact.charge_days": _with(charged, charges.CHARGE_DAYS),
        "fact.subscriptions": started,
        "fact.teams": directory,
        "ref.coverage": pl.DataFrame(
            {"source": ["cloud"], "starts_on": [FIRST_T0 - timedelta(days=400)]}
        ),
        "ops.definition": pl.DataFrame({"name": ["zone"], "value": [json.dumps(rules.zone)]}),
        "ops.clock": pl.DataFrame(
            {"as_of": [AS_OF], "known_at": [None]},
            schema={"as_of": pl.Date, "known_at": pl.Datetime("us", "UTC")},
        ),
        **{
            name: pl.DataFrame(schema={c: dates.get(c, pl.String) for c in columns})
            for name, columns in empty.items()
        },
    }


def _with(rows: pl.DataFrame, schema: dict[str, pl.DataType]) -> pl.DataFrame:
    """The rows with all columns of a fact table, numbers 0 where nothing is said."""
    missing = {c: t for c, t in schema.items() if c not in rows.columns}
    return rows.with_columns(
        (pl.lit(0, t) if t.is_numeric() else pl.lit(None, t)).alias(c) for c, t in missing.items()
    ).select(*schema)


@dataclass(frozen=True)
class Verdict:
    """One estimator at one horizon over all worlds."""

    name: str
    horizon_days: int
    worlds: int
    truth: float
    covered: float
    bias: float
    allowed_miss: float
    allowed_bias: float

    @property
    def holds(self) -> bool:
        return abs(self.covered - 0.95) <= self.allowed_miss and abs(self.bias) <= self.allowed_bias

    def __str__(self) -> str:
        return (
            f"{self.name:8} h {self.horizon_days:3}  worlds {self.worlds:5}  truth {self.truth:.4f}  "
            f"covered {self.covered:.4f} (.95 -+ {self.allowed_miss:.4f})  "
            f"bias {self.bias:+.5f} (at most {self.allowed_bias:.5f})  "
            f"{'holds' if self.holds else 'FAILS'}"
        )


_ESTIMATES = """
select "value" as world, population, horizon_days, {columns}
from metric.conversion where "by" = 'channel' and population = '{population}' and {share} is not null
"""
ESTIMATORS = {
    "NSM": ("nsm", "share", "ci_low", "ci_high"),
    "ITT": ("itt", "share", "ci_low", "ci_high"),
    "mature": ("nsm", "mature_share", "mature_ci_low", "mature_ci_high"),
}


def judge(worlds: int, teams: int, seed: int) -> list[Verdict]:
    """Coverage and bias of each estimator at each horizon, over so many worlds."""
    rules = definition.load(CHECKOUT / "data" / "reference" / "definition.toml")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "build.duckdb"
        fill(path, worlds, teams, seed, rules)
        with warehouse.build(path) as con, rerun.under(con, rules, "metric.conversion"):
            verdicts = []
            for name, (population, share, low, high) in ESTIMATORS.items():
                columns = f"{share} as share, {low} as low, {high} as high"
                found = warehouse.frame(
                    con, _ESTIMATES.format(columns=columns, population=population, share=share)
                )
                for horizon in (30, 60, 90):
                    days = horizon - (SUBSCRIBED_BEFORE if population == "itt" else 0)
                    rows = found.filter(pl.col("horizon_days") == horizon)
                    verdicts.append(_verdict(name, horizon, truth(days), rows))
    return verdicts


def _verdict(name: str, horizon: int, planted: float, rows: pl.DataFrame) -> Verdict:
    error = rows["share"].to_numpy() - planted
    covered = ((rows["low"] <= planted) & (rows["high"] >= planted)).mean()
    assert isinstance(covered, float)
    worlds = rows.height
    return Verdict(
        name=name,
        horizon_days=horizon,
        worlds=worlds,
        truth=planted,
        covered=covered,
        bias=float(error.mean()),
        allowed_miss=3 * math.sqrt(0.0475 / worlds),
        allowed_bias=max(0.005, 3 * float(error.std(ddof=1)) / math.sqrt(worlds)),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=2000)
    parser.add_argument("--teams", type=int, default=150)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    for verdict in judge(given.worlds, given.teams, given.seed):
        print(verdict)


if __name__ == "__main__":
    main()
