"""One night, step by step: each function is one asset's work, without Dagster.

Belongs here: the order of things, and which function of which room a step calls.
Does not belong here: rules of the metric (sql/, rollup/), where every row and amount went
(accounts.py), what a night keeps of itself and publishes (prints.py), orchestration (defs/).

Every step does its part in one transaction of the private build file, so a night that dies leaves
whole steps behind and the next one goes on from there.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar

import duckdb
import polars as pl

from pipelines import definition as definitions
from pipelines import (
    documented,
    lake,
    landing,
    made_days,
    reference,
    rerun,
    sql_assets,
    tables,
    warehouse,
)
from pipelines.definition import Definition
from pipelines.errors import UsageError
from pipelines.lake import Entry
from pipelines.reference import Reference
from pipelines.rollup import charges, engines, inputs, links, repeats, requests
from pipelines.rollup.calendar import on_business_day
from pipelines.rollup.inputs import Inputs
from pipelines.settings import Settings
from pipelines.sql_assets import Outcome, SqlAsset
from pipelines.tables import Table

_T = TypeVar("_T")
Progress = Callable[[str, int, int], None]
FAMILIES_OF_DAYS = ("requests", "charges")


def silent(step: str, done: int, total: int) -> None:
    """No progress shown."""


@dataclass(frozen=True)
class Night:
    """What a night is asked for, and the files it reads it with."""

    settings: Settings
    definition: Definition
    reference: Reference
    as_of: date | None = None
    known_at: datetime | None = None
    progress: Progress = silent


def prepare(
    settings: Settings,
    as_of: date | None = None,
    known_at: datetime | None = None,
    progress: Progress = silent,
) -> Night:
    """Read definition and reference files. Raises UsageError when one is not usable."""
    return Night(
        settings=settings,
        definition=definitions.load(settings.reference / "definition.toml"),
        reference=reference.load(settings.reference),
        as_of=as_of,
        known_at=known_at,
        progress=progress,
    )


def take_stock(night: Night, now: datetime) -> list[Entry]:
    """Landing to lake: every file that is not there yet. Raises UsageError on an empty landing."""
    files = landing.scan(night.settings.landing, now)
    if not files:
        raise UsageError(
            f"{night.settings.landing} holds no files: "
            "run cloudbound ingest PATH --source NAME (or cloudbound demo)."
        )
    context = lake.Context(
        lake=night.settings.lake,
        zone=night.definition.zone,
        currencies=night.reference.currencies,
        member_key=night.settings.member_key,
    )
    entries = lake.load(files, context, night.progress)
    lake.save_inventory(entries, night.settings.lake)
    if all(e.family == "unknown" for e in entries):
        raise UsageError(
            f"None of the {len(entries)} files in {night.settings.landing} can be read: "
            f"{entries[0].source}/{entries[0].name}: {entries[0].whole_file_reason}."
        )
    return entries


def entries_of(night: Night) -> list[Entry]:
    """The lake's entries that the knowledge clock lets this night see."""
    return lake.visible(lake.inventory(night.settings.lake), night.known_at)


def write_reference(night: Night) -> dict[str, int]:
    """ref.* tables: the reference files, links resolved to spans, coverage, the definition."""
    entries = entries_of(night)
    spans = team_spans(night, entries)
    coverage = (
        bills(night, entries)
        .filter("is_current")
        .group_by("source")
        .agg(pl.col("starts_on").min())
        .sort("source")
    )
    rows = [
        (
            night.definition.hash,
            name,
            json.dumps(value, default=str, ensure_ascii=False),
        )
        for name, value in night.definition.parameters().items()
        if name != "definition"
    ]
    parameters = pl.DataFrame(rows, schema=["definition", "name", "value"], orient="row")
    written = {}
    with warehouse.build(night.settings.build) as con, warehouse.transaction(con):
        for name, frame in night.reference.tables().items():
            written[f"ref.{name}"] = documented.write(con, tables.REFERENCE[name], frame)
        written["ref.team_spans"] = documented.write(con, tables.TEAM_SPANS, spans)
        stretches = links.stretches(lake.identities(entries, night.settings.lake), spans)
        written["ref.identity_stretches"] = documented.write(
            con, tables.IDENTITY_STRETCHES, stretches
        )
        written["ref.coverage"] = documented.write(con, tables.COVERAGE, coverage)
        written["ops.definition"] = documented.write(con, tables.DEFINITION, parameters)
    return written


