"""The metric's parameters: one versioned file, one hash, one set of bound SQL parameters.

Belongs here: reading definition.toml, checking it, naming its fields.
Does not belong here: what the fields do (that is sql/journey and sql/metric).
"""

import hashlib
import json
import tomllib
from dataclasses import asdict, dataclass, fields, replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pipelines.errors import UsageError


@dataclass(frozen=True)
class Definition:
    """Every parameter of the metric; see data/reference/definition.toml for the meaning."""

    version: str
    zone: str = "Asia/Shanghai"
    active_day_requests: int = 3
    habit_window_days: int = 14
    habit_active_days: int = 5
    habit_iso_weeks: int = 2
    habit_min_members: int = 1
    workload_families: tuple[str, ...] = (
        "deploy",
        "storage",
        "database",
        "observability",
    )
    host_providers: tuple[str, ...] = ()
    billable_cny: Decimal = Decimal("0.005")
    qualifying_window_days: int = 28
    qualifying_billable_days: int = 21
    qualifying_floor_cny: Decimal = Decimal("30.00")
    lookback_days: int = 180
    lag_days: int = 3
    churn_grace_days: int = 14
    horizons: tuple[int, ...] = (30, 60, 90, 180)
    headline_horizon: int = 90
    min_at_risk: int = 10
    suppress_below: int = 10

    @property
    def hash(self) -> str:
        """First 12 hex digits of the SHA-256 of all fields but the version label."""
        values = {k: v for k, v in asdict(self).items() if k != "version"}
        text = json.dumps(values, sort_keys=True, default=_plain)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def parameters(self) -> dict[str, Any]:
        """Field name -> value, as bound in SQL as $name (tuples become lists)."""
        values = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        return values | {"definition": self.hash}

    def with_fields(self, **changes: Any) -> "Definition":
        """The same definition with some fields changed, as in the published grid."""
        return replace(self, **changes)


def to_json(definition: Definition) -> str:
    """All fields as JSON text, amounts as text; from_json reads it."""
    return json.dumps(asdict(definition), default=str, ensure_ascii=False)


def from_json(text: str) -> Definition | None:
    """The definition that to_json wrote; null when its fields are no longer those of this version."""
    kinds = {f.name: f.type for f in fields(Definition)}
    stored = json.loads(text)
    if set(stored) != set(kinds):
        return None
    values: dict[str, Any] = {
        name: Decimal(v) if kinds[name] is Decimal else tuple(v) if isinstance(v, list) else v
        for name, v in stored.items()
    }
    return Definition(**values)


_FILE_FIELDS = {
    ("version",): "version",
    ("zone",): "zone",
    ("habit", "active_day_requests"): "active_day_requests",
    ("habit", "window_days"): "habit_window_days",
    ("habit", "active_days"): "habit_active_days",
    ("habit", "iso_weeks"): "habit_iso_weeks",
    ("habit", "min_members"): "habit_min_members",
    ("workload", "families"): "workload_families",
    ("workload", "host_providers"): "host_providers",
    ("workload", "billable_cny"): "billable_cny",
    ("workload", "window_days"): "qualifying_window_days",
    ("workload", "billable_days"): "qualifying_billable_days",
    ("workload", "floor_cny"): "qualifying_floor_cny",
    ("clock", "lookback_days"): "lookback_days",
    ("clock", "lag_days"): "lag_days",
    ("clock", "churn_grace_days"): "churn_grace_days",
    ("estimate", "horizons"): "horizons",
    ("estimate", "headline_horizon"): "headline_horizon",
    ("estimate", "min_at_risk"): "min_at_risk",
    ("estimate", "suppress_below"): "suppress_below",
}


def load(path: Path) -> Definition:
    """Read a definition file.

    Raises UsageError naming the file and the field when the file is missing, is not TOML, has
    an unknown field, or a value of the wrong type or range.
    """
    try:
        document = tomllib.loads(path.read_text("utf-8"), parse_float=Decimal)
    except OSError as error:
        raise UsageError(f"Can't read the definition {path}: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"The definition {path} is not valid TOML: {error}.") from None
    values: dict[str, Any] = {}
    for keys, value in _leaves(document):
        name = _FILE_FIELDS.get(keys)
        if name is None:
            raise UsageError(f"{path}: unknown field {'.'.join(keys)}; remove or rename it.")
        values[name] = _checked(path, keys, name, value)
    if "version" not in values:
        raise UsageError(f"{path}: the field version is missing; give the definition a name.")
    definition = Definition(**values)
    if definition.headline_horizon not in definition.horizons:
        raise UsageError(f"{path}: headline_horizon must be one of horizons.")
    return definition


def _leaves(node: dict[str, Any], at: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    found: list[tuple[tuple[str, ...], Any]] = []
    for key, value in node.items():
        if isinstance(value, dict):
            found += _leaves(value, (*at, key))
        else:
            found.append(((*at, key), value))
    return found


def _checked(path: Path, keys: tuple[str, ...], name: str, value: Any) -> Any:
    kind = {f.name: f.type for f in fields(Definition)}[name]
    where = f"{path}: {'.'.join(keys)}"
    if kind is int:
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        raise UsageError(f"{where} must be a whole number of at least 0, not {value!r}.")
    if kind is Decimal:
        if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
            return Decimal(value)
        raise UsageError(f"{where} must be a number, not {value!r}.")
    if kind is str:
        if isinstance(value, str) and (name != "zone" or _zone_exists(value)):
            return value
        raise UsageError(f"{where} is not usable: {value!r}.")
    item = int if name == "horizons" else str
    if isinstance(value, list) and all(isinstance(v, item) for v in value):
        return tuple(value)
    raise UsageError(f"{where} must be a list of {item.__name__}, not {value!r}.")


def _zone_exists(zone: str) -> bool:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        return False
    return True


def _plain(value: Any) -> str:
    return format(value.normalize(), "f") if isinstance(value, Decimal) else str(value)
