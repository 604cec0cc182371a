"""The reference files in data/reference: prices, rates, families, each dated.

Belongs here: reading and checking the CSV files, and naming what they make of a value.
Does not belong here: the metric's parameters (definition.py).
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from pipelines import decisions
from pipelines.errors import UsageError
from pipelines.settings import CHECKOUT

_DATED = {"valid_from": pl.Date, "valid_to": pl.Date}
_SCHEMAS: dict[str, dict[str, type[pl.DataType]]] = {
    "fx": {"currency": pl.String, **_DATED, "cny_per_unit": pl.String, "source": pl.String},
    "plans": {
        "plan": pl.String, **_DATED, "list_cny": pl.Float64, "first_month_cny": pl.Float64,
        "requests_5h": pl.Int64, "requests_week": pl.Int64, "requests_month": pl.Int64,
        "source": pl.String,
    },
    "models": {
        "model": pl.String, **_DATED, "min_input_tokens": pl.Int64, "max_input_tokens": pl.Int64,
        "currency": pl.String, "input_per_million": pl.Float64, "cached_per_million": pl.Float64,
        "output_per_million": pl.Float64, "source": pl.String,
    },
    "services": {
        "rank": pl.Int64, "provider": pl.String, "service": pl.String, "resource_type": pl.String,
        "sku": pl.String, "category": pl.String, "subcategory": pl.String,
        "charge_category": pl.String, "family": pl.String, **_DATED, "source": pl.String,
    },
    "chips": {
        "chip": pl.String, "hour_cny": pl.Float64, "output_tokens_per_second": pl.Float64,
        "utilisation": pl.Float64, "source": pl.String,
    },
    "experiments": {
        "experiment": pl.String, "arm": pl.String, "planned_share": pl.Float64,
        "channel": pl.String, "source": pl.String,
    },
    "assumptions": {"name": pl.String, "value": pl.Float64, "source": pl.String},
}  # fmt: skip
# What an analysis assumes has a default: a folder without these files uses the checkout's.
_WITH_DEFAULT = ("experiments", "assumptions", "decisions")
_ASSUMPTIONS = {
    "cloud_margin",
    "value_months",
    "iota_low",
    "iota_high",
    "support_cny_per_team_month",
}
HOME_CURRENCY = "CNY"


@dataclass(frozen=True)
class Reference:
    """The reference tables as frames, and one hash over their bytes.

    fx: cny_per_unit is Decimal(38, 6) per (currency, valid_from, valid_to exclusive).
    """

    fx: pl.DataFrame
    plans: pl.DataFrame
    models: pl.DataFrame
    services: pl.DataFrame
    chips: pl.DataFrame
    experiments: pl.DataFrame
    assumptions: pl.DataFrame
    decisions: pl.DataFrame
    hash: str

    @property
    def currencies(self) -> frozenset[str]:
        return frozenset(self.fx["currency"].to_list()) | {HOME_CURRENCY}

    def tables(self) -> dict[str, pl.DataFrame]:
        return {name: getattr(self, name) for name in (*_SCHEMAS, "decisions")}


def load(folder: Path) -> Reference:
    """Read all reference files. Raises UsageError naming the file and the fault."""
    frames: dict[str, pl.DataFrame] = {}
    digest = hashlib.sha256()
    for name, schema in _SCHEMAS.items():
        path, content = _content(folder, f"{name}.csv")
        try:
            frame = pl.read_csv(content, schema_overrides=schema, infer_schema=False)
        except pl.exceptions.PolarsError as error:
            fault = str(error).splitlines()[0]
            raise UsageError(f"The reference file {path} is not usable: {fault}.") from None
        missing = [c for c in schema if c not in frame.columns]
        if missing:
            raise UsageError(f"The reference file {path} lacks the columns {', '.join(missing)}.")
        frames[name] = frame.select(*schema)
        digest.update(content)
    path, content = _content(folder, "decisions.toml")
    frames["decisions"] = decisions.parse(content, path)
    digest.update(content)
    _complete(frames)
    rate = pl.col("cny_per_unit").str.to_decimal(scale=6).cast(pl.Decimal(38, 6))
    frames["fx"] = frames["fx"].with_columns(rate)
    return Reference(**frames, hash=digest.hexdigest()[:12])


def _content(folder: Path, name: str) -> tuple[Path, bytes]:
    path = folder / name
    if path.stem in _WITH_DEFAULT and not path.is_file():
        path = CHECKOUT / "data" / "reference" / name
    try:
        return path, path.read_bytes()
    except OSError as error:
        raise UsageError(f"Can't read the reference file {path}: {error.strerror}.") from None


def _complete(frames: dict[str, pl.DataFrame]) -> None:
    """Raises UsageError when an assumption has no value, or the planned arms are not a split."""
    known = frames["assumptions"].drop_nulls("value")["name"].to_list()
    if lacking := sorted(_ASSUMPTIONS - set(known)):
        raise UsageError(f"The reference file assumptions.csv has no value for {lacking[0]}.")
    for (name,), arms in frames["experiments"].group_by("experiment"):
        shares: list[float | None] = arms["planned_share"].to_list()
        if any(s is None or s <= 0 for s in shares) or abs(sum(s or 0 for s in shares) - 1) > 1e-9:
            raise UsageError(
                f"The reference file experiments.csv: the planned shares of {name} must be "
                "above 0 and sum to 1."
            )
