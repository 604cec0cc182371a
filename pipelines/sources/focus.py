"""FOCUS billing exports, 1.0 and later, as CSV (plain or gzip) or Parquet.

Belongs here: the FOCUS column names and the versions' differences.
Does not belong here: which service is a workload (data/reference/services.csv), which snapshot
or cost column counts (rollup/charges.py).
Source of the facts: the FOCUS specification 1.0-1.4, column library.
"""

from collections.abc import Iterator
from pathlib import Path

from pipelines.sources.base import Chunk, Format, Mapping, Options, canonical
from pipelines.sources.tables import columns_of, pieces

# ProviderName was replaced by ServiceProviderName in 1.4; both are read, the new one first.
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
# Kept as text only to tell an absent cost from an unreadable one.
MUST_HAVE = ("BilledCost", "BillingAccountId", "ChargePeriodStart")


def looks_like(path: Path, head: bytes) -> str | None:
    columns = columns_of(path, head)
    if all(name in columns for name in MUST_HAVE):
        return f"it has the FOCUS columns {', '.join(MUST_HAVE)}"
    return None


def read(path: Path, options: Options) -> Iterator[Chunk]:
    """Canonical charge rows; the currency is upper-cased, everything else is as it stands."""
    wanted = [name for _, *names in CHARGES.values() for name in names]
    for raw, broken in pieces(path, wanted):
        rows = canonical(raw, CHARGES, options.timezone)
        yield Chunk(
            rows=rows.with_columns(rows["currency"].str.to_uppercase()),
            raw=raw,
            broken=broken,
        )


FORMATS = (Format(name="focus", family="charges", version=1, looks_like=looks_like, read=read),)