def bills(night: Night, entries: list[Entry]) -> pl.DataFrame:
    """What the bills state: rows, billed, effective and starts_on (their first day) by fingerprint,
    source, currency and is_current: no newer snapshot has replaced it."""
    return _charge_plan(night, entries).bills


def team_spans(night: Night, entries: Iterable[Entry]) -> pl.DataFrame:
    """source, source_id, team_id, from_on, to_on; see rollup/links.py."""
    entries = [e for e in entries if e.family == "account_links"]

    def made() -> pl.DataFrame:
        known = lake.read_undated(entries, "account_links", night.settings.lake)
        return links.spans(known, night.definition.zone, night.known_at)

    return _kept("team_spans", _of(night, entries), made)


@dataclass(frozen=True)
class Rebuilt:
    """Days of facts that a step rebuilt, of those that it looked at."""

    days: tuple[date, ...]
    looked_at: int
    reasons: dict[date, str] = field(default_factory=dict)


def told(rebuilt: Rebuilt) -> list[str]:
    """A line for each reason: how many days, which, and why."""
    days: dict[str, list[date]] = {}
    for day, why in rebuilt.reasons.items():
        days.setdefault(why, []).append(day)
    return [
        f"{len(found)} days, {min(found)} to {max(found)}: {why}"
        if len(found) > 1
        else f"{found[0]}: {why}"
        for why, found in days.items()
    ]


def touched_days(night: Night) -> tuple[date, date]:
    """First and last day of the night: [earliest day to rebuild, A - 1].

    Raises UsageError as take_stock and set_clock do.
    """
    last = as_of_day(night, entries_of(night))[0] - timedelta(days=1)
    return min([*changed_days(night), last]), last


def changed_days(night: Night) -> set[date]:
    """Days whose facts are not what the lake would make of them."""
    entries = entries_of(night)
    plans = {
        "requests": _request_marks(night, entries),
        "charges": _charge_plan(night, entries).marks,
    }
    with warehouse.build(night.settings.build) as con:
        return {
            day
            for family, marks in plans.items()
            for day in _changed_days(con, family, marks) - lake.frozen_days(entries, family)
        }


def build_request_days(night: Night, force: frozenset[date] = frozenset()) -> Rebuilt:
    """fact.member_days, fact.usage_days and fact.blocked_hours: the days whose fingerprint changed, and `force`."""
    entries = entries_of(night)
    spans = team_spans(night, entries)
    days = lake.days_of(entries, "requests")
    marks = _request_marks(night, entries)
    with warehouse.build(night.settings.build) as con:
        changed = _changed_days(con, "requests", marks) | (force & marks.keys())
        changed -= lake.frozen_days(entries, "requests")
        todo = {d: days.get(d, []) for d in sorted(changed)}
        reasons = _reasons(con, "requests", todo, marks, entries)
        if todo:
            with engines.opened(night.settings.engine) as engine:
                _roll_up_requests(night, con, engine, todo, marks, reasons, spans)
        documented.ensure(con, tables.MEMBER_DAYS, requests.MEMBER_DAYS)
        documented.ensure(con, tables.USAGE_DAYS, requests.USAGE_DAYS)
        documented.ensure(con, tables.BLOCKED_HOURS, requests.BLOCKED_HOURS)
        documented.ensure(con, tables.KEPT_DAYS, requests.KEPT)
        looked = repeats.looked_at(todo)
        again = repeats.repeated_ids(days, night.settings.lake, looked)
        with warehouse.transaction(con):
            warehouse.replace_days(con, tables.REPEATED_IDS.name, looked, again)
        documented.ensure(con, tables.REPEATED_IDS, repeats.REPEATED_IDS)
    return Rebuilt(tuple(todo), len(days), reasons)


