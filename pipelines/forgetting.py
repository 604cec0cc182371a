"""Forgetting a team or a member: out of landing, the lake, the facts and the published files.

Belongs here: which rows are theirs, and the rewriting of the files that hold them.
Does not belong here: the night that publishes again (cli.py), letting go of old files
(retention.py).

A landing file that holds such rows is written anew without them: in its own container, with the
canonical columns of its family, and recorded when the old one was. Rows that were rejected stand
in nobody's name that can be trusted, so a rewritten file has none of them.
"""

import gzip
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from pipelines import accounts, contracts, lake, landing, tables, warehouse
from pipelines import night as steps
from pipelines.defs.resources import only_one
from pipelines.errors import UsageError
from pipelines.lake import Entry
from pipelines.landing import LandingFile
from pipelines.night import Night
from pipelines.rollup import links
from pipelines.rollup.calendar import on_business_day
from pipelines.settings import Settings
from pipelines.sources import registry
from pipelines.sources.base import Options
from pipelines.sources.tables import head_of, kind_of

# Family -> columns that name a team, nearest first, and the column that dates the row.
_OWNERS: dict[str, tuple[tuple[str, ...], str | None]] = {
    "requests": (("team",), "requested_at"),
    "subscriptions": (("team",), "occurred_at"),
    "charges": (("sub_account", "account"), "charge_start"),
    "account_links": (("team_id",), None),
    "teams": (("team_id",), None),
    "assignments": (("team",), "assigned_at"),
}


@dataclass(frozen=True)
class Forgotten:
    """What changed: files rewritten, deleted, and rows taken out of them, by family."""

    kind: str
    rewritten: tuple[str, ...]
    deleted: tuple[str, ...]
    rows: dict[str, int]
    rejects_dropped: int

    def text(self) -> str:
        counts = ", ".join(f"{n} {family} rows" for family, n in sorted(self.rows.items()))
        lines = [
            f"Forgot a {self.kind}: {counts or 'no rows'} in {len(self.rewritten)} landing files "
            f"written anew and {len(self.deleted)} deleted; their lake files went with them."
        ]
        lines += [f"  written anew: {name}" for name in self.rewritten]
        lines += [f"  deleted, nothing else was in it: {name}" for name in self.deleted]
        if self.rejects_dropped:
            lines.append(f"  {self.rejects_dropped} rejected rows of those files went too.")
        lines.append("What was printed before stays in ops.prints and ops.runs, as totals.")
        lines.append("Deliveries that name them again bring them back: stop those at the source.")
        return "\n".join(lines)


def kind_of_name(places: Settings, name: str) -> str:
    """Whether the published file knows the name as a team or as a member.

    Raises UsageError when it knows neither, or both.
    """
    teams = ("journey.teams", "fact.teams", "fact.member_days", "fact.charge_days")
    queries = {
        "team": " union all ".join(
            f"select 1 from {t} where team_id in ($name, $hashed)" for t in teams
        ),
        "member": "select 1 from fact.member_days where member_id in ($name, $hashed)",
    }
    with warehouse.published(places.published) as con:
        found = [
            kind
            for kind, query in queries.items()
            if warehouse.one(
                con, f"{query} limit 1", {"name": name, "hashed": _hashed(places, name, kind)}
            )
        ]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"{name!r} is a team and a member: say --kind team or --kind member.")
    raise UsageError(f"There is no team and no member {name!r} in {places.published}.")


def _hashed(places: Settings, name: str, kind: str) -> str:
    return lake.pseudonym(name, places.member_key, kind == "member")


def forget(places: Settings, name: str, kind: str, now: datetime) -> Forgotten:
    """Take the team's or member's rows out of landing and lake, and the team's out of the facts.

    The next night publishes without them. Where files are no longer kept, the charge days are built
    here already, to tell what the facts then lack. Raises UsageError while a night is at work, and
    what night.build_charge_days raises: the command may then be given again.
    """
    with only_one(places.lock, "cloudbound forget"):
        night = steps.prepare(places)
        entries = {(e.source, e.name): e for e in steps.take_stock(night, now)}
        spans = steps.team_spans(night, entries.values())
        rewritten, deleted, rows, dropped = [], [], dict[str, int](), 0
        for file in landing.scan(places.landing, now):
            entry = entries[(file.source, file.name)]
            if file.expired or not _may_hold(entry, places, kind):
                continue
            kept, taken = _without(night, file, entry, spans, name, kind)
            if not taken:
                continue
            rows[entry.family] = rows.get(entry.family, 0) + taken
            dropped += entry.rejected
            shown = f"{file.source}/{file.name}"
            if kept.height:
                landing.rewrite(file, *_written(file, entry, kept))
                rewritten.append(shown)
            else:
                landing.rewrite(file, None, "")
                deleted.append(shown)
            lake.remove(entry, places.lake)
        _from_facts(places, name, kind)
        if kind == "team" and any(e.is_expired for e in entries.values()):
            _from_what_is_kept(night, entries.values(), spans, name)
            # Their charges in files that are no longer kept can only be told by what is lacking.
            steps.take_stock(night, now)
            steps.build_charge_days(night)
            accounts.book_forgotten(night)
        # Else earlier versions of the tables stand in free blocks.
        warehouse.compact(places.build)
    return Forgotten(kind, tuple(rewritten), tuple(deleted), rows, dropped)


