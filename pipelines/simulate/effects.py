"""What the analyses beyond the number have to find: the planted effects, experiments and channels.

Belongs here: truth/effects.parquet, experiments.parquet and channels.parquet, out of what each team
would have done under either arm. Does not belong here: labels and shares (truth.py), and how an
effect comes about (teams.py, feedback.py).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipelines.simulate import decoys, directory, truth
from pipelines.simulate.streams import I64
from pipelines.simulate.teams import (
    CHANNELS,
    RETAINING_MODEL,
    Settings,
    Teams,
    channel_iota,
    trial_factor,
)

HORIZON_DAYS = 90
"""The headline's horizon, counted from the assignment."""


def write(
    settings: Settings,
    teams: Teams,
    would_integrate_on: I64,
    accounts: pl.DataFrame,
    folder: Path,
) -> None:
    """Write the three files. `would_integrate_on` is T0 with the plan, for takers and others."""
    planted(settings).write_parquet(folder / "effects.parquet")
    experiments(settings, teams, would_integrate_on).write_parquet(folder / "experiments.parquet")
    channels(settings, teams, accounts).write_parquet(folder / "channels.parquet")


def planted(settings: Settings) -> pl.DataFrame:
    """One row per effect: effect, subject, measure, value. No effect is 1 for ratios, 0 for shares."""
    preset = settings.preset
    rows = [
        ("plan", "share moved by the plan", "multiplier", preset.plan_effect),
        ("quota", "a cycle with a refusal", "odds ratio of leaving", np.exp(preset.quota_log_odds)),
        ("model", RETAINING_MODEL, "odds ratio of renewing", np.exp(preset.model_log_odds)),
        ("intent", "taking the plan and moving", "strength", settings.intent),
    ]
    iota = channel_iota(settings)
    rows += [("channel", c, "iota", float(iota[k])) for k, c in enumerate(CHANNELS)]
    schema = {"effect": pl.String, "subject": pl.String, "measure": pl.String, "value": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def experiments(settings: Settings, teams: Teams, would_integrate_on: I64) -> pl.DataFrame:
    """One row per experiment: its split, and its effect on moving within 90 days of assignment.

    itt of the offer is the effect on the very accounts of this world (what each would have done
    under either arm is known), of the others the expectation; null where a world with quotas has no
    closed form. uptake: difference in subscribing. iota: incremental share of the moves of the
    arm's subscribers. logged_share: part of the arm's assignments that reaches the log.
    """
    own = ~decoys.with_bill(decoys.Bill.STANDING, decoys.Bill.RECENT)[teams.decoy]
    own &= teams.eligible_on < settings.days
    rushes = decoys.with_bill(decoys.Bill.RUSH)[teams.decoy]
    due = directory.assigned_on(settings, teams) + HORIZON_DAYS
    with_plan = rushes | (truth.planted_move(teams, would_integrate_on) <= due)
    without = rushes | (truth.organic_move(teams) <= due)

    def if_offered(arm: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Takes the plan, and moves, under an arm of the offer."""
        takes = teams.takes_by_arm[:, arm]
        return takes, np.where(takes, with_plan, without)

    (takes_not, moves_not), (takes, moves) = if_offered(0), if_offered(1)
    itt = _mean(moves, own) - _mean(moves_not, own)
    offer = {
        "experiment": directory.OFFER,
        "arm": "offer",
        "control_arm": "holdout",
        "planned_share": 0.85,
        "itt": itt,
        "uptake": _mean(takes, own) - _mean(takes_not, own),
        "iota": itt / max(_mean(takes & moves, own), 1e-9),
    }
    shown = own & (teams.channel == CHANNELS.index("ads")) & (teams.reach_arm == 1)
    iota = float(channel_iota(settings)[CHANNELS.index("ads")])
    reach = {
        "experiment": directory.REACH,
        "arm": "shown",
        "control_arm": "holdout",
        "planned_share": 0.5,
        "itt": iota * _mean(np.where(teams.takes_plan, with_plan, without), shown),
        "uptake": iota * _mean(teams.takes_plan, shown),
        "iota": iota,
    }
    pays = own & (teams.subscribed_on < settings.days)
    of_own = trial_factor(settings, teams.trial_arm)
    by_arm = [
        truth.itt_share(
            replace(teams, moves_share=teams.moves_share * trial_factor(settings, arm) / of_own),
            would_integrate_on,
            HORIZON_DAYS,
        )
        for arm in (0, 1)
    ]
    halves = {"arm": "treatment", "control_arm": "control", "planned_share": 0.5, "uptake": 0.0}
    trial = {
        "experiment": directory.TRIAL,
        **halves,
        "itt": _mean(by_arm[1], pays) - _mean(by_arm[0], pays),
    }
    price = {"experiment": directory.PRICE, **halves, "itt": 0.0}
    lost = directory.LOST_OF_ARM if settings.preset.has_broken_split else 0.0
    schema = dict.fromkeys(("experiment", "arm", "control_arm"), pl.String) | dict.fromkeys(
        ("planned_share", "itt", "uptake", "iota"), pl.Float64
    )
    is_known = pl.lit(not settings.has_quotas) | (pl.col("experiment") == directory.PRICE)
    return pl.DataFrame([offer, reach, trial, price], schema=schema).with_columns(
        pl.when(is_known).then(pl.col("itt", "iota")),
        logged_share=pl.when(pl.col("experiment") == directory.PRICE)
        .then(1.0 - lost)
        .otherwise(1.0),
    )


def channels(settings: Settings, teams: Teams, accounts: pl.DataFrame) -> pl.DataFrame:
    """One row per channel: spend, whom it reached, and the true cost of an incremental mover.

    moved: reached accounts, not standing customers, whose workload began after they were reached
    and is decided. iota is the planted share of them that the channel alone brought.
    """
    known = teams.eligible_on < settings.days
    _, amounts = directory.spend(settings, teams.take(known))
    frame = accounts.with_columns(
        is_reached=pl.Series(known & ~teams.is_missing),
        is_past=pl.Series(decoys.with_bill(decoys.Bill.STANDING, decoys.Bill.RECENT)[teams.decoy]),
        would_move_on=pl.when("takes_plan")
        .then("moves_with_plan_on")
        .otherwise("moves_without_plan_on"),
    )
    moved = (
        pl.col("is_reached")
        & ~pl.col("is_past")
        & (pl.col("would_move_on") <= pl.col("censored_on").max())
    )
    counts = frame.group_by("channel").agg(
        accounts=pl.col("is_reached").sum(),
        subscribers=(pl.col("is_reached") & pl.col("subscribed_on").is_not_null()).sum(),
        moved=moved.sum(),
        brought=(moved & pl.col("is_brought_by_channel")).sum(),
    )
    cost = pl.DataFrame(
        {
            "channel": list(CHANNELS),
            "spend_cny": amounts.sum(axis=0),
            "iota": channel_iota(settings),
        }
    )
    brought = pl.col("iota") * pl.col("moved")
    return cost.join(counts, on="channel", how="left", maintain_order="left").with_columns(
        cost_per_incremental_cny=pl.when(brought > 0).then(pl.col("spend_cny") / brought)
    )


def _mean(values: NDArray[np.float64] | NDArray[np.bool_], where: NDArray[np.bool_]) -> float:
    return float(values[where].mean()) if where.any() else 0.0