def _roll_up_requests(
    night: Night,
    con: duckdb.DuckDBPyConnection,
    engine: engines.Engine,
    todo: lake.Days,
    marks: dict[date, Inputs],
    reasons: dict[date, str],
    spans: pl.DataFrame,
) -> None:
    done = 0
    for batch in lake.batches(todo, engine.rows_per_batch):
        facts = engine.roll_up(batch, night.settings.lake, spans, night.reference)
        with warehouse.transaction(con):
            for table, frame in (
                (tables.MEMBER_DAYS, facts.member_days),
                (tables.USAGE_DAYS, facts.usage_days),
                (tables.BLOCKED_HOURS, facts.blocked_hours),
                (tables.KEPT_DAYS, facts.kept),
            ):
                warehouse.replace_days(con, table.name, batch, frame)
            _mark_days(con, "requests", batch, marks, reasons)
        del facts, frame  # else they stand in memory beside the next batch
        done += len(batch)
        night.progress("requests -> facts", done, len(todo))


def _request_marks(night: Night, entries: list[Entry]) -> dict[date, Inputs]:
    """Day -> its files and what else decides its rows."""
    days = lake.days_of(entries, "requests")
    by_day = {
        "links": inputs.links_on(team_spans(night, entries), days),
        "models": inputs.rules_on(night.reference.models, days),
        "fx": inputs.rates_on(night.reference.fx, days),
    }
    return {
        d: {"rules": str(requests.VERSION), "files": {e.fingerprint: "" for e in found}}
        | {part: hashes[d] for part, hashes in by_day.items()}
        for d, found in days.items()
    }


def build_charge_days(night: Night, force: frozenset[date] = frozenset()) -> Rebuilt:
    """fact.charge_days: the days whose fingerprint changed, and `force`.

    Raises CheckFailed when a currency has no rate on a day.
    """
    entries = entries_of(night)
    plan = _charge_plan(night, entries)
    spans, book, days, marks = plan.spans, plan.book, plan.days, plan.marks
    with warehouse.build(night.settings.build) as con:
        asked = _changed_days(con, "charges", marks) | (force & marks.keys())
        changed = sorted(asked - lake.frozen_days(entries, "charges"))
        reasons = _reasons(con, "charges", changed, marks, entries)
        todo, done = {d: days.get(d, []) for d in changed}, 0
        for batch in lake.batches(todo, charges.ROWS_AT_ONCE):
            facts = charges.roll_up(batch, night.settings.lake, book, spans, night.reference)
            with warehouse.transaction(con):
                for table, frame in (
                    (tables.CHARGE_DAYS, facts.charge_days),
                    (tables.UNMAPPED_DAYS, facts.unmapped),
                    (tables.ADJUSTMENT_DAYS, facts.adjustments),
                ):
                    warehouse.replace_days(con, table.name, batch, frame)
                _mark_days(con, "charges", batch, marks, reasons)
            del facts, frame
            done += len(batch)
            night.progress("charges -> facts", done, len(changed))
        documented.ensure(con, tables.CHARGE_DAYS, charges.CHARGE_DAYS)
        documented.ensure(con, tables.UNMAPPED_DAYS, charges.UNMAPPED)
        documented.ensure(con, tables.ADJUSTMENT_DAYS, charges.ADJUSTMENTS)
        with warehouse.transaction(con):
            documented.write(con, tables.UNALLOCATED_CREDITS, book.unallocated)
            con.execute(
                "create or replace table ops.unmapped_services as select provider, service, "
                "category, sum(net_cny) as net_cny from ops.unmapped_days group by all "
                "order by abs(sum(net_cny)) desc, provider, service, category"
            )
            documented.describe(con, tables.UNMAPPED_SERVICES)
    return Rebuilt(tuple(changed), len(days), reasons)


@dataclass(frozen=True)
class _ChargePlan:
    spans: pl.DataFrame
    bills: pl.DataFrame
    book: charges.Ledger
    days: dict[date, list[Entry]]
    marks: dict[date, Inputs]


def _charge_plan(night: Night, entries: list[Entry]) -> _ChargePlan:
    """Marks: day -> hash of its files, of the statements that count in them, and its credits."""
    decide = [e for e in entries if e.family in ("charges", "account_links")]
    return _kept("charge_plan", _of(night, decide), lambda: _make_charge_plan(night, entries))