def _may_hold(entry: Entry, places: Settings, kind: str) -> bool:
    readable = entry.family in _OWNERS and not entry.whole_file_reason
    return readable and (kind == "team" or entry.family == "requests")


def _without(
    night: Night, file: LandingFile, entry: Entry, spans: pl.DataFrame, name: str, kind: str
) -> tuple[pl.DataFrame, int]:
    """Canonical rows that stay, and how many don't (rejected rows that name them count)."""
    good, named = [], 0
    form = registry.named(entry.format)
    for chunk in form.read(file.path, Options(timezone=file.timezone)):
        rows, bad = contracts.split(entry.family, chunk.rows, chunk.raw, night.reference.currencies)
        good.append(rows)
        named += int(pl.concat([bad, chunk.broken])["row"].str.contains(name, literal=True).sum())
    rows = pl.concat(good)
    theirs = _is_theirs(night, entry, rows, spans, name, kind)
    return rows.filter(~theirs), int(theirs.sum()) + named


def _is_theirs(
    night: Night, entry: Entry, rows: pl.DataFrame, spans: pl.DataFrame, name: str, kind: str
) -> pl.Series:
    names = [name, _hashed(night.settings, name, kind)]
    rows = lake.pseudonymised(rows, night.settings.member_key)
    if kind == "member":
        return rows["member"].is_in(names).fill_null(False)
    owners, dated = _OWNERS[entry.family]
    theirs = pl.Series([False] * rows.height, dtype=pl.Boolean)
    if entry.family == "account_links":
        theirs |= rows["source_id"].is_in(names)
    if dated is not None:
        day = on_business_day(pl.col(dated), night.definition.zone)
        placed = rows.with_columns(source=pl.lit(entry.source), day=day)
        linked = pl.Series([None] * rows.height, dtype=pl.String)
        for column in owners:
            linked = linked.fill_null(links.linked_team(placed, spans, column, "day"))
        theirs |= linked.is_in(names).fill_null(False)
    for column in owners:
        theirs |= rows[column].is_in(names).fill_null(False)
    return theirs


def _written(file: LandingFile, entry: Entry, kept: pl.DataFrame) -> tuple[Path, str]:
    """The rows in a file of the same kind beside the old one, and the format that reads it.

    Raises UsageError when reading it does not give the same rows: then nothing was changed.
    """
    form = registry.named("focus" if entry.family == "charges" else f"canonical_{entry.family}")
    raw = kept.select(
        pl.col(column).alias(names[0])
        for column, (_, *names) in form.mapping.items()
        if column in kept.columns
    )
    partial = file.path.with_name(f".{file.path.name}.partial")
    kind = kind_of(file.path, head_of(file.path))
    with file.path.open("rb") as handle:
        zipped = handle.read(2) == b"\x1f\x8b"
    plain = partial.with_name(f"{partial.name}.plain")
    if kind == "parquet":
        raw.write_parquet(plain, compression="zstd")
    elif kind == "csv":
        raw.write_csv(plain, datetime_format="%Y-%m-%dT%H:%M:%S%.6fZ")
    else:
        texts: list[Any] = [
            pl.col(c).dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ") if t.is_temporal()
            else pl.col(c).cast(pl.String)
            for c, t in raw.schema.items()
        ]  # fmt: skip
        raw.select(texts).write_ndjson(plain)
    if zipped:
        with plain.open("rb") as source, gzip.open(partial, "wb") as target:
            shutil.copyfileobj(source, target)
        plain.unlink()
    else:
        plain.replace(partial)
    same = [c for c in form.mapping if c in kept.columns]
    again = pl.concat([c.rows for c in form.read(partial, Options())])
    if not again.select(same).equals(kept.select(same)):
        partial.unlink()
        raise UsageError(
            f"{file.path} can't be written anew without loss: take the rows out of it by hand, "
            "and run this command again."
        )
    return partial, form.name


def _from_what_is_kept(
    night: Night, entries: Iterable[Entry], spans: pl.DataFrame, name: str
) -> None:
    """The team and the ids that were linked to it, in what the lake keeps of expired files."""
    names = [name, _hashed(night.settings, name, "team")]
    linked = spans.filter(pl.col("team_id").is_in(names))
    for entry in entries:
        if entry.is_expired:
            theirs = linked.filter(source=entry.source)["source_id"].to_list()
            lake.forget(entry, [*names, *theirs], night.settings.lake)


def _from_facts(places: Settings, name: str, kind: str) -> None:
    """Their rows in the build file.

    A night rebuilds the days that the rewritten files touch; this reaches days whose files are
    no longer kept. A member's share of a team's totals on such days can't be told apart and
    stays.
    """
    column = "team_id" if kind == "team" else "member_id"
    names = [name, _hashed(places, name, kind)]
    with warehouse.build(places.build) as con:
        for (table,) in con.execute(
            "select schema_name || '.' || table_name from duckdb_columns() "
            "where column_name = ? and schema_name in ('fact', 'ref', 'journey', 'metric', 'ops')",
            [column],
        ).fetchall():
            con.execute(f"delete from {table} where list_contains(?, {column})", [names])
        if warehouse.exists(con, tables.DAY_CONTENTS.name):
            con.execute(f"delete from {tables.DAY_CONTENTS.name}")  # the days now hold less


def remove_earlier_versions(places: Settings) -> None:
    """Delete the versions before the published one: they still name who was forgotten."""
    warehouse.remove_earlier(places.published)
