"""FOCUS billing exports, 1.0 to 1.4, as CSV (plain or gzip), Parquet or JSON.

Belongs here: the FOCUS column names, the versions' differences, and what a provider's export
should have but hasn't (a warning each, never a rejection).
Does not belong here: which service is a workload (data/reference/services.csv), which snapshot
or cost column counts (rollup/charges.py).
Source of the facts: the FOCUS specification 1.0-1.4, column library and allowed values.
"""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from pipelines.sources.base import (
    Chunk,
    Format,
    Mapping,
    Options,
    as_text,
    by_spelling,
    clean,
    column_of,
    convert,
    texts_of,
    upper,
)
from pipelines.sources.tables import columns_of, pieces

# ProviderName was replaced by ServiceProviderName in 1.3 and is gone in 1.4; the new one first.
CHARGES: Mapping = {
    "account": ("text", "BillingAccountId"),
    "sub_account": ("text", "SubAccountId"),
    "provider": ("text", "ServiceProviderName", "ProviderName"),
    "service": ("text", "ServiceName"),
    "sku": ("text", "SkuId"),
    "description": ("text", "ChargeDescription"),
    "resource_type": ("text", "ResourceType"),
    "resource": ("text", "ResourceId"),
    "region": ("text", "RegionId"),
    "service_category": ("text", "ServiceCategory"),
    "service_subcategory": ("text", "ServiceSubcategory"),
    "charge_category": ("text", "ChargeCategory"),
    "charge_class": ("text", "ChargeClass"),
    "charge_start": ("instant", "ChargePeriodStart"),
    "charge_end": ("instant", "ChargePeriodEnd"),
    "billing_period": ("instant", "BillingPeriodStart"),
    "billed": ("amount", "BilledCost"),
    "effective": ("amount", "EffectiveCost"),
    "list_cost": ("amount", "ListCost"),
    "currency": ("text", "BillingCurrency"),
}
# Read only to hold it against the specification.
OTHERS = ("ContractedCost",)
MUST_HAVE = ("BilledCost", "BillingAccountId", "ChargePeriodStart")
MANDATORY = (
    "BillingCurrency", "BillingPeriodStart", "ChargeCategory", "ChargePeriodEnd", "ContractedCost",
    "EffectiveCost", "ListCost", "ServiceCategory", "ServiceName",
)  # fmt: skip
# The column that tells a version from the ones before it, newest first.
VERSIONS = (
    ("AllocatedMethodId", "1.3 or later"),
    ("HostProviderName", "1.3 or later"),
    ("InvoiceId", "1.2 or later"),
    ("PricingCurrency", "1.2 or later"),
    ("CapacityReservationId", "1.1 or later"),
    ("ServiceSubcategory", "1.1 or later"),
)
CHARGE_CATEGORIES = ("Usage", "Purchase", "Tax", "Credit", "Adjustment")
SERVICE_CATEGORIES = (
    "AI and Machine Learning", "Analytics", "Business Applications", "Compute", "Databases",
    "Developer Tools", "Identity", "Integration", "Internet of Things",
    "Management and Governance", "Media", "Migration", "Mobile", "Multicloud", "Networking",
    "Other", "Security", "Storage", "Web",
)  # fmt: skip


def looks_like(path: Path, head: bytes) -> str | None:
    columns = columns_of(path, head)
    if not all(name in columns for name in MUST_HAVE):
        return None
    is_newest = "ServiceProviderName" in columns and "ProviderName" not in columns
    later = next((version for name, version in VERSIONS if name in columns), "1.0")
    version = "1.4" if is_newest else later
    return f"it has the FOCUS columns {', '.join(MUST_HAVE)} (version {version})"