def _make_charge_plan(night: Night, entries: list[Entry]) -> _ChargePlan:
    spans = team_spans(night, entries)
    winning, stated = charges.settled(lake.statements(entries, night.settings.lake))
    book = charges.ledger(entries, winning, night.settings.lake)
    days = lake.days_of(entries, "charges")
    verdict = pl.struct("account", "billing_period", "snapshot_now", "has_effective_now").hash()
    summed = stated.group_by(
        "fingerprint", "source", "currency", is_current=pl.col("snapshot") == pl.col("snapshot_now")
    ).agg(
        pl.col("rows", "billed", "effective").sum(),
        pl.col("starts_on").min(),
        verdict=verdict.sum(),
    )
    verdicts = dict(summed.group_by("fingerprint").agg(pl.col("verdict").sum()).iter_rows())
    rates = {
        day: inputs.hash_of(part.hash_rows().to_list())
        for (day,), part in book.credit_rates.partition_by("usage_on", as_dict=True).items()
    }
    by_day = {
        "links": inputs.links_on(spans, days),
        "services": inputs.rules_on(night.reference.services, days),
        "fx": inputs.rates_on(night.reference.fx, days),
    }
    marks = {
        d: {
            "rules": str(charges.VERSION),
            "credits": rates.get(d, ""),
            "files": {e.fingerprint: str(verdicts.get(e.fingerprint, "")) for e in found},
        }
        | {part: hashes[d] for part, hashes in by_day.items()}
        for d, found in days.items()
    }
    return _ChargePlan(spans, summed.drop("verdict"), book, days, marks)


def write_subscriptions(night: Night) -> int:
    """fact.subscriptions: one event per (source, event id), the latest, ties by content."""
    entries = entries_of(night)
    zone = night.definition.zone
    rows = lake.read_undated(entries, "subscriptions", night.settings.lake)
    rows = rows.with_columns(
        occurred_on=on_business_day(pl.col("occurred_at"), zone),
        period_start_on=on_business_day(pl.col("period_start"), zone),
        period_end_on=on_business_day(pl.col("period_end"), zone),
    )
    named = links.with_team(rows, team_spans(night, entries), "team", "occurred_on")
    content = [
        "team", "plan", "event", "period_start", "period_end", "list_amount", "net_amount",
        "currency", "promotion", "fingerprint", "line",
    ]  # fmt: skip
    by_source = [named.filter(source=name) for name in named["source"].unique().sort()]
    ordered = pl.concat([named.clear(), *(part.sort("event_id") for part in by_source)])
    latest = _newest_of_each(ordered, ["source", "event_id"], ["occurred_at", *content])
    with warehouse.build(night.settings.build) as con, warehouse.transaction(con):
        kept = latest.group_by("fingerprint").agg(kept=pl.len()).sort("fingerprint")
        documented.write(con, tables.KEPT_EVENTS, kept)
        return documented.write(
            con, tables.SUBSCRIPTIONS, latest.select(*tables.SUBSCRIPTIONS.columns)
        )


def _newest_of_each(ordered: pl.DataFrame, key: list[str], by: list[str]) -> pl.DataFrame:
    """Of rows in the order of their key, the greatest by `by` of each key, nulls being less than
    any."""
    is_as_before = pl.all_horizontal(pl.col(k).eq(pl.col(k).shift()).fill_null(False) for k in key)
    is_alone = ~(is_as_before | is_as_before.shift(-1, fill_value=False))
    rows = ordered.with_columns(is_alone=is_alone).with_row_index("place")
    several = rows.filter(~pl.col("is_alone"))  # few are, and to sort them alone is quick
    if several.height == 0:
        return ordered
    best = several.sort(by, descending=True, nulls_last=True).unique(
        key, keep="first", maintain_order=True
    )
    is_best = pl.col("is_alone") | pl.col("place").is_in(best["place"])
    return rows.filter(is_best).drop("is_alone", "place")


