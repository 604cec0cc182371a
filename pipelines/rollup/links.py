"""Who a source's id belongs to on a day: account links to spans that never overlap.

Belongs here: the bitemporal rule (valid on the day, latest recorded wins).
Does not belong here: what a merge does to a team's clock (sql/journey/merges.sql).
"""

from datetime import date, datetime

import polars as pl

SPANS = {
    "source": pl.String,
    "source_id": pl.String,
    "team_id": pl.String,
    "from_on": pl.Date,
    "to_on": pl.Date,
}
_OPEN = date(9999, 12, 31)


def spans(links: pl.DataFrame, zone: str, known_at: datetime | None) -> pl.DataFrame:
    """One row per (source, source_id) and stretch of days: team_id, from_on, to_on (exclusive).

    links: link_source, source_id, team_id, valid_from, valid_to, recorded_at. On a day, of the
    links valid then and recorded by known_at, the latest recorded wins, ties by team_id. Days
    without a link have no span: there the id itself is the team.
    """
    if known_at is not None:
        links = links.filter(pl.col("recorded_at") <= known_at)
    local = [pl.col(c).dt.convert_time_zone(zone).dt.date() for c in ("valid_from", "valid_to")]
    rows = links.select("link_source", "source_id", "team_id", "recorded_at", *local).unique()
    found: list[tuple[str, str, str, date, date]] = []
    for (source, source_id), group in rows.group_by("link_source", "source_id"):
        stretch: list[tuple[str, date, date]] = []
        facts = sorted(
            group.select("recorded_at", "team_id", "valid_from", "valid_to").rows(),
            key=lambda r: (r[0], r[1]),
        )
        edges = sorted({d for _, _, a, b in facts for d in (a, b or _OPEN)})
        for start, end in zip(edges, edges[1:], strict=False):
            valid = [t for _, t, a, b in facts if a <= start < (b or _OPEN)]
            if not valid:
                continue
            team = valid[-1]
            if stretch and stretch[-1][0] == team and stretch[-1][2] == start:
                stretch[-1] = (team, stretch[-1][1], end)
            else:
                stretch.append((team, start, end))
        found += [(str(source), str(source_id), t, a, b) for t, a, b in stretch]
    frame = pl.DataFrame(sorted(found), schema=SPANS, orient="row")
    return frame.with_columns(
        to_on=pl.when(pl.col("to_on") == _OPEN).then(None).otherwise(pl.col("to_on"))
    )


def with_team(
    rows: pl.DataFrame, team_spans: pl.DataFrame, source_id: str, day: str
) -> pl.DataFrame:
    """The rows with team_id: the span's team on that day, else the source's own id."""
    relevant = team_spans.join(rows.select("source").unique(), on="source", how="semi")
    if relevant.height == 0:
        return rows.with_columns(team_id=pl.col(source_id))
    keys = rows.select("source", source_id, day).unique().rename({source_id: "source_id"})
    hits = keys.join(relevant, on=["source", "source_id"]).filter(
        (pl.col(day) >= pl.col("from_on")) & (pl.col(day) < pl.col("to_on").fill_null(_OPEN))
    )
    named = hits.select("source", pl.col("source_id").alias(source_id), day, "team_id")
    joined = rows.join(named, on=["source", source_id, day], how="left")
    return joined.with_columns(team_id=pl.coalesce("team_id", source_id))
