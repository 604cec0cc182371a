"""The planted world for newcomers: simulate it, and print its truth beside the estimate.

Belongs here: what `demo` and `simulate` say. Does not belong here: the world (simulate/).
The truth is read here for printing only; no night reads it.
"""

import json
from pathlib import Path
from typing import Any

import polars as pl

from pipelines import warehouse
from pipelines.errors import UsageError
from pipelines.night import Progress
from pipelines.settings import Settings
from pipelines.simulate import world as worlds

MARKER = ".simulated.json"


def simulate(out: Path, show: Progress, **options: Any) -> dict[str, Any]:
    """Write a world; out, teams and request_rows. Raises UsageError for bad input."""
    given = {k: v for k, v in options.items() if v is not None}
    try:
        summary = worlds.simulate(out, progress=show, **given)
    except worlds.SimulationError as error:
        raise UsageError(str(error)) from None
    return {"out": str(out), "teams": summary.teams, "request_rows": summary.request_rows}


def simulate_landing(places: Settings, teams: int, days: int, seed: int, show: Progress) -> None:
    """The demo's world in landing, unless just that one lies there already.

    Raises UsageError when landing holds files that the simulator did not write.
    """
    marker = places.landing / MARKER
    if places.landing.is_dir() and any(places.landing.iterdir()) and not marker.is_file():
        raise UsageError(
            f"{places.landing} holds files that the demo did not write: point CLOUDBOUND_DATA at "
            "an empty folder to see the demo, or run cloudbound nightly on what is there."
        )
    asked = {"teams": teams, "days": days, "seed": seed, "is_complete": True}
    if marker.is_file():
        written = json.loads(marker.read_text("utf-8"))
        if {k: written.get(k) for k in asked} == asked:
            return
    simulate(places.landing, show, teams=teams, days=days, seed=seed, force=marker.is_file())


def truth(places: Settings) -> dict[str, Any]:
    """horizon_days, share (the estimate) and planted_share, and whether its interval holds it."""
    shares = pl.read_parquet(places.truth / "shares.parquet")
    with warehouse.published(places.published) as con:
        row = warehouse.one(
            con,
            "select horizon_days, share, ci_low, ci_high from metric.headline where is_headline",
        )
    assert row is not None
    horizon, share, low, high = row
    at_horizon = (pl.col("segment") == "all") & (pl.col("horizon_days") == horizon)
    planted = shares.filter(at_horizon)["share"].item()
    return {
        "horizon_days": horizon,
        "share": share,
        "planted_share": planted,
        "is_inside": None if share is None else low is not None and low <= planted <= high,
    }


def text(found: dict[str, Any]) -> str:
    """The planted share beside the estimate, for people."""
    said = f"Planted truth at {found['horizon_days']} days: {found['planted_share']:.1%}"
    if found["share"] is None:
        return f"{said}; too few teams to estimate it."
    return f"{said}, {'inside' if found['is_inside'] else 'outside'} the interval of the estimate."
