"""Why one team counts as it does, down to the file and row that decided.

Belongs here: gathering what the published file and the lake know of one team.
Does not belong here: any rule; the deciding clause is journey.teams.why.
"""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from pipelines import lake, warehouse
from pipelines.errors import UsageError
from pipelines.settings import Settings

WHY = {
    "never_subscribed": "it never paid for the plan",
    "no_habit": "no trailing window holds enough active days in enough ISO weeks",
    "t0_after_data_complete": "the habit came after the last day that can be decided",
    "qualifying_day_in_lookback": "a qualifying day lies in the look-back before the subscription",
    "moved_by_t0": "the sustained workload began on or before the habit",
    "history_starts_in_lookback": "the billing history starts inside the look-back",
    "no_day_at_risk": "it has not been at risk for a whole day",
    "qualifying_day_after_t0": "a qualifying day came after the habit",
    "censored_by_merge": "its rows went to another team before a move could be decided",
    "no_billable_workload": "no billable workload day has been seen",
    "workload_not_sustained": "no billable day begins a window with enough days and net",
}
_TEAM_FIELDS = (
    "team_id", "subscribed_at", "subscribed_on", "first_request_on", "integrated_on",
    "state_at_t0", "moved_on", "moved_after_t0_on", "known_on", "first_workload_on",
    "churned_on", "after_churn", "merged_on", "merged_into", "censored_on", "plan", "team_class",
    "region", "industry", "channel", "model_mix", "task_mix", "why",
)  # fmt: skip


def explain(places: Settings, team: str) -> dict[str, Any]:
    """The team's row, its outcome by horizon, its days, and the rows that decided.

    evidence: what, day, file, line for S, T0 and moved_on; from the lake where it is at hand.
    Raises UsageError when the published file has no such team.
    """
    team = lake.pseudonym(team, places.member_key, is_member=False)
    with warehouse.published(places.published) as con:
        found = warehouse.frame(con, "from journey.teams where team_id = $team", {"team": team})
        if found.height == 0:
            raise UsageError(f"There is no team {team!r} in {places.published}: check the id.")
        row = found.row(0, named=True)
        clock = warehouse.frame(con, "from ops.clock").row(0, named=True)
        horizons = con.execute("select horizon_days from metric.headline order by 1").fetchall()
        return {
            **{field: row[field] for field in _TEAM_FIELDS},
            "because": WHY[row["why"]],
            "outcome": {str(h): _outcome(row, h) for (h,) in horizons},
            "as_of": clock["as_of"],
            "data_complete_on": clock["data_complete_on"],
            "evidence": _evidence(con, places.lake, row),
            "days": _days(con, team, clock["as_of"]),
        }


def _outcome(row: dict[str, Any], horizon: int) -> str | None:
    """converted, not_converted or open at a horizon; null for a team without T0."""
    t0, w, end = row["integrated_on"], row["moved_after_t0_on"], row["censored_on"]
    if t0 is None:
        return None
    if w is not None and w <= end and (w - t0).days <= horizon:
        return "converted"
    return "not_converted" if (end - t0).days >= horizon else "open"


def _days(con: duckdb.DuckDBPyConnection, team: str, as_of: date) -> list[dict[str, Any]]:
    """Every day with a request or a workload: counts, active, net, billable, the window that a
    billable day begins (its billable days and net), qualifying."""
    rows = warehouse.frame(
        con,
        """
        with requests as (
            select usage_on, sum(accepted)::bigint as accepted,
                sum(refused_5h + refused_week + refused_month + refused_other)::bigint as refused
            from fact.member_days
            where team_id = $team and usage_on < $as_of
            group by usage_on
        )
        select
            coalesce(requests.usage_on, workload_days.usage_on) as usage_on,
            coalesce(requests.accepted, 0) as accepted,
            coalesce(requests.refused, 0) as refused,
            active_days.usage_on is not null as is_active,
            coalesce(workload_days.net_cny, 0) as net_cny,
            coalesce(workload_days.is_billable, false) as is_billable,
            forward_windows.billable_days,
            forward_windows.window_net_cny,
            qualifying_days.usage_on is not null as is_qualifying
        from requests
        full join (from journey.workload_days where team_id = $team) as workload_days
            on requests.usage_on = workload_days.usage_on
        left join (from journey.active_days where team_id = $team) as active_days
            on active_days.usage_on = requests.usage_on
        left join (from journey.forward_windows where team_id = $team) as forward_windows
            on forward_windows.usage_on = workload_days.usage_on
        left join (from journey.qualifying_days where team_id = $team) as qualifying_days
            on qualifying_days.usage_on = workload_days.usage_on
        order by 1
        """,
        {"team": team, "as_of": as_of},
    )
    return rows.to_dicts()


