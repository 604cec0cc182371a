"""Who a source's id belongs to on a day: account links to stretches of days.

Belongs here: the bitemporal rule (valid on the day, latest recorded wins), sub-account before
account, and the history of each identity that the rule for merges reads.
Does not belong here: what a merge does to a team's clock (sql/journey/merges.sql).
"""

from datetime import date, datetime
from itertools import pairwise
from typing import Any, NamedTuple

import polars as pl

SPANS: dict[str, Any] = {
    "source": pl.String,
    "source_id": pl.String,
    "team_id": pl.String,
    "from_on": pl.Date,
    "to_on": pl.Date,
}
STRETCHES: dict[str, Any] = {
    "source": pl.String,
    "account": pl.String,
    "sub_account": pl.String,
    "team_id": pl.String,
    "from_on": pl.Date,
    "is_linked": pl.Boolean,
}
IDENTITY = ["source", "account", "sub_account"]
_OPEN = date(9999, 12, 31)


class _Link(NamedTuple):
    recorded_at: datetime
    valid_from: datetime
    team_id: str
    from_on: date
    to_on: date


def spans(links: pl.DataFrame, zone: str, known_at: datetime | None) -> pl.DataFrame:
    """One row per (source, source_id) and stretch of days: team_id, from_on, to_on (exclusive).

    links: link_source, source_id, team_id, valid_from, valid_to, recorded_at. Rows of one
    (source, source_id, valid_from) are versions of one link: the last recorded is the link.
    Of the links that hold on a day the last recorded wins, then the later valid_from, then the
    greater team_id. Days without a link have no span: there the id itself is the team.
    """
    if known_at is not None:
        links = links.filter(pl.col("recorded_at") <= known_at)
    current = links.sort("recorded_at", "valid_to", "team_id", nulls_last=True).unique(
        ["link_source", "source_id", "valid_from"], keep="last", maintain_order=True
    )
    local = {
        name: pl.col(column).dt.convert_time_zone(zone).dt.date()
        for name, column in (("from_on", "valid_from"), ("to_on", "valid_to"))
    }
    rows = current.select(
        "link_source", "source_id", "recorded_at", "valid_from", "team_id", **local
    ).with_columns(pl.col("to_on").fill_null(_OPEN))
    # Most ids have one link for good; only the others need a walk through time.
    key = ["link_source", "source_id"]
    is_alone = pl.len().over(key) == 1
    alone = rows.filter(is_alone & (pl.col("from_on") < pl.col("to_on"))).select(
        pl.col("link_source").alias("source"), "source_id", "team_id", "from_on",
        to_on=pl.when(pl.col("to_on") < _OPEN).then("to_on"),
    )  # fmt: skip
    walked: list[tuple[str, str, str, date, date | None]] = []
    for (source, source_id), group in rows.filter(~is_alone).group_by(key):
        held = sorted(_Link(*r) for r in group.drop(key).iter_rows())
        walked += [
            (str(source), str(source_id), team, start, None if end == _OPEN else end)
            for team, start, end in _resolved(held)
        ]
    several = pl.DataFrame(walked, schema=SPANS, orient="row")
    return pl.concat([alone, several]).sort("source", "source_id", "from_on")


def _resolved(held: list[_Link]) -> list[tuple[str, date, date]]:
    """(team, from, to) without overlap; `held` is sorted so that the last that holds wins."""
    stretches: list[tuple[str, date, date]] = []
    edges = sorted({day for link in held for day in (link.from_on, link.to_on)})
    for start, end in pairwise(edges):
        holding = [link for link in held if link.from_on <= start < link.to_on]
        if not holding:
            continue
        team = holding[-1].team_id
        if stretches and stretches[-1][0] == team and stretches[-1][2] == start:
            stretches[-1] = (team, stretches[-1][1], end)
        else:
            stretches.append((team, start, end))
    return stretches


