"""The number from the published file, as one answer and as text.

Belongs here: reading metric.headline and what stands beside it. Does not belong here: any
estimate (sql/metric).
"""

from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from pipelines import alerts, landing, warehouse
from pipelines import definition as definitions
from pipelines.errors import UsageError
from pipelines.settings import Settings

_SHARES = ("teams", "moved", "at_risk", "share", "ci_low", "ci_high")


def read(
    places: Settings, horizon: int | None, by: str | None, definition: Path | None = None
) -> dict[str, Any]:
    """definition, as_of, data_complete_on, horizon_days, the share with its interval, mature, itt,
    naive, published_at, stale, link coverage, and groups when `by` is given.

    With a definition file the rules are run once more under it, over the published facts.
    Raises UsageError for a horizon or breakdown that is not published.
    """
    with warehouse.published(places.published) as con, _rules(con, definition):
        rows = warehouse.records(con, "from metric.headline")
        row = _at_horizon(rows, horizon)
        naive = con.execute("select name, share from metric.naive_gap order by name").fetchall()
        run = warehouse.one(con, "select max(published_at) from ops.runs")
        coverage = warehouse.records(con, "from metric.link_coverage")[0]
        known = con.execute("select file from ops.files").fetchall()
        groups = _groups(con, row["horizon_days"], by) if by else None
    answer: dict[str, Any] = {
        "definition": row["definition"],
        "as_of": row["as_of"],
        "data_complete_on": row["data_complete_on"],
        "horizon_days": row["horizon_days"],
        **{k: row[k] for k in _SHARES},
        "mature": {k: row[f"mature_{k}"] for k in ("teams", "moved", "share", "ci_low", "ci_high")},
        "itt": {k: row[f"itt_{k}"] for k in _SHARES},
        "naive": dict(naive),
        "published_at": run[0] if run else None,
        "stale": _is_stale(places, {r[0] for r in known})
        or alerts.is_overdue(run[0] if run else None, datetime.now(UTC)),
        "known_at": row["known_at"],
        "link_coverage": {
            "linked_share": coverage["linked_share"],
            "share_if_all_unlinked_moved": coverage["share_if_all_unlinked_moved"],
        },
    }
    return answer if groups is None else answer | {"by": by, "groups": groups}


def _rules(con: duckdb.DuckDBPyConnection, definition: Path | None) -> AbstractContextManager[None]:
    """The published tables, or those of the same names under another definition."""
    if definition is None:
        return nullcontext()
    from pipelines import rerun

    return rerun.under(con, definitions.load(definition))


def _at_horizon(rows: list[dict[str, Any]], horizon: int | None) -> dict[str, Any]:
    for row in rows:
        if row["horizon_days"] == horizon or (horizon is None and row["is_headline"]):
            return row
    known = ", ".join(str(r["horizon_days"]) for r in rows)
    raise UsageError(f"The horizon {horizon} is not published: use one of {known} days.")


def _groups(con: Any, horizon: int, by: str) -> list[dict[str, Any]]:
    known = [
        r[0]
        for r in con.execute(
            "select distinct \"by\" from metric.conversion where population = 'nsm' order by 1"
        ).fetchall()
    ]
    if known and by not in known:
        raise UsageError(f"There is no breakdown by {by!r}: use one of {', '.join(known)}.")
    return warehouse.records(
        con,
        """
        select
            "value", teams, moved, at_risk,
            case when not is_suppressed then share end as share,
            case when not is_suppressed then ci_low end as ci_low,
            case when not is_suppressed then ci_high end as ci_high,
            converted, not_converted, open, is_suppressed
        from metric.conversion
        where population = 'nsm' and horizon_days = $horizon and "by" = $by
        order by "value"
        """,
        {"horizon": horizon, "by": by},
    )


def _is_stale(places: Settings, seen: set[str]) -> bool:
    """Whether landing holds a file that the published print has not seen."""
    present = {path.as_posix() for path in landing.file_names(places.landing)}
    return bool(present - seen)


def text(answer: dict[str, Any]) -> str:
    """The same for people."""
    h = answer["horizon_days"]
    lines = [
        f"Moved within {h} days of the habit: {_share(answer)}",
        f"  {answer['moved']} of {answer['teams']} teams so far, {answer['at_risk']} at risk at "
        f"day {h}; Kaplan-Meier, definition {answer['definition']}",
        f"  as of {answer['as_of']}, decided up to {answer['data_complete_on']}"
        + f", published {answer['published_at']:%Y-%m-%d %H:%M} UTC"
        + (
            " (STALE: older than 36 hours, or landing holds newer files)" if answer["stale"] else ""
        ),
        f"  mature cohorts only: {_share(answer['mature'])}, n = {answer['mature']['teams']}",
        f"  of all paying teams (ITT): {_share(answer['itt'])}, n = {answer['itt']['teams']}",
    ]
    linked = answer["link_coverage"]["linked_share"]
    if linked is not None and linked < 0.95:
        top = answer["link_coverage"]["share_if_all_unlinked_moved"]
        lines.append(
            f"  only {linked:.0%} of the integrated teams are linked to a bill: the share lies "
            f"between {_percent(answer['share'])} and {_percent(top)}"
        )
    lines.append("What a usual dashboard would print:")
    lines += [f"  {name:<20} {_percent(share):>8}" for name, share in answer["naive"].items()]
    if "groups" in answer:
        lines.append(f"By {answer['by']}:")
        lines += [
            f"  {g['value']:<28} {_share(g)}, n = {g['teams']}"
            + (" (too few to show)" if g["is_suppressed"] else "")
            for g in answer["groups"]
        ]
    return "\n".join(lines)


def _percent(share: float | None) -> str:
    return "n/a" if share is None else f"{share:.1%}"


def _share(group: dict[str, Any]) -> str:
    if group["share"] is None:
        return "n/a"
    return f"{_percent(group['share'])} [{_percent(group['ci_low'])}, {_percent(group['ci_high'])}]"