def write_directory(night: Night) -> dict[str, int]:
    """fact.teams, fact.assignments, fact.channel_costs: the latest row of each key counts."""
    entries = entries_of(night)
    recorded = {e.fingerprint: e.recorded_at for e in entries if not e.is_copy}

    def latest(family: str, key: list[str]) -> pl.DataFrame:
        rows = lake.read_undated(entries, family, night.settings.lake)
        when = rows["fingerprint"].replace_strict(recorded, return_dtype=pl.Datetime("us", "UTC"))
        ordered = rows.with_columns(delivered_at=when).sort(key)
        return _newest_of_each(ordered, key, ["delivered_at", "fingerprint", "line"])

    spans = team_spans(night, entries)
    assigned = lake.read_undated(entries, "assignments", night.settings.lake)
    assigned = assigned.with_columns(
        assigned_on=on_business_day(pl.col("assigned_at"), night.definition.zone)
    )
    assigned = links.with_team(assigned, spans, "team", "assigned_on")
    assigned = assigned.sort("assigned_at", "arm").unique(
        ["team_id", "experiment"], keep="first", maintain_order=True
    )
    costs = latest("channel_costs", ["month", "channel", "currency"])
    costs = costs.with_columns(month_on=pl.col("month").dt.date())
    frames = (
        (tables.TEAMS, latest("teams", ["team_id"])),
        (tables.ASSIGNMENTS, assigned.sort("team_id", "experiment")),
        (tables.CHANNEL_COSTS, costs.sort("month_on", "channel", "currency")),
    )
    with warehouse.build(night.settings.build) as con, warehouse.transaction(con):
        return {t.name: documented.write(con, t, f.select(*t.columns)) for t, f in frames}


def as_of_day(night: Night, entries: list[Entry]) -> tuple[date, dict[str, date | None]]:
    """A, and the newest business day of each family.

    The default A is one day after the newest business day that requests and charges both
    reach; a family that was never seen doesn't count. Raises UsageError when neither was.
    """
    newest = {
        family: max(
            (
                date.fromisoformat(e.newest_on)
                for e in entries
                if e.family == family and e.newest_on
            ),
            default=None,
        )
        for family in FAMILIES_OF_DAYS
    }
    seen = [day for day in newest.values() if day is not None]
    if not seen:
        raise UsageError(
            "Landing has neither requests nor charges that can be used: see ops.rejects, or "
            "ingest a request log and a billing export."
        )
    return night.as_of or min(seen) + timedelta(days=1), newest


def set_clock(night: Night) -> dict[str, Any]:
    """ops.clock: the as-of day (asked for, or the default) and the data-complete day."""
    d = night.definition
    as_of, newest = as_of_day(night, entries_of(night))
    with warehouse.build(night.settings.build) as con:
        clock = {
            "as_of": as_of,
            "known_at": night.known_at,
            "data_complete_on": as_of - timedelta(days=d.lag_days + d.qualifying_window_days),
            "last_request_on": newest["requests"],
            "last_charge_on": newest["charges"],
            "definition": d.hash,
            "reference": night.reference.hash,
        }
        schema: dict[str, Any] = {
            "as_of": pl.Date, "known_at": pl.Datetime("us", "UTC"), "data_complete_on": pl.Date,
            "last_request_on": pl.Date, "last_charge_on": pl.Date, "definition": pl.String,
            "reference": pl.String,
        }  # fmt: skip
        with warehouse.transaction(con):
            documented.write(con, tables.CLOCK, pl.DataFrame([clock], schema=schema))
            warehouse.install_macros(con, over_tables=False)
    return clock


def parameters(con: duckdb.DuckDBPyConnection, definition: Definition) -> dict[str, Any]:
    """Everything that a .sql file may bind: the definition's fields and the two clocks."""
    row = warehouse.one(con, "select as_of, known_at, data_complete_on from ops.clock")
    if row is None:
        raise UsageError("ops.clock is empty: run the asset ops/clock (or the whole night) first.")
    clocks = dict(zip(("as_of", "known_at", "data_complete_on"), row, strict=True))
    return definition.parameters() | clocks


def run_sql(night: Night, asset: SqlAsset) -> Outcome:
    """Rebuild one SQL table, or the days of it that changed."""
    with warehouse.build(night.settings.build) as con, warehouse.transaction(con):
        bound = parameters(con, night.definition)
        if asset.days:
            return made_days.run(con, asset, asset.days, bound)
        return sql_assets.run(con, asset, bound)


def check_facts(night: Night, table: Table) -> Outcome:
    """Rows of a Python-filled table and the breaches of its checks."""
    with warehouse.build(night.settings.build) as con:
        row = warehouse.one(con, f"select count(*) from {table.name}")
        assert row is not None
        breaches = sql_assets.evaluate(con, table.name, table.checks)
        return Outcome(row[0], breaches, sql_assets.column_types(con, table.name))