def linked_team(
    rows: pl.DataFrame, team_spans: pl.DataFrame, source_id: str, day: str
) -> pl.Series:
    """The team that a link names for each row's id on its day, null where none does."""
    relevant = team_spans.join(rows.select("source").unique(), on="source", how="semi")
    if relevant.height == 0:
        return pl.Series("team_id", [None] * rows.height, dtype=pl.String)
    keys = rows.select("source", source_id, day).unique().rename({source_id: "source_id"})
    hits = keys.join(relevant, on=["source", "source_id"]).filter(
        (pl.col(day) >= pl.col("from_on")) & (pl.col(day) < pl.col("to_on").fill_null(_OPEN))
    )
    named = hits.select("source", pl.col("source_id").alias(source_id), day, "team_id")
    joined = rows.select("source", source_id, day).join(
        named, on=["source", source_id, day], how="left", maintain_order="left"
    )
    return joined["team_id"]


def with_team(
    rows: pl.DataFrame, team_spans: pl.DataFrame, source_id: str, day: str
) -> pl.DataFrame:
    """The rows with team_id: the linked team on that day, else the source's own id."""
    linked = linked_team(rows, team_spans, source_id, day)
    return rows.with_columns(team_id=linked.fill_null(rows[source_id]))


def with_owner(rows: pl.DataFrame, team_spans: pl.DataFrame, day: str) -> pl.DataFrame:
    """The rows of a bill with team_id and is_linked: the sub-account's linked team on that day,
    else the account's, else the account itself is the team."""
    by_sub = linked_team(rows, team_spans, "sub_account", day)
    linked = by_sub.fill_null(linked_team(rows, team_spans, "account", day))
    return rows.with_columns(
        team_id=linked.fill_null(rows["account"]), is_linked=linked.is_not_null()
    )


def stretches(identities: pl.DataFrame, team_spans: pl.DataFrame) -> pl.DataFrame:
    """The history of every identity that a link touches: team_id from from_on (null: ever) on.

    identities: source, account, sub_account (null for none). is_linked tells a linked team from
    the account itself. Identities without a link are listed only when a link names their own id
    as a team: they are what keeps such a team alive.
    """
    everyone = _around(identities, team_spans)
    edges = pl.concat(
        everyone.join(team_spans, left_on=["source", id_], right_on=["source", "source_id"]).select(
            *IDENTITY, day=edge
        )
        for id_ in ("sub_account", "account")
        for edge in ("from_on", "to_on")
    ).drop_nulls("day")
    ever = everyone.with_columns(day=pl.lit(None, pl.Date))
    rows = pl.concat([ever, edges]).unique().sort(*IDENTITY, "day")
    rows = with_owner(rows, team_spans, "day")
    is_as_before = pl.all_horizontal(
        pl.col(name).eq_missing(pl.col(name).shift())
        for name in (*IDENTITY, "team_id", "is_linked")
    )
    return rows.filter(~is_as_before).rename({"day": "from_on"}).select(*STRETCHES)


def _around(identities: pl.DataFrame, team_spans: pl.DataFrame) -> pl.DataFrame:
    """The identities that a link touches, those whose account is a team of some link, and linked
    ids that never delivered a row: a million identities without a link are no history of ours."""
    linked = team_spans.select("source", "source_id").unique()
    owners, subs = (
        identities.join(linked, left_on=["source", id_], right_on=["source", "source_id"], how="semi")
        for id_ in ("account", "sub_account")
    )  # fmt: skip
    known_subs = subs.select("source", source_id="sub_account")
    alone = linked.join(known_subs, on=["source", "source_id"], how="anti").select(
        "source", account="source_id", sub_account=pl.lit(None, pl.String)
    )
    own = [team_spans["team_id"], *(f["account"] for f in (owners, subs, alone))]
    named = pl.concat([s.rename("account") for s in own]).unique().to_frame()
    return pl.concat(
        [identities.select(*IDENTITY).join(named, on="account", how="semi"), alone]
    ).unique()
