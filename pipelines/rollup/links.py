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


def stretches(identities: pl.DataFrame, team_spans: pl.DataFrame) -> pl.DataFrame:
    """The history of every identity that a link touches: team_id from from_on (null: ever) on.

    identities: source, account, sub_account (null for none). is_linked tells a linked team from
    the account itself. Identities without a link are listed only when a link names their own id
    as a team: they are what keeps such a team alive.
    """
    known: dict[tuple[str, str], list[tuple[str, date, date]]] = {}
    for source, source_id, team, start, end in team_spans.iter_rows():
        known.setdefault((source, source_id), []).append((team, start, end or _OPEN))
    # A million identities without a link are no walk of ours: only those around a link are rows.
    linked = team_spans.select("source", "source_id").unique()
    owners, subs = (
        identities.join(
            linked, left_on=["source", id_], right_on=["source", "source_id"], how="semi"
        )
        for id_ in ("account", "sub_account")
    )
    known_subs = set(subs.select("source", "sub_account").iter_rows())
    alone = {(*key, None) for key in known if key not in known_subs}
    named = {*team_spans["team_id"], *owners["account"], *subs["account"], *(i[1] for i in alone)}
    around = identities.filter(pl.col("account").is_in(list(named)))
    everyone = alone | set(around.select(*IDENTITY).iter_rows())
    rows: list[tuple[str, str, str | None, str, date | None, bool]] = []
    for identity in sorted(everyone, key=lambda i: (i[0], i[1], i[2] or "")):
        links = _links_of(identity, known)
        if not links and identity[1] not in named:
            continue
        edges = sorted({day for spans_of in links for _, a, b in spans_of for day in (a, b)})
        previous: tuple[str, bool] | None = None
        for start in [None, *(e for e in edges if e != _OPEN)]:
            now = _team_on(identity[1], links, start)
            if now != previous:
                rows.append((*identity, now[0], start, now[1]))
            previous = now
    return pl.DataFrame(rows, schema=STRETCHES, orient="row")


_Known = dict[tuple[str, str], list[tuple[str, date, date]]]


def _links_of(
    identity: tuple[str, str, str | None], known: _Known
) -> list[list[tuple[str, date, date]]]:
    """Links of the sub-account, then of the account."""
    source, account, sub = identity
    ids = [i for i in (sub, account) if i is not None]
    return [known[(source, i)] for i in ids if (source, i) in known]


def _team_on(
    account: str, links: list[list[tuple[str, date, date]]], day: date | None
) -> tuple[str, bool]:
    for spans_of in links:
        for team, start, end in spans_of:
            if day is not None and start <= day < end:
                return team, True
    return account, False
