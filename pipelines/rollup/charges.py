"""Daily parts of charges to fact.charge_days: which rows count, in which family, at what net.

Belongs here: re-statement, the cost basis, families, unallocated credits, conversion to CNY.
Does not belong here: splitting a charge into days (calendar.py), what a workload is made of
over time (sql/journey).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from pipelines import warehouse
from pipelines.errors import CheckFailed
from pipelines.lake import Days, Entry, batches, days_of, read_days
from pipelines.reference import HOME_CURRENCY, Reference
from pipelines.rollup import links
from pipelines.rollup.calendar import is_unallocated_credit

VERSION = 2
FX_HOLD_DAYS = 7
ROWS_AT_ONCE = 500_000  # daily parts of charges, of whole days, that are in memory together
AMOUNT = pl.Decimal(38, 18)
NET = pl.Decimal(38, 12)
CREDIT_FAMILY, UNKNOWN_FAMILY = "credit", "other"
STATEMENT = ["source", "account", "billing_period"]
CHARGE_DAYS: dict[str, Any] = {
    "usage_on": pl.Date, "team_id": pl.String, "provider": pl.String, "family": pl.String,
    "currency": pl.String, "source": pl.String, "is_linked": pl.Boolean, "billed": AMOUNT,
    "effective": AMOUNT, "net_cny": NET,
}  # fmt: skip
UNMAPPED: dict[str, Any] = {
    "usage_on": pl.Date, "provider": pl.String, "service": pl.String, "category": pl.String,
    "net_cny": NET,
}  # fmt: skip
ADJUSTMENTS: dict[str, Any] = {
    "usage_on": pl.Date, "team_id": pl.String, "source": pl.String, "currency": pl.String,
    "kind": pl.String, "billed": AMOUNT, "effective": AMOUNT,
}  # fmt: skip
CREDIT_RATES: dict[str, Any] = {
    "source": pl.String, "account": pl.String, "sub_account": pl.String, "currency": pl.String,
    "usage_on": pl.Date, "rate": AMOUNT,
}  # fmt: skip
UNALLOCATED: dict[str, Any] = {
    "source": pl.String, "account": pl.String, "sub_account": pl.String, "currency": pl.String,
    "charge_starts_on": pl.Date, "credit": AMOUNT, "unallocated": AMOUNT,
}  # fmt: skip


@dataclass(frozen=True)
class ChargeFacts:
    """charge_days, the charges of unmapped services (family other), and the refunds and
    corrections among them; see CHARGE_DAYS, UNMAPPED and ADJUSTMENTS."""

    charge_days: pl.DataFrame
    unmapped: pl.DataFrame
    adjustments: pl.DataFrame


@dataclass(frozen=True)
class Ledger:
    """What the statements and credits decide before any day is rolled up.

    statements: (source, account, billing_period) -> snapshot that counts, has_effective.
    credit_rates: share of a day's positive cost that credits without a service take away.
    unallocated: one row per credit, with what no positive row could take.
    """

    statements: pl.DataFrame
    credit_rates: pl.DataFrame
    unallocated: pl.DataFrame


def ledger(
    entries: Iterable[Entry],
    statements: pl.DataFrame,
    lake: Path,
    rows_per_batch: int = ROWS_AT_ONCE,
) -> Ledger:
    """Spread the credits of all visible charge files, of which the given statements (settled)
    count."""
    chosen = [e for e in entries if e.family == "charges" and not (e.is_copy or e.is_expired)]
    credits = _credits(chosen, lake, statements, rows_per_batch)
    if credits.height == 0:
        return Ledger(
            statements,
            pl.DataFrame(schema=CREDIT_RATES),
            pl.DataFrame(schema=UNALLOCATED),
        )
    reached = _reached(chosen, lake, statements, credits, rows_per_batch)
    rates, unallocated = _spread(credits, reached)
    return Ledger(statements, rates, unallocated)


def settled(statements: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What counts of lake.statements, and all of them, in any order, beside what counts.

    The first: one row per (source, account, billing_period): snapshot (the greatest name),
    has_effective. EffectiveCost is the basis where the statement that counts has it anywhere, else
    BilledCost. The second: the statements with snapshot_now and has_effective_now, those of the first.
    """
    alone, others = _parted(statements)
    is_newest = pl.col("snapshot") == pl.col("snapshot").max().over(STATEMENT)
    found = (
        others.filter(is_newest)
        .group_by([*STATEMENT, "snapshot"])
        .agg(pl.col("has_effective").any())
    )
    same = alone.with_columns(pl.col("snapshot", "has_effective").name.suffix("_now"))
    joined = others.join(found, on=STATEMENT, how="left", suffix="_now")
    return (
        pl.concat([alone.select(found.columns), found]),
        pl.concat([same, joined.select(same.columns)]),
    )


