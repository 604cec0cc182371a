"""What became of every row and every amount of the delivered files.

Belongs here: ops.files, ops.rejects and ops.money, and what their warnings name.
Does not belong here: reading files (lake.py), what a row is worth (rollup/).
"""

from decimal import Decimal
from typing import Any

import duckdb
import polars as pl

from pipelines import contracts, documented, lake, sql_assets, tables, warehouse
from pipelines import night as steps
from pipelines.lake import Entry
from pipelines.night import Night
from pipelines.rollup import charges
from pipelines.sql_assets import Outcome

_AMOUNTS: dict[str, Any] = {
    "source": pl.String, "currency": pl.String, "billed": charges.AMOUNT,
    "effective": charges.AMOUNT,
}  # fmt: skip


def account_for(night: Night) -> Outcome:
    """ops.files, ops.rejects and ops.money: every row and every amount is somewhere."""
    entries = steps.entries_of(night)
    bills = steps.bills(night, entries)
    billed = dict(
        bills.group_by("fingerprint")
        .agg(
            accepted=pl.col("rows").filter("is_current").sum(),
            superseded=pl.col("rows").filter(~pl.col("is_current")).sum(),
        )
        .select("fingerprint", pl.struct("accepted", "superseded"))
        .iter_rows()
    )
    with warehouse.build(night.settings.build) as con:
        kept = dict(
            con.execute(
                "select fingerprint, sum(kept)::bigint from (from ops.kept_days select "
                "fingerprint, kept union all by name from ops.kept_events) group by 1"
            ).fetchall()
        )
        files = [_file_row(e, kept, billed) for e in entries]
        with warehouse.transaction(con):
            schema: dict[str, Any] = dict.fromkeys(tables.FILES.columns, pl.String) | dict.fromkeys(("rows_read", "accepted", "rejected", "superseded", "duplicate"), pl.Int64) | {"loaded_at": pl.Datetime("us", "UTC")}  # fmt: skip
            frame = pl.DataFrame(files, schema=schema)
            documented.write(con, tables.FILES, frame.sort("file"))
            rejects = _rejects(night, entries)
            documented.ensure(con, tables.FORGOTTEN_MONEY, _AMOUNTS)
            documented.write(con, tables.REJECTS, rejects.drop("source", "is_charge"))
            documented.write(con, tables.MONEY, _money(con, entries, bills, rejects))
            breaches: dict[str, int] = {}
            accounts = (
                tables.FILES, tables.MONEY, tables.UNMAPPED_SERVICES, tables.REPEATED_IDS,
            )  # fmt: skip
            for table in accounts:
                found = sql_assets.evaluate(con, table.name, table.checks)
                breaches |= {f"{table.name}: {k}": v for k, v in found.items()}
    return Outcome(rows=len(files), breaches=breaches)


def book_forgotten(night: Night) -> None:
    """What the facts lack of the money that was read joins ops.forgotten_money.

    For the moment after a team was taken out of facts and landing, whose money added up before: its
    charges in files that are no longer kept are all that can be lacking then.
    """
    entries = steps.entries_of(night)
    with warehouse.build(night.settings.build) as con, warehouse.transaction(con):
        documented.ensure(con, tables.FORGOTTEN_MONEY, _AMOUNTS)
        money = _money(con, entries, steps.bills(night, entries), _rejects(night, entries))
        became = {
            kind: [c for c in money.columns if c.startswith(kind) and c != f"{kind}_in"]
            for kind in ("billed", "effective")
        }
        lacking = money.select(
            "source",
            "currency",
            *(
                (pl.col(f"{kind}_in") - pl.sum_horizontal(columns)).cast(charges.AMOUNT).alias(kind)
                for kind, columns in became.items()
            ),
        )
        is_lacking = pl.any_horizontal(pl.col("billed", "effective") != 0)
        documented.append(con, tables.FORGOTTEN_MONEY, lacking.filter(is_lacking))


def unknown_services(night: Night, shown: int = 5) -> str:
    """The services that services.csv doesn't know, the most expensive first."""
    with warehouse.build(night.settings.build) as con:
        rows = con.execute(
            "select concat_ws(' ', nullif(provider, ''), coalesce(service, '(no service)')), net_cny "
            "from ops.unmapped_services where net_cny <> 0 order by abs(net_cny) desc, 1 limit ?",
            [shown],
        ).fetchall()
    return ", ".join(f"{name} {cost:.2f} CNY" for name, cost in rows)