def read(path: Path, options: Options) -> Iterator[Chunk]:
    """Canonical charge rows; categories in the specification's case, currency in capitals."""
    wanted = [name for _, *names in CHARGES.values() for name in names]
    for raw, broken in pieces(path, [*wanted, *OTHERS], is_exact=True, repeats=True):
        chunk = convert(raw, broken, CHARGES, options.timezone, ("list_cost",))
        rows = chunk.rows.with_columns(
            by_spelling(chunk.rows["currency"], upper),
            *(by_spelling(chunk.rows[c], _specified) for c in ("charge_category", "charge_class")),
        )
        warnings = (*chunk.warnings, *_warnings(rows, chunk.raw))
        yield Chunk(rows=rows, raw=chunk.raw, broken=chunk.broken, warnings=warnings)


def _specified(categories: pl.Series) -> pl.Series:
    spelled = {c.lower(): c for c in (*CHARGE_CATEGORIES, "Correction")}
    return categories.str.to_lowercase().replace_strict(spelled, default=categories)


def _warnings(rows: pl.DataFrame, raw: pl.DataFrame) -> Iterator[str]:
    """What the specification asks for and this piece hasn't; the rows count all the same."""
    missing = [name for name in MANDATORY if name not in raw.columns]
    if missing:
        yield f"mandatory FOCUS columns are missing: {', '.join(missing)}"
    if rows.height == 0:
        return
    is_usage = rows.select((pl.col("charge_category") == "Usage").fill_null(False)).to_series()
    faults = {
        "ContractedCost is null on usage rows": _is_null(raw, "ContractedCost") & is_usage,
        "EffectiveCost is null where BilledCost is not": rows["effective"].is_null()
        & rows["billed"].is_not_null(),
        "BilledCost is null": rows["billed"].is_null(),
        "no provider is named": rows["provider"].is_null(),
        "ServiceName is null on usage rows": rows["service"].is_null() & is_usage,
        "ServiceCategory is null": rows["service_category"].is_null(),
        "ChargePeriodEnd is null": rows["charge_end"].is_null(),
        "ChargePeriodEnd is not after ChargePeriodStart": rows["charge_end"]
        <= rows["charge_start"],
        "BillingPeriodStart is null": rows["billing_period"].is_null(),
    }
    for fault, where in faults.items():
        if where.any() and not any(name in fault.split()[0] for name in missing):
            yield f"{fault} in some rows"
    yield from _unknown(rows["charge_category"], "ChargeCategory", CHARGE_CATEGORIES)
    yield from _unknown(rows["charge_class"], "ChargeClass", ("Correction",))
    yield from _unknown(rows["service_category"], "ServiceCategory", SERVICE_CATEGORIES)
    # An export that rounds a cost to whole units loses the small workloads.
    is_whole = rows.select(
        "provider", *(pl.col(c) == pl.col(c).round(0) for c in ("effective", "billed"))
    )
    by_provider = as_text(
        is_whole.group_by("provider", maintain_order=True).agg(
            rounds=pl.col("effective").all()
            & ~pl.col("billed").all()
            & (pl.col("effective").count() > 1)
        )
    )
    for name in by_provider.filter("rounds")["provider"].fill_null("(no provider)").sort():
        yield f"EffectiveCost of {name} has no decimals although its BilledCost has: it is rounded"


def _is_null(raw: pl.DataFrame, name: str) -> pl.Series:
    """Where a column of costs has no value."""
    costs = raw[name] if name in raw.columns else column_of(raw, name)
    # What begins as a number does, or as a text between those, is none of the spellings of null.
    if costs.dtype == pl.String and costs.is_between("-", ":").all(ignore_nulls=False):
        return costs.is_null()
    return clean(costs).is_null()


def _unknown(values: pl.Series, name: str, known: tuple[str, ...]) -> Iterator[str]:
    found = texts_of(values)
    strange = found.filter(~found.is_in(known)).sort().head(5)
    if strange.len():
        yield f"{name} has values that FOCUS doesn't know: {', '.join(strange)}"


FORMATS = (
    Format(
        name="focus", family="charges", version=2, mapping=CHARGES, looks_like=looks_like, read=read
    ),
)