def _parted(statements: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The statements of periods that one file alone bills, in one currency, and all others.

    Those of the first stand as they are: no other can replace them or change their basis, so a
    million of them need not be grouped or joined.
    """
    one_file, one_currency = (
        pl.col(name).n_unique().over("source", "billing_period") == 1
        for name in ("fingerprint", "currency")
    )
    marked = statements.with_columns(is_alone=one_file & one_currency)
    alone, others = (marked.filter(pl.col("is_alone") == is_alone) for is_alone in (True, False))
    return alone.drop("is_alone"), others.drop("is_alone")


def roll_up(
    days: Days,
    lake: Path,
    book: Ledger,
    team_spans: pl.DataFrame,
    reference: Reference,
) -> ChargeFacts:
    """The facts of the given days.

    Raises CheckFailed naming currency and day when a rate is missing for more than 7 days.
    """
    files = _files(days)
    if not files:
        return ChargeFacts(*(pl.DataFrame(schema=s) for s in (CHARGE_DAYS, UNMAPPED, ADJUSTMENTS)))
    rows = _counted(read_days(files, lake), book.statements)
    rows = with_family(rows, reference)
    rows = _with_net(rows, book.credit_rates, reference)
    rows = links.with_owner(rows, team_spans, "usage_on")
    keys = [
        "usage_on",
        "team_id",
        "provider",
        "family",
        "currency",
        "source",
        "is_linked",
    ]
    charge_days = rows.group_by(keys).agg(pl.col("billed", "effective", "net_cny").sum())
    unmapped = (
        rows.filter(pl.col("family") == UNKNOWN_FAMILY)
        .group_by("usage_on", "provider", "service", category="service_category")
        .agg(pl.col("net_cny").sum())
    )
    return ChargeFacts(
        charge_days.select(*CHARGE_DAYS).sort(keys),
        unmapped.select(*UNMAPPED).sort("usage_on", "provider", "service", "category"),
        _adjustments(rows),
    )


def _adjustments(rows: pl.DataFrame) -> pl.DataFrame:
    is_correction = pl.col("charge_class") == "Correction"
    is_refund = (pl.col("charge_category") == "Credit") | (
        pl.min_horizontal("billed", "effective") < 0
    )
    kind = pl.when(is_correction).then(pl.lit("correction"))
    named = rows.with_columns(kind=kind.when(is_refund).then(pl.lit("refund")))
    keys = ["usage_on", "team_id", "source", "currency", "kind"]
    found = named.filter(pl.col("kind").is_not_null()).group_by(keys)
    return found.agg(pl.col("billed", "effective").sum()).select(*ADJUSTMENTS).sort(keys)


def _counted(rows: pl.DataFrame, statements: pl.DataFrame) -> pl.DataFrame:
    """Rows of the statements that count, with cost on the statement's basis."""
    periods = rows.select("source", "billing_period").unique()
    near = statements.join(periods, on=["source", "billing_period"], how="semi")
    rows = rows.join(near, on=[*STATEMENT, "snapshot"], maintain_order="left")
    zero = pl.lit(0, AMOUNT)
    basis = pl.when("has_effective").then("effective").otherwise("billed")
    return rows.with_columns(
        cost=basis.fill_null(zero),
        billed=pl.col("billed").fill_null(zero),
        effective=pl.col("effective").fill_null(zero),
        provider=pl.col("provider").fill_null(""),
    )


def with_family(rows: pl.DataFrame, reference: Reference) -> pl.DataFrame:
    """The family of the first matching rule of services.csv valid on the day, else 'other'."""
    keys = {
        "provider": "provider", "service": "service", "resource_type": "resource_type",
        "sku": "sku", "description": "description", "service_category": "category",
        "service_subcategory": "subcategory", "charge_category": "charge_category",
    }  # fmt: skip
    edges = sorted(
        {d for c in ("valid_from", "valid_to") for d in reference.services[c].drop_nulls()}
    )
    era = pl.sum_horizontal(*(pl.col("usage_on") >= edge for edge in edges)).alias("era")
    rows = rows.with_columns(era)
    kinds = rows.group_by([*keys, "era"]).agg(on_day=pl.col("usage_on").min()).rename(keys)
    kinds = kinds.with_row_index("kind")
    families = resolve_families(kinds, reference.services)
    named = kinds.join(families, on="kind", how="left").drop("kind", "on_day")
    named = named.rename({v: k for k, v in keys.items()})
    joined = rows.join(
        named, on=[*keys, "era"], how="left", nulls_equal=True, maintain_order="left"
    )
    family = pl.when(is_unallocated_credit()).then(pl.lit(CREDIT_FAMILY)).otherwise("family")
    return joined.with_columns(family=family.fill_null(UNKNOWN_FAMILY))


def resolve_families(kinds: pl.DataFrame, services: pl.DataFrame) -> pl.DataFrame:
    """kind, family for each kind of charge (provider, service, resource_type, sku, description,
    category, subcategory, charge_category, on_day); kinds without a rule are left out.

    A rule matches when each of its filled fields does, by LIKE on lower-case text; service and
    sku (with the description) are matched as words between blanks.
    """
    with warehouse.scratch(kinds=kinds, rules=services) as con:
        return warehouse.frame(
            con,
            """
            with texts as (
                select kind, on_day,
                    lower(coalesce(provider, '')) as provider,
                    ' ' || lower(coalesce(service, '')) || ' ' as service,
                    lower(coalesce(resource_type, '')) as resource_type,
                    ' ' || lower(concat_ws(' ', sku, description)) || ' ' as sku,
                    lower(coalesce(category, '')) as category,
                    lower(coalesce(subcategory, '')) as subcategory,
                    lower(coalesce(charge_category, '')) as charge_category
                from kinds
            )
            select k.kind, arg_min(r.family, r.rank) as family
            from texts k join rules r
                on (r.provider is null or k.provider like r.provider)
                and (r.service is null or k.service like r.service)
                and (r.resource_type is null or k.resource_type like r.resource_type)
                and (r.sku is null or k.sku like r.sku)
                and (r.category is null or k.category like r.category)
                and (r.subcategory is null or k.subcategory like r.subcategory)
                and (r.charge_category is null or k.charge_category like r.charge_category)
                and k.on_day >= r.valid_from
                and (r.valid_to is null or k.on_day < r.valid_to)
            group by k.kind
            """,
        )


def _with_net(rows: pl.DataFrame, rates: pl.DataFrame, reference: Reference) -> pl.DataFrame:
    """net_cny: cost after the day's share of credits, at that day's rate."""
    zero = pl.lit(0, AMOUNT)
    rows = rows.join(
        rates, on=["source", "account", "sub_account", "currency", "usage_on"], how="left",
        nulls_equal=True, maintain_order="left",
    )  # fmt: skip
    is_credit = pl.col("family") == CREDIT_FAMILY
    taken = pl.when(pl.col("cost") > 0).then(pl.col("cost") * pl.col("rate").fill_null(zero))
    net = pl.when(is_credit).then(zero).otherwise(pl.col("cost") - taken.otherwise(zero))
    rows = rows.with_columns(net=net.cast(AMOUNT))
    rows = rows.join(cny_rates(rows, reference), on=["currency", "usage_on"], maintain_order="left")
    return rows.with_columns(net_cny=(pl.col("net") * pl.col("cny_per_unit")).cast(NET))


def cny_rates(rows: pl.DataFrame, reference: Reference) -> pl.DataFrame:
    """currency, usage_on, cny_per_unit for every pair in rows.

    The last rate of a currency holds 7 days past its validity; then CheckFailed names the pair.
    """
    pairs = rows.select("currency", "usage_on").unique()
    home = pairs.filter(pl.col("currency") == HOME_CURRENCY)
    home = home.with_columns(cny_per_unit=pl.lit(1, AMOUNT))
    foreign = pairs.filter(pl.col("currency") != HOME_CURRENCY)
    hold = pl.col("valid_to") + timedelta(days=FX_HOLD_DAYS)
    is_last = pl.col("valid_from") == pl.col("valid_from").max().over("currency")
    fx = reference.fx.with_columns(until=pl.when(is_last).then(hold).otherwise("valid_to"))
    hits = foreign.join(fx, on="currency").filter(
        (pl.col("usage_on") >= pl.col("valid_from"))
        & (pl.col("usage_on") < pl.col("until").fill_null(date(9999, 12, 31)))
    )
    missing = foreign.join(hits, on=["currency", "usage_on"], how="anti").sort("usage_on")
    if missing.height:
        currency, day = missing.row(0)
        raise CheckFailed(
            f"There is no CNY rate for {currency} on {day} (a lapsed rate holds {FX_HOLD_DAYS} "
            f"days): add it to fx.csv; {missing.height} pairs of currency and day are missing."
        )
    rate = pl.col("cny_per_unit").cast(AMOUNT)
    return pl.concat([home, hits.select("currency", "usage_on", rate)])


def _files(days: Days) -> list[tuple[date, Entry]]:
    return [(day, entry) for day, entries in days.items() for entry in entries]


_COST_COLUMNS = [
    "account", "sub_account", "billing_period", "provider", "currency", "billed", "effective",
]  # fmt: skip
_CREDIT_COLUMNS = [*_COST_COLUMNS, "service", "line"]


def _credits(
    entries: list[Entry], lake: Path, statements: pl.DataFrame, rows_per_batch: int
) -> pl.DataFrame:
    """Whole credits without a service: source, account, sub_account, currency, cost, period."""
    days: Days = {}
    for entry in entries:
        for day in entry.credit_days:
            days.setdefault(date.fromisoformat(day), []).append(entry)
    parts = [
        read_days(_files(batch), lake, _CREDIT_COLUMNS, is_unallocated_credit())
        for batch in batches(days, rows_per_batch)
    ]
    if not parts:
        return pl.DataFrame()
    keys = ["source", "account", "sub_account", "currency", "fingerprint", "line"]
    return (
        _counted(pl.concat(parts), statements)
        .group_by(keys)
        .agg(
            credit=pl.col("cost").sum(),
            first_on=pl.col("usage_on").min(),
            last_on=pl.col("usage_on").max(),
        )
        .filter(pl.col("credit") < 0)
        .sort(keys)
        .with_row_index("credit_id")
    )


def _reached(
    entries: list[Entry],
    lake: Path,
    statements: pl.DataFrame,
    credits: pl.DataFrame,
    rows_per_batch: int,
) -> pl.DataFrame:
    """Each credit with what it may take from: the positive cost of its sub-account (of its account
    when it names none) on each of its business days, in its currency.

    The columns of credits, and target (the sub-account), usage_on, positive.
    """
    accounts = credits.select("source", "account").unique()
    first, last = credits["first_on"].min(), credits["last_on"].max()
    assert isinstance(first, date) and isinstance(last, date)
    sources = set(accounts["source"])
    billed = days_of((e for e in entries if e.source in sources), "charges")
    near = {day: found for day, found in billed.items() if first <= day <= last}
    is_credited = pl.col("account").is_in(accounts["account"].unique().implode())
    statements = statements.join(accounts, on=["source", "account"], how="semi")
    keys = ["source", "account", "sub_account", "currency", "usage_on"]
    reached = []
    for batch in batches(near, rows_per_batch):
        rows = read_days(_files(batch), lake, _COST_COLUMNS, is_credited)
        rows = _counted(rows, statements).filter(pl.col("cost") > 0)
        positive = rows.group_by(keys).agg(positive=pl.col("cost").sum())
        is_near = (pl.col("first_on") <= max(batch)) & (pl.col("last_on") >= min(batch))
        reached.append(_reach(credits.filter(is_near), positive))
    return pl.concat(reached)


def _reach(credits: pl.DataFrame, positive: pl.DataFrame) -> pl.DataFrame:
    return credits.join(
        positive.rename({"sub_account": "target"}), on=["source", "account", "currency"]
    ).filter(
        pl.col("usage_on").is_between("first_on", "last_on")
        & (pl.col("sub_account").is_null() | (pl.col("sub_account") == pl.col("target")))
    )


def _spread(credits: pl.DataFrame, reach: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rates per day of the positive rows, and what each credit could not place.

    A credit takes away at most all that it reaches, pro rata; the rest is its remainder.
    """
    total = pl.col("positive").sum().over("credit_id")
    one, zero = pl.lit(1, AMOUNT), pl.lit(0, AMOUNT)
    reach = reach.with_columns(
        total=total,
        rate=pl.min_horizontal((-pl.col("credit") / total).cast(AMOUNT), one),
    )
    rates = reach.group_by(
        "source",
        "account",
        pl.col("target").alias("sub_account"),
        "currency",
        "usage_on",
    ).agg(pl.col("rate").sum())
    placed = reach.group_by("credit_id").agg(
        placed=pl.min_horizontal(-pl.col("credit").first(), pl.col("total").first())
    )
    unallocated = credits.join(placed, on="credit_id", how="left").select(
        "source", "account", "sub_account", "currency",
        charge_starts_on="first_on",
        credit="credit",
        unallocated=pl.col("credit") + pl.col("placed").fill_null(zero),
    )  # fmt: skip
    order = ["source", "account", "sub_account", "currency", "usage_on"]
    return rates.sort(order), unallocated.sort(unallocated.columns)