def _file_row(
    entry: Entry, kept: dict[str, int], billed: dict[str, dict[str, int]]
) -> dict[str, Any]:
    """Counts that come from different places, so that their sum says something."""
    superseded = duplicate = 0
    rejected = entry.rejected
    if entry.is_copy:
        accepted, rejected, duplicate = 0, 0, entry.rows_read
    elif entry.family == "charges":
        found = billed.get(entry.fingerprint, {"accepted": 0, "superseded": 0})
        accepted, superseded = found["accepted"], found["superseded"]
    else:
        accepted = good = sum(entry.days.values())
        if entry.family in ("requests", "subscriptions"):
            accepted = kept.get(entry.fingerprint, 0)
        duplicate = good - accepted
    return {
        "file": f"{entry.source}/{entry.name}",
        "source": entry.source,
        "family": entry.family,
        "format": entry.format,
        "because": entry.because,
        "snapshot": entry.snapshot,
        "sha256": entry.sha256,
        "fingerprint": entry.fingerprint,
        "rows_read": entry.rows_read,
        "accepted": accepted,
        "rejected": rejected,
        "superseded": superseded,
        "duplicate": duplicate,
        "loaded_at": entry.recorded_at,
        "warnings": "; ".join(entry.warnings),
    }


def _rejects(night: Night, entries: list[Entry]) -> pl.DataFrame:
    schema: dict[str, Any] = {"source": pl.String, "is_charge": pl.Boolean, "file": pl.String}
    frames = [pl.DataFrame(schema=schema | contracts.REJECTED)]
    for entry in entries:
        if not entry.is_copy and (entry.rejected or entry.whole_file_reason):
            found = lake.rejects(entry, night.settings.lake)
            origin = (entry.source, entry.family == "charges", f"{entry.source}/{entry.name}")
            named = [pl.lit(v).alias(n) for n, v in zip(schema, origin, strict=True)]
            frames.append(found.select(*named, *contracts.REJECTED))
    return pl.concat(frames).sort("file", "line", "reason", "currency")


def _money(
    con: duckdb.DuckDBPyConnection,
    entries: list[Entry],
    bills: pl.DataFrame,
    rejects: pl.DataFrame,
) -> pl.DataFrame:
    """Amounts of all charge rows as they were read, beside what became of them, per source."""
    counted = [e for e in entries if e.family == "charges" and not e.is_copy]
    read = [
        (e.source, m["currency"], Decimal(m["billed"]), Decimal(m["effective"]))
        for e in counted
        for m in e.money
    ]
    # Of a file that is no longer kept, the rejects are gone, but not what they came to.
    let_go = [
        (e.source, m["currency"], Decimal(m["billed"]), Decimal(m["effective"]))
        for e in counted
        if e.is_expired and not e.whole_file_reason
        for m in e.rejected_money
    ]
    booked, forgotten_teams = (
        warehouse.frame(
            con,
            "select source, currency, sum(billed) as billed, sum(effective) as effective "
            f"from {table} group by all",
        ).select(pl.col(n).cast(t) for n, t in _AMOUNTS.items())
        for table in (tables.CHARGE_DAYS.name, tables.FORGOTTEN_MONEY.name)
    )
    refused = rejects.filter("is_charge").with_columns(
        pl.col("currency").str.to_uppercase().fill_null("")
    )
    parts = {
        "_in": pl.DataFrame(read, schema=_AMOUNTS, orient="row"),
        "": booked,
        "_rejected": pl.concat(
            [refused.select(*_AMOUNTS), pl.DataFrame(let_go, schema=_AMOUNTS, orient="row")]
        ),
        "_superseded": bills.filter(~pl.col("is_current")).select(*_AMOUNTS),
        "_forgotten": forgotten_teams,
    }
    long = pl.concat(f.with_columns(part=pl.lit(name)) for name, f in parts.items())
    amounts = [
        pl.col(kind).filter(pl.col("part") == name).sum().alias(f"{kind}{name}")
        for kind in ("billed", "effective")
        for name in parts
    ]
    sums = long.group_by("source", "currency").agg(amounts).sort("source", "currency")
    return sums.filter(pl.any_horizontal(pl.exclude("source", "currency") != 0))