def write_other_definitions(night: Night) -> dict[str, int]:
    """metric.definition_grid and metric.definition_series: the rules under other definitions."""
    current = night.definition
    with warehouse.build(night.settings.build) as con:
        earlier = [d for d in _published_definitions(con) if d.hash != current.hash]
        frames = (
            (tables.DEFINITION_GRID, rerun.grid(con, current)),
            (tables.DEFINITION_SERIES, rerun.series(con, current, earlier)),
        )
        with warehouse.transaction(con):
            return {table.name: documented.write(con, table, rows) for table, rows in frames}


def _published_definitions(con: duckdb.DuckDBPyConnection) -> list[Definition]:
    """Definitions of earlier prints, oldest first; those of a version with other fields are left
    out, since their rules are no longer known."""
    if not warehouse.exists(con, tables.DEFINITIONS.name):
        return []
    query = "select fields from ops.definitions order by first_published_at, definition"
    stored = (definitions.from_json(text) for (text,) in con.execute(query).fetchall())
    return [d for d in stored if d is not None]


def _changed_days(
    con: duckdb.DuckDBPyConnection, family: str, marks: dict[date, Inputs]
) -> set[date]:
    """Days whose fingerprint is not the built one, and built days that are gone."""
    names = list(tables.BUILT_DAYS.columns)
    if (
        not warehouse.exists(con, "ops.built_days")
        or list(sql_assets.column_types(con, "ops.built_days")) != names
    ):
        empty = dict.fromkeys(names, pl.String) | {"usage_on": pl.Date}
        documented.write(con, tables.BUILT_DAYS, pl.DataFrame(schema=empty))
    built = dict(
        con.execute(
            "select usage_on, fingerprint from ops.built_days where family = ?",
            [family],
        ).fetchall()
    )
    now = {day: inputs.fingerprint(found) for day, found in marks.items()}
    return {d for d in built.keys() | now.keys() if built.get(d) != now.get(d)}


_LATE = {"requests": "late requests", "charges": "late, corrected or restated charges"}


def _reasons(
    con: duckdb.DuckDBPyConnection,
    family: str,
    days: Iterable[date],
    marks: dict[date, Inputs],
    entries: Iterable[Entry],
) -> dict[date, str]:
    """Why each of the days is built."""
    built = dict(
        con.execute(
            "select usage_on, inputs from ops.built_days where family = ?", [family]
        ).fetchall()
    )
    names = {
        e.fingerprint: f"{e.source}/{e.name}"
        for e in entries
        if e.family == family and not e.is_copy
    }
    return {
        day: inputs.reason(
            json.loads(built[day]) if day in built else None, marks.get(day), names, _LATE[family]
        )
        for day in days
    }


def _mark_days(
    con: duckdb.DuckDBPyConnection,
    family: str,
    days: Iterable[date],
    marks: dict[date, Inputs],
    reasons: dict[date, str],
) -> None:
    days = list(days)
    con.execute(
        "delete from ops.built_days where family = ? and usage_on in (select unnest(?::date[]))",
        [family, days],
    )
    rows = [
        (family, d, inputs.fingerprint(marks[d]), json.dumps(marks[d], sort_keys=True), reasons[d])
        for d in days
        if d in marks
    ]
    if rows:
        con.executemany("insert into ops.built_days values (?, ?, ?, ?, ?)", rows)


def _of(night: Night, entries: Iterable[Entry]) -> str:
    """Hash of what the night's settings and these files decide."""
    parts = (
        night.settings.lake,
        night.reference.hash,
        night.definition.hash,
        night.known_at,
        [e.fingerprint for e in entries],
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


_KEPT: dict[str, tuple[str, Any]] = {}


def _kept(name: str, key: str, make: Callable[[], _T]) -> _T:
    """What `make` gave for this key when it was last asked for: several steps of a night need it."""
    if _KEPT.get(name, ("", None))[0] != key:
        _KEPT.pop(name, None)  # else both stand in memory at once
        _KEPT[name] = (key, make())
    found: _T = _KEPT[name][1]
    return found


def utc_now() -> datetime:
    """The wall clock, for records only: no rule of the metric reads it."""
    return datetime.now(UTC).replace(microsecond=0)