def _evidence(
    con: duckdb.DuckDBPyConnection, folder: Path, row: dict[str, Any]
) -> list[dict[str, Any]]:
    found = []
    for day, file, line in con.execute(
        "select occurred_on, file, line from fact.subscriptions "
        "where team_id = ? and occurred_at = ? order by file, line",
        [row["team_id"], row["subscribed_at"]],
    ).fetchall():
        found.append(
            {
                "what": "first paid subscription (S)",
                "day": day,
                "file": file,
                "line": line,
            }
        )
    decisive = [
        ("requests", row["integrated_on"], "request on T0"),
        ("charges", row["moved_on"], "charge on the qualifying day"),
    ]
    if row["moved_on"] is None:
        decisive.append(("charges", row["first_workload_on"], "charge on the first workload day"))
    for family, day, what in decisive:
        if day is not None:
            ids = _source_ids(con, row["team_id"], day)
            found += _lake_rows(con, folder, family, ids, day, what)
    return found


def _source_ids(con: duckdb.DuckDBPyConnection, team: str, day: date) -> list[tuple[str, str]]:
    """(source, id) that belonged to the team on the day; ('', id) is the id in any source."""
    held = con.execute(
        "select source, source_id from ref.team_spans "
        "where team_id = ? and from_on <= ? and (to_on is null or to_on > ?)",
        [team, day, day],
    ).fetchall()
    return [("", team), *((str(source), str(source_id)) for source, source_id in held)]


_ID_COLUMNS = {"requests": ("team",), "charges": ("sub_account", "account")}
_SHOWN = ("line", "request_id", "status", "service", "billed", "effective", "currency")


def _lake_rows(
    con: duckdb.DuckDBPyConnection,
    folder: Path,
    family: str,
    ids: list[tuple[str, str]],
    day: date,
    what: str,
) -> list[dict[str, Any]]:
    """Rows of a day in the lake that belong to the ids; none when the lake is not at hand."""
    files = con.execute(
        "select fingerprint, source, min(file) from ops.files where family = ? and accepted > 0 "
        "group by all order by 3",
        [family],
    ).fetchall()
    found: list[dict[str, Any]] = []
    for fingerprint, source, file in files:
        path = folder / family / f"day={day}" / f"{fingerprint}.parquet"
        if not path.is_file():
            continue
        rows = pl.read_parquet(path)
        here = [source_id for of, source_id in ids if of in ("", source)]
        mine = pl.any_horizontal(pl.col(c).is_in(here) for c in _ID_COLUMNS[family])
        shown = [c for c in _SHOWN if c in rows.columns]
        for hit in rows.filter(mine).sort("line").select(shown).to_dicts():
            found.append({"what": what, "day": day, "file": file, **hit})
    return found


def text(answer: dict[str, Any]) -> str:
    """The same for people."""
    lines = [f"{answer['team_id']}: {answer['because']} ({answer['why']})."]
    for name in ("subscribed_on", "integrated_on", "state_at_t0", "moved_on", "moved_after_t0_on",
                 "censored_on", "churned_on", "merged_into", "merged_on"):  # fmt: skip
        if answer[name] is not None:
            lines.append(f"  {name:<18} {answer[name]}")
    outcomes = ", ".join(f"{h} d: {o}" for h, o in answer["outcome"].items())
    lines.append(f"  outcome            {outcomes}")
    lines.append(f"  as of {answer['as_of']}, decided up to {answer['data_complete_on']}")
    lines.append("Rows that decided:")
    lines += [
        f"  {e['day']}  {e['what']}: {e['file']} line {e['line']}" for e in answer["evidence"]
    ]
    lines.append(
        "Days (accepted requests, active; net CNY, billable and what its window holds, qualifying):"
    )
    for day in _around(answer):
        marks = (" active" if day["is_active"] else "", " billable" if day["is_billable"] else "",
                 " qualifying" if day["is_qualifying"] else "")  # fmt: skip
        lines.append(
            f"  {day['usage_on']}  {day['accepted']:>5} accepted{marks[0]:<7}  "
            f"{day['net_cny']:>12.4f}{marks[1]}{_window(day)}{marks[2]}"
        )
    return "\n".join(lines)


def _window(day: dict[str, Any]) -> str:
    if day["billable_days"] is None:
        return ""
    return f" (window: {day['billable_days']} days, {day['window_net_cny']:.2f})"


def _around(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """Days near the deciding ones; all of them are in the JSON."""
    anchors = [answer[n] for n in ("subscribed_on", "integrated_on", "moved_on") if answer[n]]
    near = [
        d
        for d in answer["days"]
        if not anchors
        or any(a - timedelta(days=14) <= d["usage_on"] <= a + timedelta(days=28) for a in anchors)
    ]
    return near[:90]
